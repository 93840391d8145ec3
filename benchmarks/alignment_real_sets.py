"""The real pictures of parts with their CAD: readers of the foreign formats, and one first pose for each sequence.

ViSP's tutorials (.cao models, XML and JSON intrinsics, videos, a rendered RGB-D sequence with its true poses) and the
bottle of M3T (two RGB-D frames). None of the real ones comes with a first pose: ViSP's .init files name the corners to
click and leave the clicking to the user. So the clicks stand here, as pixels read off the first picture at four- to
fivefold magnification; they are good to one or two pixels.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection_cell.cad.assembly import Assembly, Component, load_assembly
from inspection_cell.core.camera_model import CameraModel
from inspection_cell.core.poses import Pose, inverse, make_pose, rotation_from_quaternion, rotation_from_vector

FAR_M = 100.0
"""A rendered depth picture says 65504 where nothing is."""

Click = tuple[tuple[float, float, float], tuple[float, float]]
"""A corner of the part, metres, and the pixel it is seen at."""

CUBE_CLICKS: tuple[Click, ...] = (
    ((0.0, 0.0, 0.0), (361.6, 350.6)),
    ((0.0, 0.0, 0.084), (366.5, 293.0)),
    ((-0.084, 0.0, 0.084), (315.6, 234.4)),
    ((-0.084, 0.084, 0.084), (386.6, 204.0)),
    ((0.0, 0.084, 0.084), (443.8, 255.0)),
    ((0.0, 0.084, 0.0), (431.0, 312.0)),
    ((-0.084, 0.0, 0.0), (316.0, 293.0)),
)
TEABOX_CLICKS: tuple[Click, ...] = (
    ((0.0, 0.0, 0.0), (192.8, 85.2)),
    ((0.165, 0.0, 0.0), (351.2, 206.9)),
    ((0.165, 0.0, -0.08), (330.9, 375.7)),
    ((0.165, 0.068, -0.08), (456.9, 350.5)),
    ((0.165, 0.068, 0.0), (488.8, 187.5)),
    ((0.0, 0.0, -0.08), (190.6, 222.4)),
)
STEREO_LEFT_CLICKS: tuple[Click, ...] = (
    ((0.0, 0.0, 0.0), (245.8, 340.0)),
    ((0.165, 0.0, 0.0), (523.3, 323.8)),
    ((0.165, 0.0, -0.08), (512.0, 385.0)),
    ((0.165, 0.068, 0.0), (500.8, 235.8)),
    ((0.0, 0.068, 0.0), (251.3, 253.0)),
    ((0.0, 0.0, -0.08), (268.3, 401.3)),
)
STEREO_RIGHT_CLICKS: tuple[Click, ...] = (
    ((0.0, 0.0, 0.0), (22.5, 282.5)),
    ((0.165, 0.0, 0.0), (305.0, 287.0)),
    ((0.165, 0.0, -0.08), (297.5, 347.5)),
    ((0.165, 0.068, 0.0), (301.3, 198.0)),
    ((0.0, 0.068, 0.0), (47.5, 192.5)),
    ((0.0, 0.0, -0.08), (53.3, 345.8)),
)
LEGO_CLICKS: tuple[Click, ...] = (
    ((0.0, 0.0, 0.0096), (255.5, 283.3)),
    ((0.048, 0.0, 0.0096), (320.5, 345.0)),
    ((0.048, 0.0, 0.0), (320.0, 360.0)),
    ((0.048, 0.032, 0.0), (369.0, 325.0)),
    ((0.048, 0.032, 0.0096), (371.5, 312.5)),
    ((0.0, 0.048, 0.0096), (328.8, 245.8)),
    ((0.048, 0.048, 0.0096), (395.5, 298.3)),
)
HELD_CUBE_CLICKS: tuple[Click, ...] = (
    ((-0.04225, -0.04225, -0.04225), (390.0, 218.0)),
    ((0.04225, -0.04225, -0.04225), (527.0, 219.0)),
    ((-0.04225, 0.04225, -0.04225), (391.0, 356.6)),
    ((0.04225, 0.04225, -0.04225), (525.0, 354.0)),
    ((-0.04225, -0.04225, 0.04225), (368.6, 210.4)),
    ((-0.04225, 0.04225, 0.04225), (368.0, 323.0)),
)


@dataclass(frozen=True)
class Frame:
    """One picture of a sequence.

    Attributes:
        image: (h, w, 3) uint8, RGB.
        depth: (h, w) float32, metres along the depth camera's axis, 0 where nothing was measured; None without depth.
        T_camera_part: the true pose; None where nobody knows it.
    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32] | None = None
    T_camera_part: Pose | None = None


@dataclass(frozen=True)
class RealSequence:
    """A part, a camera and the pictures it took one after another.

    Attributes:
        T_camera_part_first: where the part is in the first picture, from clicks unless the true pose is known.
        read: opens the pictures from the first to the last.
        depth_camera, T_camera_depth: of the depth pictures where there are any; the depth camera's pose in the camera.
    """

    name: str
    assembly: Assembly
    camera: CameraModel
    T_camera_part_first: Pose
    read: Callable[[], Iterator[Frame]]
    depth_camera: CameraModel | None = None
    T_camera_depth: Pose | None = None


def pose_from_clicks(clicks: tuple[Click, ...], camera: CameraModel) -> Pose:
    """The pose T_camera_part that puts the corners nearest to where they were clicked."""
    points = np.array([point for point, _ in clicks])
    pixels = np.array([pixel for _, pixel in clicks])
    _, rotation, translation = cv2.solvePnP(points, pixels, camera.matrix, camera.distortion, flags=cv2.SOLVEPNP_SQPNP)
    rotation, translation = cv2.solvePnPRefineLM(
        points, pixels, camera.matrix, camera.distortion, rotation, translation
    )
    return make_pose(rotation_from_vector(rotation.ravel()), translation.ravel())


def read_cao(path: Path) -> list[Component]:
    """The boxes of a ViSP .cao model: one component for each file that it loads, or one for its own faces.

    Faces made of points are read; the sets here have neither lines of their own nor cylinders nor circles.

    Raises:
        ValueError: the model has something else than points, faces and loaded models.
    """
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8")).strip()
    if not text.startswith("V1"):
        raise ValueError(f"{path}: a .cao model starts with V1")
    components: list[Component] = []
    for number, (name, options) in enumerate(re.findall(r'load\("([^"]+)"([^)]*)\)', text)):
        T_part_piece = make_pose(_turn(options), _vector(options, "t") or (0.0, 0.0, 0.0))
        for piece in read_cao(path.parent / name):
            moved = piece.moved(T_part_piece)
            components.append(Component(f"{piece.name}-{number + 1}", moved.vertices, moved.faces))
    numbers = [float(word) for word in re.sub(r"load\([^)]*\)", "", text)[2:].split()]
    if not numbers:
        return components
    count = int(numbers[0])
    vertices = np.array(numbers[1 : 1 + 3 * count]).reshape(count, 3)
    rest = [int(value) for value in numbers[1 + 3 * count :]]
    if rest[:2] != [0, 0]:
        raise ValueError(f"{path}: lines are not read, only faces made of points")
    faces: list[list[int]] = []
    at = 3
    for _ in range(rest[2]):
        corners = rest[at + 1 : at + 1 + rest[at]]
        faces += [[corners[0], corners[i], corners[i + 1]] for i in range(1, len(corners) - 1)]
        at += 1 + rest[at]
    if any(rest[at:]):
        raise ValueError(f"{path}: cylinders and circles are not read, only faces made of points")
    return [*components, Component(path.stem, vertices, np.array(faces, np.int32))]


def _vector(options: str, key: str) -> tuple[float, float, float] | None:
    """The numbers of `key=[x; y; z]`; a unit behind the last one is left out."""
    found = re.search(rf"\b{key}=\[([^\]]*)\]", options)
    if found is None:
        return None
    x, y, z = (float(word.split()[0]) for word in found[1].split(";"))
    return x, y, z


def _turn(options: str) -> NDArray[np.float64]:
    """The rotation of `tu=[x; y; z unit]`, axis times angle."""
    vector = np.array(_vector(options, "tu") or (0.0, 0.0, 0.0))
    return rotation_from_vector(np.radians(vector) if "deg" in options else vector)


def read_cao_assembly(path: Path) -> Assembly:
    """The model as the aligner takes it."""
    return Assembly(tuple(sorted(read_cao(path), key=lambda c: c.name)), "", path.name)


def read_visp_camera(path: Path, width: int = 640, height: int = 480) -> CameraModel:
    """Intrinsics px, py, u0, v0 of a ViSP configuration, XML or JSON; the sets' models have no distortion."""
    if path.suffix == ".json":
        stated = json.loads(path.read_text(encoding="utf-8"))["camera"]
        px, py, u0, v0 = (float(stated[name]) for name in ("px", "py", "u0", "v0"))
    else:
        root = ElementTree.parse(path).getroot()
        px, py, u0, v0 = (float(root.findtext(f".//{name}") or "nan") for name in ("px", "py", "u0", "v0"))
    return CameraModel(width, height, np.array([[px, 0, u0], [0, py, v0], [0, 0, 1.0]]))


def read_m3t_camera(path: Path) -> tuple[CameraModel, Pose, float]:
    """Intrinsics, pose in the world, and metres per unit of depth (1 where none is stated) of an M3T camera file."""
    text = path.read_text(encoding="utf-8")
    value = {name: float(number) for name, number in re.findall(r"(\w+):\s*([-\d.]+)\s*$", text, re.MULTILINE)}
    pose = np.array([float(word) for word in re.search(r"data:\s*\[([^\]]*)\]", text)[1].split(",")]).reshape(4, 4)
    matrix = np.array([[value["f_u"], 0, value["pp_x"]], [0, value["f_v"], value["pp_y"]], [0, 0, 1.0]])
    return CameraModel(int(value["width"]), int(value["height"]), matrix), pose, value.get("depth_scale", 1.0)


def _video(path: Path) -> Callable[[], Iterator[Frame]]:
    def read() -> Iterator[Frame]:
        video = cv2.VideoCapture(str(path))
        try:
            while True:
                more, picture = video.read()
                if not more:
                    return
                yield Frame(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
        finally:
            video.release()

    return read


def rendered_teabox(data: Path) -> RealSequence:
    """ViSP's rendered RGB-D tea-box: colour, depth from a camera beside it, and the true pose of each picture.

    The renderer's principal point (320, 240) is the middle of 640x480 counted from the first pixel's corner; here
    pixels are counted from its centre.
    """
    folder = data / "visp_tutorial/tracking/model-based/generic-rgbd-blender"
    sequence = folder / "data/teabox"
    camera, depth_camera = (_from_corner(read_visp_camera(sequence / f"Camera_{side}.xml")) for side in "LR")
    numbers = [int(path.name[:4]) for path in sorted((sequence / "color").glob("*_L.jpg"))]

    def truth(number: int) -> Pose:
        return _orthonormal(np.loadtxt(sequence / f"ground-truth/Camera_L_{number:04d}.txt"))

    def read() -> Iterator[Frame]:
        for number in numbers:
            depth = np.asarray(cv2.imread(str(sequence / f"depth/Image{number:04d}_R.exr"), cv2.IMREAD_UNCHANGED))
            depth = (depth if depth.ndim == 2 else depth[..., 0]).astype(np.float32)
            yield Frame(
                _picture(sequence / f"color/{number:04d}_L.jpg"), np.where(depth < FAR_M, depth, 0.0), truth(number)
            )

    T_depth_camera = _orthonormal(np.loadtxt(sequence / "depth_M_color.txt"))
    return RealSequence(
        "tea-box, rendered",
        read_cao_assembly(folder / "model/teabox/teabox.cao"),
        camera,
        truth(numbers[0]),
        read,
        depth_camera,
        inverse(T_depth_camera),
    )


def _orthonormal(pose: NDArray[np.float64]) -> Pose:
    """The nearest rigid pose: the files hold single-precision numbers."""
    u, _, vt = np.linalg.svd(pose[:3, :3])
    return make_pose(u @ vt, pose[:3, 3])


def _from_corner(camera: CameraModel) -> CameraModel:
    matrix = camera.matrix.copy()
    matrix[:2, 2] -= 0.5
    return CameraModel(camera.width, camera.height, matrix)


def _picture(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), np.uint8)


def visp_videos(data: Path) -> list[RealSequence]:
    """ViSP's real videos: a cube and a tea-box on a table, a stereo pair, lego bricks, and a cube that a hand turns."""
    root = data / "visp_tutorial"
    generic, stereo = root / "tracking/model-based/generic/model", root / "tracking/model-based/generic-stereo"
    detection, dnn = root / "detection/object", root / "tracking/dnn/data"

    def from_cao(name: str, video: Path, cao: Path, settings: Path, clicks: tuple[Click, ...]) -> RealSequence:
        camera = read_visp_camera(settings)
        first = pose_from_clicks(clicks, camera)
        return RealSequence(name, read_cao_assembly(cao), camera, first, _video(video))

    held_camera = read_visp_camera(dnn / "megapose_cube.json")
    return [
        from_cao("cube", detection / "cube.mp4", detection / "cube.cao", detection / "cube.xml", CUBE_CLICKS),
        from_cao(
            "tea-box",
            generic / "teabox/teabox.mp4",
            generic / "teabox/teabox.cao",
            generic / "teabox/teabox.xml",
            TEABOX_CLICKS,
        ),
        *(
            from_cao(
                f"tea-box, stereo {side}",
                stereo / f"teabox_{side}.mp4",
                stereo / f"teabox_{side}.cao",
                stereo / f"teabox_{side}.xml",
                clicks,
            )
            for side, clicks in (("left", STEREO_LEFT_CLICKS), ("right", STEREO_RIGHT_CLICKS))
        ),
        from_cao(
            "lego bricks",
            generic / "lego-square/lego-square.mp4",
            generic / "lego-square/lego-square.cao",
            generic / "lego-square/lego-square.xml",
            LEGO_CLICKS,
        ),
        RealSequence(
            "cube in hand",
            load_assembly(dnn / "models/cube/cube.obj"),
            held_camera,
            pose_from_clicks(HELD_CUBE_CLICKS, held_camera),
            _video(dnn / "cube_video.mp4"),
        ),
    ]


def stereo_T_right_left(data: Path) -> Pose:
    """The left camera's pose in the right one, of the stereo pair."""
    return _orthonormal(np.loadtxt(data / "visp_tutorial/tracking/model-based/generic-stereo/cRightMcLeft.txt"))


BOTTLE_FIRST = make_pose(rotation_from_quaternion((0.8197, 0.3551, -0.2274, 0.3876)), (-0.0044, 0.0031, 0.4332))


def bottle(data: Path) -> RealSequence:
    """M3T's shampoo bottle on a chequered table: two RGB-D frames of a hand-held camera.

    The first pose was fitted once to the outline of what is orange and to the depth picture: the outline alone does not
    tell the distance.
    """
    root = data / "bottle_rgbd"
    camera, T_world_camera, _ = read_m3t_camera(root / "sequence/color_camera.yaml")
    depth_camera, T_world_depth, metres = read_m3t_camera(root / "sequence/depth_camera.yaml")
    body = (root / "schauma.yaml").read_text(encoding="utf-8")
    T_body_geometry = np.array([float(w) for w in re.search(r"data:\s*\[([^\]]*)\]", body)[1].split(",")]).reshape(4, 4)
    cad = load_assembly(root / "schauma.obj")

    def read() -> Iterator[Frame]:
        for path in sorted((root / "sequence").glob("color_camera_image_*.png")):
            raw = cv2.imread(str(path.with_name(path.name.replace("color", "depth"))), cv2.IMREAD_UNCHANGED)
            depth = np.asarray(raw, np.float32) * np.float32(metres)
            yield Frame(_picture(path), np.where(np.asarray(raw) < 65535, depth, np.float32(0.0)))

    return RealSequence(
        "bottle",
        Assembly(tuple(c.moved(T_body_geometry) for c in cad.components), cad.sha256, cad.source),
        camera,
        BOTTLE_FIRST,
        read,
        depth_camera,
        inverse(T_world_camera) @ T_world_depth,
    )
