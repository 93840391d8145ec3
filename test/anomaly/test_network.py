"""Networks that compute only the chosen channels give the same numbers; engines say what they run on."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from inspection_cell.anomaly.backbone import load_backbone
from inspection_cell.anomaly.engine import load_engine
from inspection_cell.anomaly.engine_config import EngineConfig
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.network import expose, select_channels
from inspection_cell.recipe.paths import share_folder

SHIPPED = share_folder() / "models" / "backbone"


def fire_network():
    """One convolution, then two branches joined, an addition and a function: `joined` is the last, `first` inner."""
    rng = np.random.default_rng(0)
    weights = {"w0": (6, 3, 3, 3), "b0": (6,), "w1": (4, 6, 1, 1), "b1": (4,), "w2": (5, 6, 3, 3), "w3": (9, 6, 1, 1)}
    tensors = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in weights.items()]
    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["first"]),
        helper.make_node("Conv", ["first", "w1", "b1"], ["c1"]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["first", "w2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Concat", ["r1", "c2"], ["both"], axis=1),
        helper.make_node("Conv", ["first", "w3"], ["c3"]),
        helper.make_node("Add", ["both", "c3"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["joined"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])
    outputs = [helper.make_empty_tensor_value_info(name) for name in ("first", "joined")]
    graph = helper.make_graph(nodes, "fire", [image], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("chosen", [[0], [8], [0, 3, 4, 8], [1, 2], [5, 6], list(range(9))])
def test_chosen_channels_are_the_same_numbers(chosen):
    network, image = fire_network(), np.random.default_rng(1).normal(size=(1, 3, 8, 10)).astype(np.float32)
    whole = load_engine(network, ["first", "joined"]).run(image)
    channels = {"first": np.array([1, 4]), "joined": np.array(chosen)}
    smaller = select_channels(network, channels)
    found = load_engine(smaller, ["first", "joined"]).run(image)
    for part, everything, places in zip(found, whole, channels.values(), strict=True):
        assert part.shape[1] == 16, "zeros up to 16, which runtimes compute side by side"
        np.testing.assert_allclose(part[:, : len(places)], everything[:, places], rtol=1e-5, atol=1e-6)
        assert not part[:, len(places) :].any()


def test_what_is_not_chosen_is_not_computed():
    smaller = onnx.load_from_string(select_channels(fire_network(), {"joined": np.array([5, 6])}))
    shapes = {tuple(t.dims) for t in smaller.graph.initializer if len(t.dims) == 4}
    assert (4, 6, 1, 1) not in shapes and (5, 6, 3, 3) not in shapes, "the first branch is gone, the second smaller"


def test_the_shipped_backbone_with_chosen_channels():
    backbone = load_backbone(SHIPPED)
    names = [output.name for output in backbone.card.outputs]
    image = np.random.default_rng(2).normal(size=(1, 3, 64, 64)).astype(np.float32)
    whole = load_engine(expose(backbone.onnx_bytes, names), names).run(image)
    channels = {name: np.arange(0, o.channels, 3) for name, o in zip(names, backbone.card.outputs, strict=True)}
    found = load_engine(select_channels(backbone.onnx_bytes, channels), names).run(image)
    for part, everything, places in zip(found, whole, channels.values(), strict=True):
        np.testing.assert_allclose(part[:, : len(places)], everything[:, places], rtol=1e-4, atol=1e-5)


def test_engines_say_what_they_run_on_or_what_is_missing():
    network = fire_network()
    assert load_engine(network, ["joined"]).provider == "CPUExecutionProvider"
    with pytest.raises(ModelError, match="needs provider openvino"):
        load_engine(network, ["joined"], EngineConfig(precision="bfloat16"))
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(ModelError, match=r"this onnxruntime has .* or choose cpu"):
            load_engine(network, ["joined"], EngineConfig(provider="cuda"))
    with pytest.raises(ModelError, match="cannot load the network"):
        load_engine(b"no network", ["joined"])


@pytest.mark.parametrize(("provider", "says"), [("openvino", "OpenVINO CPU float32"), ("ncnn", "ncnn ")])
def test_others_give_the_same_numbers(provider, says):
    pytest.importorskip(provider)
    network, image = fire_network(), np.random.default_rng(1).normal(size=(1, 3, 8, 10)).astype(np.float32)
    names = ["first", "joined"]
    engine = load_engine(network, names, EngineConfig(provider=provider))
    assert engine.provider.startswith(says)
    for found, wanted in zip(engine.run(image), load_engine(network, names).run(image), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
