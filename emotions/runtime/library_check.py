"""Whether CUDA's libraries can be loaded, found out in another process: a broken one may end the process that tries."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from emotions.runtime.load_check import helper_environment

FAILED = 3
"""Exit code of the process where a library does not load."""
NOTE, REASON = "load ", "because "
"""What its lines begin with: the library that is loaded next, and the loader's message."""

BROKEN = "a library is broken"
"""What a fault begins with where loading it ends the process, or never ends."""

_HELPER = "from emotions.runtime.library_check_process import main; main()"
_SECONDS = 120.0
_MAX_LINE = 500


def libraries(provider: Literal["cuda", "tensorrt"] = "cuda") -> tuple[str, ...]:
    """The libraries of a provider of ONNX Runtime, those that they depend on aside; none where it is not there.

    Args:
        provider: its name.
    """
    folder = Path(ort.__file__).parent / "capi"
    own = folder / f"libonnxruntime_providers_{provider}.so"
    if not own.exists():
        return ()
    before, after = ((), ("libcudnn.so.9",)) if provider == "cuda" else (tensorrt_wheel(), ())
    return *before, str(folder / "libonnxruntime_providers_shared.so"), str(own), *after


def tensorrt_wheel() -> tuple[str, ...]:
    """TensorRT's libraries in its wheel, where they are on no path of the loader's; none where it is not installed."""
    found = importlib.util.find_spec("tensorrt_libs")
    folders = [] if found is None else [Path(folder) for folder in found.submodule_search_locations or []]
    names = ("libnvinfer.so.*", "libnvinfer_plugin.so.*", "libnvonnxparser.so.*")
    return tuple(str(path) for folder in folders for name in names for path in sorted(folder.glob(name))[:1])


@cache
def library_fault(names: tuple[str, ...]) -> str:
    """Why libraries cannot be loaded, in one line; empty where they can. Once a process for the same ones.

    Args:
        names: of libraries, or their paths; CUDA's are loaded first from its wheels, as ONNX Runtime does it.
    """
    if not names:
        return ""
    command = [sys.executable, "-P", "-B", "-c", _HELPER, *names]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            env=helper_environment(),
        )
    except subprocess.TimeoutExpired as error:
        return f"{BROKEN} ({_last(error.stdout, NOTE)} does not load within {_SECONDS:.0f} s)"
    except OSError as error:
        return f"its libraries cannot be checked ({error.strerror})"
    if done.returncode == FAILED:
        return f"a library is missing ({_last(done.stdout, REASON)})"
    how = _in_words(done.returncode)
    return f"{BROKEN} ({_last(done.stdout, NOTE)} ends its process {how})" if done.returncode else ""


def _last(output: bytes | None, kind: str) -> str:
    """The last line of a kind, without what it begins with."""
    lines = (output or b"").decode(errors="replace").splitlines()
    return next((line.removeprefix(kind)[:_MAX_LINE] for line in reversed(lines) if line.startswith(kind)), "one")


def _in_words(code: int) -> str:
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"with status {code}"
