"""A backbone in 8 bit: an ordinary backbone afterwards, and a gate that refuses one that judges differently."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from inspection_cell.anomaly.backbone import load_backbone
from inspection_cell.anomaly.errors import FitError
from inspection_cell.anomaly.fit import FitSettings, fit_views
from inspection_cell.anomaly.images import read_image
from inspection_cell.anomaly.quantise import quantise_backbone
from inspection_cell.anomaly.score import load_model
from inspection_cell.cli.main import main
from inspection_cell.recipe.paths import share_folder

SHIPPED = share_folder() / "models" / "backbone"
HAZELNUTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "hazelnut_toy"


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    """30 pictures of a plate with a hole."""
    folder = tmp_path_factory.mktemp("plates")
    rng = np.random.default_rng(0)
    for i in range(30):
        picture = np.full((96, 96, 3), 120.0)
        cv2.circle(picture, (int(48 + rng.integers(-2, 3)), 48), 20, (40, 50, 60), -1, cv2.LINE_AA)
        noisy = np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:02}.png"), noisy)
    return folder


@pytest.mark.skipif(not HAZELNUTS.is_dir(), reason=f"real images are not there: {HAZELNUTS}")
def test_it_judges_alike_and_is_fitted_and_loaded_as_any_other(tmp_path):
    settings = FitSettings(size=128, n=1)
    gate = quantise_backbone(load_backbone(SHIPPED), HAZELNUTS, tmp_path / "int8", settings)
    good, defects = (sorted((HAZELNUTS / name).iterdir()) for name in ("train/good", "test/colour"))
    assert gate.passed
    assert gate.images == len(good) + len(list((HAZELNUTS / "test").rglob("*.*g")))
    quantised = load_backbone(tmp_path / "int8")
    weights = [t for t in onnx.load_from_string(quantised.onnx_bytes).graph.initializer if len(t.dims) == 4]
    values = [numpy_helper.to_array(tensor) for tensor in weights]
    assert {array.dtype for array in values} == {np.dtype(np.int8)}
    assert max(np.abs(array.astype(int)).max() for array in values) < 65, "would overflow on processors without VNNI"
    fit_views({"view": good}, quantised, tmp_path / "model", settings)
    model = load_model(tmp_path / "model" / "view")
    scores = [model.score(read_image(path)).score for path in defects[:3]]
    assert min(scores) > model.card.limits.uncertain


def test_a_network_that_8_bit_spoils_is_not_written(plates, tmp_path, capsys):
    """One channel's weights a hundred thousand times as large: beside them the others' activations round to nothing."""
    broken = tmp_path / "broken"
    shutil.copytree(SHIPPED, broken)
    network = onnx.load(str(broken / "backbone.onnx"))
    spoiled = next(t for t in network.graph.initializer if len(t.dims) == 4 and t.dims[1] == 48)
    values = numpy_helper.to_array(spoiled).copy()
    values[0] *= 1e5
    spoiled.CopyFrom(numpy_helper.from_array(values, spoiled.name))
    onnx.save(network, str(broken / "backbone.onnx"))
    (broken / "card.json").unlink()
    out = tmp_path / "int8"
    network_file = str(broken / "backbone.onnx")
    with pytest.raises(SystemExit) as stopped:
        main(["quantise-backbone", str(plates), "--backbone", network_file, "--size", "64", "--out", str(out)])
    assert stopped.value.code == 1
    assert "judges differently" in capsys.readouterr().err
    assert not out.exists()


def test_too_few_images_to_tell_are_refused(plates, tmp_path):
    few = tmp_path / "few"
    shutil.copytree(plates, few, ignore=lambda _, names: sorted(names)[5:])
    with pytest.raises(FitError, match="5 images"):
        quantise_backbone(load_backbone(SHIPPED), few, tmp_path / "int8", FitSettings(n=1))
