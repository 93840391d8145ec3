"""The backbone that ships, its card, and where features lie in the image."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inspection_cell.anomaly.backbone import choose_channels, load_backbone, to_grid
from inspection_cell.anomaly.backbone_card import FeatureOutput, describe_backbone, write_card
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.preprocess import make_mapping

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "backbone"


@pytest.fixture(scope="module")
def backbone():
    return load_backbone(SHIPPED)


def everything(backbone):
    return [np.arange(output.channels) for output in backbone.card.outputs]


def test_grids_are_in_the_exact_ratio(backbone):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    grids = backbone.features(image, make_mapping(120, 90, 128), everything(backbone))
    assert [grid.shape[1:] for grid in grids] == [(32, 32), (16, 16), (8, 8)]
    assert backbone.provider == "CPUExecutionProvider"


def test_the_card_agrees_with_the_graph(backbone):
    described = describe_backbone(SHIPPED / "backbone.onnx")
    assert described.sha256 == backbone.card.sha256
    assert [(o.name, o.channels, o.origin) for o in described.outputs] == [
        (o.name, o.channels, o.origin) for o in backbone.card.outputs
    ]


def test_a_changed_file_or_a_missing_one_is_refused(tmp_path):
    folder = tmp_path / "backbone"
    with pytest.raises(ModelError, match="no such backbone"):
        load_backbone(folder)
    shutil.copytree(SHIPPED, folder)
    data = bytearray((folder / "backbone.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "backbone.onnx").write_bytes(data)
    with pytest.raises(ModelError, match="sha256"):
        load_backbone(folder)
    (folder / "card.json").write_text('{"name": "x"}')
    with pytest.raises(ModelError, match=r"card\.json"):
        load_backbone(folder)


def averaging_network(path):
    """Unpadded 5x5 averages at stride 2, 2, 2, 2 whose inner tensors are no outputs: places must be worked out."""
    kernel = numpy_helper.from_array(np.full((3, 1, 5, 5), 1 / 25, np.float32), "k")
    nodes, source = [], "image"
    for i in range(4):
        convolution = helper.make_node("Conv", [source, "k"], [f"c{i}"], kernel_shape=[5, 5], strides=[2, 2], group=3)
        nodes += [convolution, helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        source = f"r{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [source], ["y"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 256, 256])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 1, 1])
    graph = helper.make_graph(nodes, "averages", [image], [answer], [kernel])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))


def test_features_of_an_unpadded_network_lie_where_they_looked(tmp_path):
    file = tmp_path / "averages.onnx"
    averaging_network(file)
    card = describe_backbone(file, ("r1", "r2", "r3"))
    assert [o.origin for o in card.outputs] == [6.0, 14.0, 30.0]
    write_card(card, tmp_path / "averages.card.json")
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    backbone = load_backbone(file)
    grids = backbone.features(ramp, make_mapping(256, 256, 256), everything(backbone))
    for grid, output in zip(grids, card.outputs, strict=True):
        seen = (grid[0, 3] * card.std[0] + card.mean[0]) * 255
        column = np.arange(len(seen)) * output.stride + (output.stride - 1) / 2
        well_inside = (column > output.origin) & (column < 255 - output.origin) & (ramp[0, 0] * seen == 0)
        bright = column > 255 * card.mean[0] + 40  # below the mean, ReLU cuts
        np.testing.assert_allclose(seen[well_inside & bright], column[well_inside & bright], atol=0.6)


def test_a_grid_that_does_not_cover_the_image_is_refused():
    with pytest.raises(ModelError, match="do not fit"):
        to_grid(np.zeros((2, 20, 20), np.float32), FeatureOutput("f", 2, 4, 0.0), 256)


def test_channels_are_seeded_and_stratified(backbone):
    first, again, other = (choose_channels(backbone.card, 70, seed) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    sizes = np.array([output.channels for output in backbone.card.outputs])
    shares = np.array([len(np.unique(chosen)) for chosen in first])
    assert shares.sum() == 70 and np.abs(shares - 70 * sizes / sizes.sum()).max() < 1
    with pytest.raises(ModelError):
        choose_channels(backbone.card, 10_000, 0)
