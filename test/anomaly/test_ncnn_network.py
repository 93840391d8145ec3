"""Networks translated for ncnn give the numbers that ONNX Runtime gives; what is not translated is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from inspection_cell.anomaly.backbone import choose_channels, load_backbone
from inspection_cell.anomaly.engine import load_engine
from inspection_cell.anomaly.engine_config import EngineConfig
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.preprocess import make_mapping
from inspection_cell.recipe.paths import share_folder

pytest.importorskip("ncnn", reason="ncnn is not installed: pip install ncnn")
NCNN = EngineConfig(provider="ncnn")
SHIPPED = share_folder() / "models" / "backbone"


def network(nodes, weights, *outputs):
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), name) for name, v in weights.items()]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])
    made = [helper.make_empty_tensor_value_info(name) for name in outputs]
    graph = helper.make_graph(nodes, "some", [image], made, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def assert_same(onnx_bytes, outputs, shape=(1, 3, 33, 40)):
    image = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    found = load_engine(onnx_bytes, outputs, NCNN).run(image)
    for one, wanted in zip(found, load_engine(onnx_bytes, outputs).run(image), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))
sides = st.lists(st.integers(0, 3), min_size=4, max_size=4)
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(
    kernel=pairs,
    pads=sides,
    strides=steps,
    dilations=steps,
    channels=st.sampled_from((1, 5, 16, 24)),
    bias=st.booleans(),
)
def test_any_convolution(kernel, pads, strides, dilations, channels, bias):
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(channels, 3, *kernel))} | ({"b": rng.normal(size=channels)} if bias else {})
    names = ["image", *weights]
    settings_ = {"pads": pads, "strides": strides, "dilations": dilations}
    assert_same(network([helper.make_node("Conv", names, ["out"], **settings_)], weights, "out"), ["out"])


@settings(max_examples=30, deadline=None)
@given(
    kernel=st.integers(2, 4),
    side=st.integers(0, 1),
    strides=steps,
    size=st.tuples(st.integers(9, 30), st.integers(9, 30)),
)
def test_any_pool(kernel, side, strides, size):
    pool = {"kernel_shape": [kernel] * 2, "pads": [side] * 4, "strides": strides}
    assert_same(network([helper.make_node("MaxPool", ["image"], ["out"], **pool)], {}, "out"), ["out"], (1, 3, *size))


def test_a_pool_that_rounds_up_a_normalisation_and_a_tensor_with_many_users():
    rng = np.random.default_rng(1)
    weights = {"w": rng.normal(size=(8, 3, 3, 3)), "s": rng.normal(size=8), "b": rng.normal(size=8)}
    weights |= {"m": rng.normal(size=8), "v": rng.uniform(0.5, 2, size=8)}
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], epsilon=1e-3),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Add", ["r", "c"], ["sum"]),
        helper.make_node("Concat", ["sum", "r", "c"], ["all"], axis=1),
        helper.make_node("MaxPool", ["all"], ["out"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        helper.make_node("GlobalAveragePool", ["out"], ["never asked for"]),
    ]
    assert_same(network(nodes, weights, "r", "out"), ["r", "out"], (1, 3, 32, 32))


def test_a_convolution_whose_relu_is_not_its_only_user_keeps_its_own_numbers():
    weights = {"w": np.random.default_rng(2).normal(size=(4, 3, 3, 3))}
    nodes = [helper.make_node("Conv", ["image", "w"], ["c"]), helper.make_node("Relu", ["c"], ["r"])]
    assert_same(network(nodes, weights, "c", "r"), ["c", "r"])
    assert_same(network(nodes, weights, "r"), ["r"])


@pytest.mark.parametrize(
    ("nodes", "named"),
    [
        ([helper.make_node("Sigmoid", ["image"], ["out"])], "Sigmoid"),
        ([helper.make_node("Concat", ["image", "image"], ["out"], axis=2)], "Concat of another kind"),
        ([helper.make_node("MaxPool", ["image"], ["out"], kernel_shape=[2, 2], auto_pad="SAME_UPPER")], "MaxPool of"),
        ([helper.make_node("Conv", ["image", "w"], ["out"], group=3)], "Conv of another kind"),
    ],
)
def test_what_is_not_translated_is_named(nodes, named):
    weights = {"w": np.zeros((3, 1, 3, 3))}
    with pytest.raises(ModelError, match=f"{named}.*use provider cpu"):
        load_engine(network(nodes, weights, "out"), ["out"], NCNN)
    with pytest.raises(ModelError, match="needs provider openvino"):
        load_engine(network(nodes, weights, "out"), ["out"], EngineConfig(provider="ncnn", precision="bfloat16"))


def test_the_shipped_backbone():
    ours, wanted = load_backbone(SHIPPED, NCNN), load_backbone(SHIPPED)
    image = np.random.default_rng(4).integers(0, 256, (100, 120, 3), np.uint8)
    mapping, channels = make_mapping(120, 100, 128), choose_channels(ours.card, 100, 0)
    for _ in range(2):
        grids = zip(*(b.features(image, mapping, channels) for b in (ours, wanted)), strict=True)
        for found, reference in grids:
            np.testing.assert_allclose(found, reference, atol=1e-5 * np.abs(reference).max())
    assert ours.provider.startswith("ncnn ")
