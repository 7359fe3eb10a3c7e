"""What ONNX Runtime says of its kernels is read, and attention that is not fused is a failure."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from benchmarks.gpu.step import Bench
from benchmarks.gpu.steps import provider

LINE = (
    "\x1b[36mOperator=MultiHeadAttention Node=node_attention DataType={kind} SdpaKernel={kernel}\x1b[0m\n"
    "AttentionKernelOptions: FLASH_ATTENTION=1 EFFICIENT_ATTENTION=1 MATH=1"
)


class Saying:
    """A session that prints a kernel whenever it runs."""

    def __init__(self, path: Path, kernel: str) -> None:
        self.line = LINE.format(kind="fp16" if "fp16" in path.name else "fp32", kernel=kernel)

    def run(self, *_: Any) -> list[np.ndarray]:
        os.write(1, self.line.encode())
        return []


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], dict[str, Any]]:
    """``figures(fp32, fp16)``: what the step finds where models run such kernels."""

    def found(fp32: str, fp16: str) -> dict[str, Any]:
        def opened(path: Path, *_: Any) -> Saying:
            return Saying(path, fp16 if "fp16" in path.name else fp32)

        monkeypatch.setattr(provider, "open_bare", opened)
        monkeypatch.setattr(provider, "on_device", lambda session, *_: session.run)
        monkeypatch.setattr(provider.onnx, "save", lambda *_: None)
        monkeypatch.setattr(provider.onnx, "load", lambda *_, **__: ModelProto())
        (tmp_path / "bundles" / "base").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundles" / "base" / "manifest.json").touch()
        monkeypatch.setenv(provider._SAYS, "0")
        collected: dict[str, Any] = {}
        try:
            collected.update(provider.attention(Bench(tmp_path, tmp_path)))
        except RuntimeError as error:
            collected["failed"] = str(error)
        return collected

    return found


def test_the_kernel_of_each_attention_is_read(figures: Callable[[str, str], dict[str, Any]]) -> None:
    found = figures("MATH", "EFFICIENT_ATTENTION")
    assert found["base, fp16, a window"] == {"EFFICIENT_ATTENTION": 1}
    assert found["base, fp32, a second"] == {"MATH": 1}  # below 256 frames ONNX Runtime fuses none in fp32
    assert "failed" not in found


def test_unfused_attention_in_fp16_is_a_failure(figures: Callable[[str, str], dict[str, Any]]) -> None:
    assert figures("MATH", "MATH")["failed"].startswith("2 attentions in fp16 ran unfused (MATH)")
