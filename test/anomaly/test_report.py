"""`inspection-cell evaluate-anomaly`, through the real commands, on a small made-up data set."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from inspection_cell.anomaly.evaluate import evaluate
from inspection_cell.anomaly.inspect_folder import inspect_folder
from inspection_cell.anomaly.score import load_model
from inspection_cell.cli.main import main

SHAPE = (90, 120, 3)


def part(seed):
    """A bright disc on a dark ground, with its own noise and light."""
    rng = np.random.default_rng(seed)
    image = np.full(SHAPE, 40.0)
    cv2.circle(image, (60, 45), 30, (150, 140, 120), -1)
    return np.clip(image * rng.uniform(0.95, 1.05) + rng.normal(0, 3, SHAPE), 0, 255).astype(np.uint8)


def spoil(image, kind):
    """Draws a defect; returns its mask."""
    mask = np.zeros(SHAPE[:2], np.uint8)
    if kind == "scratch":
        cv2.line(mask, (45, 30), (70, 55), 255, 4)
    else:
        cv2.circle(mask, (70, 40), 7, 255, -1)
    image[mask > 0] = (20, 20, 30)
    return mask


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def call(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set, and the folder of a model fitted on it."""
    root = tmp_path_factory.mktemp("evaluate")
    data, model = root / "discs <1>", root / "model"
    for seed in range(20):
        write(data / f"train/good/{seed}.png", part(seed))
    for seed in range(100, 108):
        write(data / f"test/good/{seed}.png", part(seed))
    for kind, seeds in {"scratch": range(200, 204), "stain": range(300, 303)}.items():
        for seed in seeds:
            image = part(seed)
            mask = spoil(image, kind)
            write(data / f"test/{kind}/{seed}.png", image)
            if seed != 302:
                write(data / f"ground_truth/{kind}/{seed}_mask.png", mask)
    assert call("fit-anomaly", data, "--size", 64, "--out", model) == 0
    return data, model


@pytest.fixture
def data(made, tmp_path):
    """A copy of the data set to spoil."""
    return Path(shutil.copytree(made[0], tmp_path / "data"))


def test_the_report_has_every_figure_and_the_terminal_the_table(made, tmp_path, capsys):
    data, model = made
    out = tmp_path / "report"
    words = ("--out", out, "--mm-per-pixel", 1, "--smallest-defect-mm", 2)
    assert call("evaluate-anomaly", model / "recipe.yaml", data, *words) == 0
    page = (out / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'<img src="([^"]+)"', page)
    assert set(named) == {file.name for file in out.glob("*.png")}
    wanted = {"histogram.png", "roc.png", "rates.png", "false_alarm_6.png", "miss_6.png"}
    assert wanted <= set(named) and len(named) == 15
    assert all(cv2.imread(str(out / name)) is not None for name in named)
    assert "://" not in page and "discs &lt;1&gt;" in page and "discs <1>" not in page
    recipe = yaml.safe_load((model / "recipe.yaml").read_text(encoding="utf-8"))
    for text in (recipe["model_hash"], "CPUExecutionProvider", "scratch 4, stain 3; 6 with a mask", "AUPRO", "D_T"):
        assert text in page
    printed = capsys.readouterr().out
    assert "cluster of 79" in printed and "1.000 (7 of 7)" in printed and str(out / "index.html") in printed


def test_without_a_scale_there_are_two_decisions(made, capsys):
    data, model = made
    assert call("evaluate-anomaly", model, data) == 0
    page = (model / "report" / "index.html").read_text(encoding="utf-8")
    assert "99.99 percentile" in page and "cluster" not in page + capsys.readouterr().out


def test_figures_are_those_of_inspect_folder(made):
    data, folder = made
    model = load_model(folder / "view")
    found, known = evaluate(model, data), inspect_folder(model, data)
    maximum = found.decisions[0]
    assert maximum.auroc == known.image_auroc and found.pixel_auroc == pytest.approx(known.pixel_auroc)
    assert (len(maximum.good), len(maximum.trained), len(maximum.bad)) == (8, 20, 7)
    assert 0.7 < found.aupro <= 1
    share, threshold = maximum.d_t()
    assert share.value == 1 and maximum.good.max() < threshold < maximum.bad.min()


def test_training_images_among_the_test_images_are_counted_apart(made, data, tmp_path):
    """One good test image that the model was fitted on, and a recipe's limits changed by hand."""
    shutil.copy(data / "train/good/3.png", data / "test/good/again.png")
    model = Path(shutil.copytree(made[1], tmp_path / "model", ignore=shutil.ignore_patterns("report")))
    recipe = yaml.safe_load((model / "recipe.yaml").read_text(encoding="utf-8"))
    recipe |= {"limit_uncertain": -50.0, "limit_defect": 1e6}
    (model / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    assert call("evaluate-anomaly", model, data, "--out", tmp_path / "report") == 0
    page = (tmp_path / "report/index.html").read_text(encoding="utf-8")
    assert "fitted on 1 of the good test images" in page and "8 that the model has not seen" in page
    assert "recipe&#x27;s limits are not those of the fit" in page
    assert "Over the uncertain limit: 8 of 8 good test images" in page
    assert "again.png" not in page


def wrong_mask(data):
    write(data / "ground_truth/stain/300_mask.png", np.full((20, 20), 255, np.uint8))


def empty_mask(data):
    write(data / "ground_truth/stain/300_mask.png", np.zeros(SHAPE[:2], np.uint8))


def only_known(data):
    shutil.rmtree(data / "test/good")
    shutil.copytree(data / "train/good", data / "test/good")


@pytest.mark.parametrize(
    "spoilt, message",
    [
        (lambda data: shutil.rmtree(data), r"data: no such folder"),
        (lambda data: shutil.rmtree(data / "test"), r"data: no folder test in it"),
        (lambda data: shutil.rmtree(data / "test/good"), r"test: no folder good in it"),
        (lambda data: [shutil.rmtree(data / "test" / kind) for kind in ("scratch", "stain")], r"test: no defects"),
        (lambda data: shutil.rmtree(data / "ground_truth"), r"ground_truth: no masks for the defects"),
        (wrong_mask, r"300_mask\.png: 20 x 20 pixels, its image 300\.png has 120 x 90"),
        (empty_mask, r"300_mask\.png: nothing is drawn"),
        (only_known, r"good: the model was fitted on all of its images"),
        (lambda data: (data / "test/good/100.png").write_bytes(b"text"), r"100\.png: cannot be decoded"),
    ],
)
def test_a_wrong_data_set_is_named(made, data, capsys, spoilt, message):
    spoilt(data)
    assert call("evaluate-anomaly", made[1], data) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_wrong_recipe_or_scale_is_named(made, tmp_path, capsys):
    data, model = made
    assert call("evaluate-anomaly", tmp_path, data) == 2
    assert re.search(r"recipe\.yaml: cannot be read", capsys.readouterr().err)
    (tmp_path / "recipe.yaml").write_text("format: 1\nkind: folder\nmodel: view\n", encoding="utf-8")
    assert call("evaluate-anomaly", tmp_path, data) == 2
    assert re.search(r"field 'model_hash': is missing", capsys.readouterr().err)
    shutil.copy(model / "recipe.yaml", tmp_path)
    assert call("evaluate-anomaly", tmp_path, data) == 2
    assert re.search(r"view: not a model package", capsys.readouterr().err)
    assert call("evaluate-anomaly", model, data, "--mm-per-pixel", "0") == 2
    assert re.search(r"'0': needs a number of millimetres above 0", capsys.readouterr().err)
    assert call("evaluate-anomaly", model, data, "--mm-per-pixel", 0.001) == 2
    assert re.search(r"\.png: 3072 pixels count.*check the millimetres", capsys.readouterr().err)
