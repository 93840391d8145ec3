"""What is to run the networks: a section of the cell's configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EngineConfig(BaseModel):
    """What is to run the networks, and how exactly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["cpu", "ncnn", "openvino", "cuda", "tensorrt"] = Field(
        default="cpu",
        description="cpu, cuda and tensorrt by ONNX Runtime; ncnn (the fastest in float32) and openvino need the "
        "package of that name",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="bfloat16: faster with openvino on a processor that has it; models must be fitted with it too",
    )
    threads: int = Field(default=1, ge=1, le=64, description="of one network")


CPU = EngineConfig()
