"""fit-anomaly and inspect-folder as an engineer calls them, on a made-up data set."""

import cv2
import numpy as np
import pytest

from inspection_cell.anomaly.package import load_package
from inspection_cell.anomaly.score import load_model
from inspection_cell.cli.main import main


def ring(seed, defect=False):
    """A bright ring somewhere on a dark ground; a defect is a dark scratch across it."""
    rng = np.random.default_rng(seed)
    image = np.full((150, 200, 3), 25.0)
    x, y = 90 + int(rng.integers(-15, 15)), 75 + int(rng.integers(-8, 8))
    cv2.circle(image, (x, y), 45, (170, 160, 150), 20)
    cv2.circle(image, (x, y), 12, (230, 230, 230), -1)
    image += rng.normal(0, 3, image.shape)
    if defect:
        cv2.line(image, (x - 8, y - 60), (x + 6, y - 36), (60, 50, 40), 4)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rings")
    groups = {"train/good": range(20), "test/good": range(50, 55), "test/scratch": range(60, 65)}
    for name, seeds in groups.items():
        (folder / name).mkdir(parents=True)
        for seed in seeds:
            cv2.imwrite(str(folder / name / f"{seed:03d}.png"), ring(seed, name == "test/scratch")[..., ::-1])
    return folder


def run(*arguments):
    """The exit code of `inspection-cell ...`."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def fit(dataset, out, *more):
    return run("fit-anomaly", dataset, "--out", out, "--size", "128", *more)


def test_fit_then_inspect_then_learn_more(dataset, tmp_path, capsys):
    assert fit(dataset, tmp_path / "m", "--crop", "otsu", "--work", tmp_path / "work") == 0
    said = capsys.readouterr().out
    assert "20 good images" in said and "network on CPUExecutionProvider" in said
    assert run("inspect-folder", tmp_path / "m", dataset) == 0
    said = capsys.readouterr().out
    assert "image AUROC 1.000" in said and said.count("scratch") == 5
    assert cv2.imread(str(tmp_path / "m" / "worst.png")) is not None
    new = tmp_path / "new"
    new.mkdir()
    for seed in range(100, 106):
        cv2.imwrite(str(new / f"{seed}.png"), ring(seed)[..., ::-1])
    assert fit(new, tmp_path / "m2", "--update", tmp_path / "m") == 0
    assert "26 good images" in capsys.readouterr().out
    card = load_package(tmp_path / "m2" / "view").card
    assert card.images == 26 and card.crop == "otsu", "it goes on as it was fitted"
    assert run("inspect-folder", tmp_path / "m2", dataset) == 0


def test_what_is_ignored_is_judged_by_no_model_of_the_fit(dataset, tmp_path, capsys):
    pixels = cv2.imread(str(dataset / "test" / "scratch" / "060.png"))
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[: len(mask) // 2] = 255  # the scratches are in the upper half
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    assert fit(dataset, tmp_path / "m", "--ignore", tmp_path / "mask.png") == 0
    new = tmp_path / "new"
    new.mkdir()
    cv2.imwrite(str(new / "100.png"), ring(100)[..., ::-1])
    assert fit(new, tmp_path / "m2", "--update", tmp_path / "m") == 0
    assert fit(new, tmp_path / "m3", "--update", tmp_path / "m", "--ignore", tmp_path / "mask.png") == 2
    assert "go on with the mask they were fitted with" in capsys.readouterr().err
    for name in ("m", "m2"):
        found = load_model(tmp_path / name / "view").score(pixels)
        rows = np.flatnonzero(found.allowed.any(1))
        assert rows.min() >= 63 and rows.max() > 100, "of 128; a touched pixel counts as masked"
    cv2.imwrite(str(tmp_path / "small.png"), mask[::2])
    capsys.readouterr()
    assert fit(dataset, tmp_path / "m3", "--ignore", tmp_path / "small.png") == 2
    assert "000.png: exclusion mask of shape" in capsys.readouterr().err
    assert fit(dataset, tmp_path / "m3", "--ignore", tmp_path / "none.png") == 2
    assert "none.png: cannot be decoded as a mask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        ([".", "--backbone", "nowhere.onnx"], "no such backbone"),
        ([".", "--update", "nowhere"], "not a model package"),
        ([".", "--precision", "bfloat16"], "needs provider openvino"),
        ([".", "--size", "100"], "multiple of 16"),
    ],
)
def test_a_slip_is_named_and_ends_with_2(dataset, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(dataset)
    assert run("fit-anomaly", *arguments, "--out", tmp_path / "m") == 2
    said = capsys.readouterr()
    assert message in said.err and "Traceback" not in said.err


def test_no_part_in_an_image(dataset, tmp_path, capsys):
    folder = tmp_path / "set"
    folder.mkdir()
    for seed in range(12):
        picture = ring(seed) if seed else np.full((150, 200, 3), 9, np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), picture)
    assert fit(folder, tmp_path / "m", "--crop", "otsu") == 2
    assert "0.png" in capsys.readouterr().err
