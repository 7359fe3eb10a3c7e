"""The process of ``library_check``: loads the libraries that its command line names, notes each before, and ends."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from typing import Any


def main() -> None:
    """Load CUDA's libraries as ONNX Runtime does, then those that are named; exit code FAILED if one does not load."""
    from emotions.runtime.library_check import FAILED, REASON

    _without_core_dump()
    stream = sys.stdout
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # ONNX Runtime prints what it does not find
            _load(sys.argv[1:], stream)
    except OSError as error:
        stream.write(f"{REASON}{' '.join(str(error).split())}\n")
        stream.flush()
        os._exit(FAILED)
    os._exit(0)  # a library may crash, or hang, while it is unloaded


def _load(names: list[str], stream: Any) -> None:
    import onnxruntime as ort

    from emotions.runtime.library_check import NOTE

    real = ctypes.CDLL

    def noted(name: Any, *arguments: Any, **options: Any) -> Any:
        stream.write(f"{NOTE}{name}\n")
        stream.flush()
        return real(name, *arguments, **options)

    ctypes.CDLL = noted  # type: ignore[assignment,misc]  # those of ONNX Runtime are noted, too
    ort.preload_dlls()
    for name in names:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


def _without_core_dump() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
