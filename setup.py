"""The ament_python package; also pip-installable, with extras for what not everybody needs."""

from pathlib import Path

from setuptools import Extension, find_packages, setup

NAME = "inspection_cell"
HERE = Path(__file__).parent


def data_files() -> list[tuple[str, list[str]]]:
    """config/, launch/, urdf/, models/ below share/, folder by folder."""
    folders: dict[str, list[str]] = {
        "share/ament_index/resource_index/packages": [f"resource/{NAME}"],
        f"share/{NAME}": ["package.xml"],
    }
    for top in ("config", "launch", "urdf", "models"):
        for path in sorted((HERE / top).rglob("*")):
            if path.is_file():
                relative = path.relative_to(HERE)
                folders.setdefault(f"share/{NAME}/{relative.parent.as_posix()}", []).append(relative.as_posix())
    return sorted(folders.items())


def kernels() -> list[Extension]:
    """The C files, each once for each instruction set; where one cannot be built, the next simpler one is used."""
    flags = ["-O3", "-fno-math-errno", "-ffp-contract=fast", "-Wno-psabi"]
    machines = {"avx512": ["-march=x86-64-v4"], "avx2": ["-march=x86-64-v3"], "base": []}
    return [
        Extension(
            f"{NAME}.{room}._{stem}_{name}",
            [f"{NAME}/{room}/{stem}.c"],
            extra_compile_args=[*flags, *machine],
            libraries=["m"],
            depends=[f"{NAME}/alignment/edges.h"],
            optional=True,
        )
        for room, stem in (("anomaly", "lattice"), ("alignment", "edges"), ("alignment", "profiles"))
        for name, machine in machines.items()
    ]


MOTION = ["pin>=4.1,<5", "coal>=3.0,<4", "ompl>=2.0,<3", "toppra>=0.6.10,<0.7"]
setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    data_files=data_files(),
    ext_modules=kernels(),
    python_requires=">=3.11,<3.13",
    install_requires=[
        "setuptools<80",
        "numpy>=2.0,<3",
        "scipy>=1.14,<2",
        "opencv-python-headless>=4.14,<5",
        "onnx>=1.20,<2",
        "pydantic>=2.10,<3",
        "PyYAML>=6,<7",
        "pyserial>=3.5,<4",
        "SQLAlchemy>=2.0.30,<3",
        "rich>=13,<16",
        "matplotlib>=3.9,<4",
        "moderngl>=5.12,<6",
        "trimesh>=4.5,<6",
        "networkx>=3,<4",
        "cascadio>=0.1,<0.2",
    ],
    extras_require={
        "camera": ["pypylon>=26,<27"],
        "cpu": ["onnxruntime>=1.20,<2"],
        "gpu": ["onnxruntime-gpu>=1.20,<2"],
        "ncnn": ["ncnn>=1.0.20261020,<2"],
        "motion": MOTION,
        "simulation": ["manifold3d>=3.0,<4"],
        "train": ["torch>=2.14,<3", "onnxscript"],
        "page": [],
        "dev": ["pytest>=8", "pytest-timeout", "hypothesis>=6", "ruff", "mypy"],
    },
    zip_safe=False,
    maintainer="inspection_cell maintainers",
    maintainer_email="maintainers@inspection-cell.example",
    description="A robot cell that inspects parts from their CAD model and images of good parts.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "inspection-cell = inspection_cell.cli.main:main",
            "cell_node = inspection_cell.nodes.process:main",
        ]
    },
)
