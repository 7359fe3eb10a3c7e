"""A module as an ONNX file, by PyTorch's exporter alone, for tests of what is exported."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def to_onnx(module: nn.Module, example: tuple[Tensor, Tensor], path: Path) -> Any:
    """Write a module of (batch, samples) and (batch,) to ``path``, for any batch; its ``ModelProto``."""
    batch = {0: torch.export.Dim("batch")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations are no test's subject
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=20,
            input_names=["waveform", "length"],
            dynamic_shapes=(batch, batch),
            verbose=False,
        )
    assert program is not None
    program.save(path)
    return program.model_proto


def traced(module: nn.Module, example: tuple[Tensor, Tensor]) -> Any:
    """A module as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, too
        return torch.jit.trace(module, example, strict=False)  # type: ignore[no-untyped-call]
