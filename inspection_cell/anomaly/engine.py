"""What runs the network: ONNX Runtime or OpenVINO. The only place that knows them, and says what really runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from inspection_cell.anomaly.engine_config import CPU, EngineConfig
from inspection_cell.anomaly.errors import ModelError

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
        if config.precision != "float32":
            raise ModelError(f"precision {config.precision} needs provider openvino, not {config.provider}")
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


def load_engine(onnx_bytes: bytes, outputs: Sequence[str], config: EngineConfig = CPU) -> Engine:
    """Loads a network whose graph has these outputs.

    Raises:
        ModelError: the network, the provider or the precision cannot be had here.
    """
    make = OpenvinoEngine if config.provider == "openvino" else OnnxRuntimeEngine
    try:
        return make(onnx_bytes, outputs, config)
    except ModelError:
        raise
    except Exception as error:  # both raise their own exceptions without a common base
        raise ModelError(f"{config.provider} cannot load the network: {error}") from error
