"""A fake of ONNX Runtime's CUDA provider for a dry run: what asks for a GPU runs on the CPU, and nothing else differs.

For the process of a step, and for that of a service; nothing takes it back.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_inference_collection import IOBinding

from emotions.runtime import gpu_causes

CUDA = "CUDAExecutionProvider"
NO_MEMORY = "Failed to allocate memory for requested buffer of size 12582912"
"""What it raises while ``full`` is set, as the provider does."""
full = False

_CPU = "CPUExecutionProvider"
_DEVICE = "/dev/nvidiactl"
_NO_FALLBACK = "session.disable_cpu_ep_fallback"


class FakeOptions(ort.SessionOptions):  # type: ignore[misc]  # of a library without types
    """Options that never forbid the CPU, the only provider there is."""

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Set one, but not that."""
        if key != _NO_FALLBACK:
            super().add_session_config_entry(key, value)


class FakeSession(ort.InferenceSession):  # type: ignore[misc]
    """A session on the CPU that says that it is one on the GPU, where it was asked to be."""

    def __init__(self, path: Any, sess_options: Any = None, providers: Sequence[Any] = (), **rest: Any) -> None:
        names = [each if isinstance(each, str) else each[0] for each in providers]
        self._fake = CUDA in names
        self._need_room()
        super().__init__(path, sess_options, [_CPU], **rest)

    def get_providers(self) -> list[str]:
        """Those that were asked for."""
        return [CUDA, _CPU] if self._fake else [_CPU]

    def run(self, *arguments: Any, **options: Any) -> Any:
        """Run, unless the card is full."""
        self._need_room()
        return super().run(*arguments, **options)

    def run_with_iobinding(self, *arguments: Any, **options: Any) -> None:
        """Run, unless the card is full."""
        self._need_room()
        super().run_with_iobinding(*arguments, **options)

    def _need_room(self) -> None:
        if full and self._fake:
            raise RuntimeError(NO_MEMORY)


def install() -> None:
    """Put the fake in place of ONNX Runtime's classes, and a card among the system's devices."""
    exists, value, output = pathlib.Path.exists, ort.OrtValue, IOBinding.bind_output
    make, copied = value.ortvalue_from_shape_and_type, value.ortvalue_from_numpy

    def card_exists(path: pathlib.Path, **options: Any) -> bool:
        return path.as_posix() == _DEVICE or exists(path, **options)

    def in_memory(device: str) -> str:
        return "cpu" if device == "cuda" else device

    value.ortvalue_from_shape_and_type = staticmethod(
        lambda shape, kind, device="cpu", number=0, *_: make(shape, kind, in_memory(device), number)
    )
    value.ortvalue_from_numpy = staticmethod(
        lambda array, device="cpu", number=0, *_: copied(array, in_memory(device), number)
    )
    IOBinding.bind_output = lambda binding, name, device="cpu", *rest, **options: output(
        binding, name, in_memory(device), *rest, **options
    )
    pathlib.Path.exists = card_exists  # type: ignore[method-assign,assignment]
    ort.SessionOptions, ort.InferenceSession = FakeOptions, FakeSession
    ort.get_available_providers = lambda: [CUDA, _CPU]
    ort.preload_dlls = lambda *_, **__: None
    gpu_causes.library_fault = lambda _: ""  # type: ignore[attr-defined,assignment]
