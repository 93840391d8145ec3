"""What runs the network: ONNX Runtime, ncnn or OpenVINO. The only place that knows them; it says what really runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.errors import ModelError
from inspection_cell.anomaly.ncnn_network import to_ncnn

_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}


class Engine(Protocol):
    """A loaded network.

    Attributes:
        provider: what it really runs on, e.g. "CPUExecutionProvider" or "OpenVINO CPU bfloat16".
    """

    provider: str

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs for one batch (1, 3, h, w)."""


class OnnxRuntimeEngine:
    """ONNX Runtime."""

    def __init__(self, onnx_bytes: bytes, outputs: Sequence[str], config: EngineConfig) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        wanted, there = _PROVIDERS[config.provider], onnxruntime.get_available_providers()
        if wanted[0] not in there:
            raise ModelError(
                f"provider {config.provider}: this onnxruntime has {', '.join(there)}; install the one for it "
                '(pip install "inspection_cell[gpu]") or choose cpu'
            )
        providers = [name for name in wanted if name in there]
        self._session = onnxruntime.InferenceSession(onnx_bytes, options, providers=providers)
        self._outputs = list(outputs)
        self._input = self._session.get_inputs()[0].name
        self.provider = str(self._session.get_providers()[0])

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [np.asarray(answer) for answer in self._session.run(self._outputs, {self._input: batch})]


class OpenvinoEngine:
    """OpenVINO on the processor."""

    def __init__(self, onnx_bytes: bytes, outputs: Sequence[str], config: EngineConfig) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ModelError("provider openvino: install it (pip install openvino), or choose provider cpu") from error
        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if config.precision == "bfloat16" and "BF16" not in capabilities:
            raise ModelError("precision bfloat16: this processor has no bfloat16 instructions; use float32")
        hint = {"float32": "f32", "bfloat16": "bf16"}[config.precision]
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": config.threads, "NUM_STREAMS": 1}
        compiled = core.compile_model(core.read_model(onnx_bytes), "CPU", settings)
        self._request = compiled.create_infer_request()
        self._outputs = [compiled.output(name) for name in outputs]
        self.provider = f"OpenVINO CPU {config.precision}"

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self._request.infer({0: batch}, share_inputs=True)
        # Copied: the next run overwrites the request's own memory.
        return [np.array(self._request.get_tensor(output).data) for output in self._outputs]


class NcnnEngine:
    """ncnn on the processor: convolutions by Winograd's algorithm, with fewer multiplications."""

    def __init__(self, onnx_bytes: bytes, outputs: Sequence[str], config: EngineConfig) -> None:
        try:
            import ncnn
        except ImportError as error:
            raise ModelError(
                'provider ncnn: install it (pip install "inspection_cell[ncnn]"), or choose provider cpu'
            ) from error
        network = to_ncnn(onnx_bytes, outputs)
        self._ncnn, self._net = ncnn, ncnn.Net()
        options = self._net.opt
        options.num_threads = config.threads
        # Half precision is its default on processors that have it.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        with tempfile.TemporaryDirectory(prefix="inspection_cell-ncnn-") as folder:
            weights = Path(folder, "weights.bin")
            weights.write_bytes(network.weights)
            if self._net.load_param_mem(network.layers) != 0 or self._net.load_model(str(weights)) != 0:
                raise ModelError("provider ncnn cannot load the network; use provider cpu")
        self._input, self._outputs = network.input, network.outputs
        self.provider = f"ncnn {ncnn.__version__} CPU"

    def run(self, batch: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        extractor = self._net.create_extractor()
        extractor.input(self._input, self._ncnn.Mat(np.ascontiguousarray(batch[0])))
        return [self._answer(*extractor.extract(name)) for name in self._outputs]

    def _answer(self, code: int, values: Any) -> NDArray[np.float32]:
        if code != 0:
            raise ModelError(f"provider ncnn cannot run the network (code {code})")
        return np.array(values)[None]


_ENGINES: dict[str, Callable[[bytes, Sequence[str], EngineConfig], Engine]] = {
    "openvino": OpenvinoEngine,
    "ncnn": NcnnEngine,
}


def load_engine(onnx_bytes: bytes, outputs: Sequence[str], config: EngineConfig = CPU) -> Engine:
    """Loads a network whose graph has these outputs.

    Raises:
        ModelError: the network, the provider or the precision cannot be had here.
    """
    if config.precision != "float32" and config.provider != "openvino":
        raise ModelError(f"precision {config.precision} needs provider openvino, not {config.provider}")
    make = _ENGINES.get(config.provider, OnnxRuntimeEngine)
    try:
        return make(onnx_bytes, outputs, config)
    except ModelError:
        raise
    except Exception as error:  # they raise their own exceptions without a common base
        raise ModelError(f"{config.provider} cannot load the network: {error}") from error
