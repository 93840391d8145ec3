"""A fitted model as one ONNX graph says in plain ONNX Runtime what the model says."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from inspection_cell.anomaly import export
from inspection_cell.anomaly.backbone import load_backbone
from inspection_cell.anomaly.backbone_card import CAFFE, describe_backbone
from inspection_cell.anomaly.fit import FitSettings, fit_views
from inspection_cell.anomaly.package import load_package
from inspection_cell.anomaly.score import load_model
from inspection_cell.cli.main import main
from inspection_cell.recipe.paths import share_folder

SHIPPED = share_folder() / "models" / "backbone"


def part(seed, defect=False):
    """A ring on a dark ground, 160 x 120, with its own noise and light; a defect is a dark scratch."""
    rng = np.random.default_rng(seed)
    image = np.full((120, 160, 3), 40.0)
    cv2.circle(image, (80, 60), 40, (150, 140, 120), 18)
    image = image * rng.uniform(0.95, 1.05) + rng.normal(0, 3, image.shape)
    if defect:
        cv2.line(image, (75, 10), (90, 34), (20, 20, 30), 4)
    return np.clip(image, 0, 255).astype(np.uint8)


def fit(folder, backbone, size, storage="float32", channels=40):
    settings = FitSettings(size=size, channels=channels, n=1, storage=storage)
    fit_views({"g1.top": [part(seed) for seed in range(12)]}, backbone, folder, settings)
    return folder / "g1.top"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("small"), load_backbone(SHIPPED), 64)


def run(*arguments):
    """The exit code of `inspection-cell ...`."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


class Elsewhere:
    """The graph on a machine without this software: ONNX Runtime, OpenCV and what stands in the file."""

    def __init__(self, file):
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        self.facts = self.session.get_modelmeta().custom_metadata_map
        self.size = int(self.facts["size"])

    def place(self, image):
        """x, y, width and height of the picture in the square."""
        height, width = image.shape[:2]
        w, h = (round(self.size * side / max(height, width)) for side in (width, height))
        return (self.size - w) // 2, (self.size - h) // 2, w, h

    def judge(self, image):
        """Heat map (size, size) and score."""
        x, y, w, h = self.place(image)
        shrinking = w < image.shape[1] or h < image.shape[0]
        square = np.tile(np.float32(json.loads(self.facts["padding"])), (self.size, self.size, 1))
        method = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        square[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=method)
        heat, score = self.session.run(["heat_map", "score"], {"image": square[None]})
        assert heat.shape == (1, 1, self.size, self.size) and score.shape == (1,)
        return heat[0, 0], float(score[0])


def assert_same(model, elsewhere):
    for seed, defect in ((100, False), (101, True)):
        whole = part(seed, defect)
        heat, _ = elsewhere.judge(whole)
        expected = model.score(whole)
        np.testing.assert_allclose(heat, expected.heat_map, rtol=0, atol=1e-4 * expected.heat_map.max())
        x, y, w, h = elsewhere.place(whole)
        normaliser = json.loads(elsewhere.facts["normaliser"])
        inside = (heat[y : y + h, x : x + w].max() - normaliser["centre"]) / normaliser["spread"]
        assert inside == pytest.approx(expected.score, rel=1e-3, abs=1e-3)
        square = np.ascontiguousarray(whole[:, 20:140])
        assert elsewhere.judge(square)[1] == pytest.approx(model.score(square).score, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("size", "storage"), [(128, "float16"), (288, "float32")], ids=str)
def test_the_graph_says_what_the_model_says(tmp_path, size, storage):
    folder = fit(tmp_path, load_backbone(SHIPPED), size, storage)
    file = tmp_path / "model.onnx"
    exported = export.export_model(folder, file)
    assert exported.bytes == file.stat().st_size and exported.difference < 1e-4
    types = {tensor.data_type for tensor in onnx.load(file).graph.initializer}
    assert (TensorProto.FLOAT16 in types) == (storage == "float16")
    assert_same(load_model(folder), Elsewhere(file))


def test_a_network_that_does_not_pad_and_takes_blue_first(tmp_path):
    rng = np.random.default_rng(0)
    nodes, tensors, source = [], [], "pixels"
    for i in range(4):
        weights = rng.normal(size=(3 + i, 3 + max(i - 1, 0), 5, 5)).astype(np.float32) / 12
        tensors.append(numpy_helper.from_array(weights, f"w{i}"))
        nodes.append(helper.make_node("Conv", [source, f"w{i}"], [f"c{i}"], kernel_shape=[5, 5], strides=[2, 2]))
        nodes.append(helper.make_node("LeakyRelu", [f"c{i}"], [f"r{i}"]))
        source = f"r{i}"
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, "h", "w"])
    answer = helper.make_tensor_value_info(source, TensorProto.FLOAT, ["n", 6, "a", "b"])
    graph = helper.make_graph(nodes, "unpadded", [pixels], [answer], tensors)
    network = tmp_path / "unpadded.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(network))
    card = describe_backbone(network, ("r1", "r2", "r3"), convention=CAFFE)
    card = replace(card, outputs=tuple(replace(output, scale=0.3) for output in card.outputs))
    folder = fit(tmp_path / "fit", load_backbone(network, card=card), 128, channels=9)
    export.export_model(folder, tmp_path / "model.onnx")
    assert_same(load_model(folder), Elsewhere(tmp_path / "model.onnx"))


def test_the_command_writes_a_graph_that_says_what_it_is(small, tmp_path, capsys):
    file = tmp_path / "new" / "model.onnx"
    assert run("export-anomaly", small, "--out", file) == 0
    assert "view g1.top" in capsys.readouterr().out
    onnx.checker.check_model(str(file), full_check=True)
    package, elsewhere = load_package(small), Elsewhere(file)
    assert_same(load_model(small), elsewhere)
    facts = elsewhere.facts
    assert (facts["view_id"], facts["model_sha256"], facts["channel_order"]) == ("g1.top", package.sha256, "RGB")
    assert json.loads(facts["limits"])["uncertain"] == package.card.limits.uncertain


def test_what_cannot_be_exported_is_said(small, tmp_path, capsys, monkeypatch):
    file = tmp_path / "model.onnx"
    cases = {tmp_path / "nothing": "not a model package", small.parent: f"name one of: {small}"}
    bfloat = tmp_path / "models" / "bfloat"
    shutil.copytree(small, bfloat)
    card = json.loads((bfloat / "card.json").read_text())
    (bfloat / "card.json").write_text(json.dumps({**card, "precision": "bfloat16"}))
    for folder, text in (cases | {bfloat: "fitted on bfloat16 features"}).items():
        assert run("export-anomaly", folder, "--out", file) == 2
        assert text in capsys.readouterr().err
    monkeypatch.setattr(export, "MOST_BYTES", 1000)
    assert run("export-anomaly", small, "--out", file) == 2
    assert "--storage float16 or a smaller --size" in capsys.readouterr().err
    assert not file.exists()
