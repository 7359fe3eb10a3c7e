"""A graph that is new on this machine is loaded first in a process with limits: a hostile one is refused, in one line.

A few bytes of a graph may ask for any memory (constants that are folded while it is loaded) and any time (a loop), and
ONNX Runtime stops at neither. The process has no thread of its caller's, starts from nothing, runs on the CPU, loads
the model, replays the probe and ends; once it has ended well, the files' hashes are remembered in the user's cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import onnxruntime as ort

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import PROBE, Manifest
from emotions.errors import BundleError
from emotions.files.cache import cache_root
from emotions.runtime.environment import number_of

SWITCH, MEMORY, SECONDS = "EMOTIONS_LOAD_CHECK", "EMOTIONS_LOAD_CHECK_GB", "EMOTIONS_LOAD_CHECK_SEC"
"""Environment variables: ``off`` for no check; GiB of memory and seconds that it may take."""

REFUSED, TOO_LARGE = 3, 4
"""Exit codes of the process: the reason is on its standard output; it lacked memory."""

_HELPER = "from emotions.runtime.load_check_process import main; main()"
# A base-size encoder (94 million parameters) takes 1.7 GiB for 360 MiB of fp32 and 1.3 GiB for 116 MiB of int8, the
# probe's minute of speech included: half of what it may.
_BASE_GB, _TIMES = 1.25, 6
_BASE_SEC, _SEC_PER_GB = 60.0, 200.0
_MAX_THREADS = 8
_MAX_REASON = 2_000
_GB = 1 << 30
_MOST = 1e6
_CHECKED: set[str] = set()


def check_graph(bundle: Bundle, variant: str, device: str, threads: int) -> None:
    """Load one variant of a bundle within limits, unless that was done before on this machine.

    Args:
        bundle: an opened bundle.
        variant: one of its ONNX variants.
        device: where it will run, ``cpu`` or ``cuda``; it is checked on the CPU, and what only GPUs can run passes.
        threads: CPU threads of one run.

    Raises:
        BundleError: it takes more memory or time than it may, ends the process, or does not answer its probe.
        ConfigError: one of the settings is no number.
    """
    key = _key(bundle.manifest, variant)
    if os.environ.get(SWITCH) == "off" or key in _CHECKED or _remembered(key):
        return
    _run(bundle, variant, device, min(threads, _MAX_THREADS))
    _remember(key)


def remember(manifest: Manifest) -> None:
    """Take a bundle's graphs as checked: they were made and run on this machine, by the export."""
    for name, variant in manifest.variants.items():
        if variant.file.endswith(".onnx"):
            _remember(_key(manifest, name))


def _key(manifest: Manifest, variant: str) -> str:
    """Hash of all that the check depends on: the model, weights beside it, the probe and the runtime's version."""
    model = manifest.variants[variant].file
    hashes = [value for name, value in sorted(manifest.files.items()) if _belongs(name, model)]
    return hashlib.sha256("\n".join([ort.__version__, model, *hashes]).encode()).hexdigest()


def _belongs(name: str, model: str) -> bool:
    return name == PROBE or name.startswith(model)


def _folder() -> Path:
    return cache_root() / "checked_models"


def _remembered(key: str) -> bool:
    """Whether this user has the key in the cache; what another user wrote there does not count."""
    try:
        about = (_folder() / key).lstat()
    except OSError:
        return False
    return not hasattr(os, "getuid") or about.st_uid == os.getuid()


def _remember(key: str) -> None:
    """Keep a key; where the cache cannot be written, as long as this process."""
    _CHECKED.add(key)
    with contextlib.suppress(OSError):
        _folder().mkdir(exist_ok=True, mode=0o700)
        (_folder() / key).touch(mode=0o600)


def _run(bundle: Bundle, variant: str, device: str, threads: int) -> None:
    memory, seconds = _limits(bundle, variant)
    what = f"{bundle.file(variant)}: loading it and replaying its probe"
    arguments = [str(bundle.path.resolve()), variant, str(threads), str(int(memory * _GB)), str(math.ceil(seconds))]
    try:
        code, reason = _call(arguments, seconds)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{what} took longer than {seconds:.0f} s ({SECONDS} allows more)") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{what} within limits cannot be started ({error}; {SWITCH}=off does without)") from error
    if code == TOO_LARGE:
        raise BundleError(f"{what} took more than {memory:.2g} GiB of memory ({MEMORY} allows more)")
    if code == REFUSED and device == "cpu":
        raise BundleError(reason)
    if code not in (0, REFUSED):
        raise BundleError(f"{what} in {memory:.2g} GiB of memory ({MEMORY}) ended the process, with status {code}")


def _limits(bundle: Bundle, variant: str) -> tuple[float, float]:
    """GiB and seconds for the process: what is asked for, else in proportion to the files."""
    model = bundle.manifest.variants[variant].file
    size = sum((bundle.path / name).stat().st_size for name in bundle.manifest.files if _belongs(name, model)) / _GB
    memory = min(_BASE_GB + _TIMES * size, _machine_gb())
    return number_of(MEMORY, memory, _MOST), asked_seconds(_BASE_SEC + _SEC_PER_GB * size)


def asked_seconds(default: float) -> float:
    """Seconds that a check may take: what the environment asks for, else ``default``. Raises ConfigError."""
    return number_of(SECONDS, default, _MOST)


def _machine_gb() -> float:
    """Memory of this machine in GiB; where it is not told, no limit."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GB
    except (AttributeError, ValueError, OSError):
        return math.inf


def _call(arguments: list[str], seconds: float) -> tuple[int, str]:
    """Exit code and reason of the process, which is killed after ``seconds``.

    It is started anew, not forked: this process may have threads. It ends by itself when its standard input does,
    which is when this process ends.
    """
    command = [sys.executable, "-P", "-B", "-c", _HELPER, *arguments]
    pipe, environment = subprocess.PIPE, helper_environment()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            code = process.wait(seconds)
        except BaseException:
            process.kill()
            raise
        reason = process.stdout.read(_MAX_REASON) if process.stdout else b""
    return code, reason.decode(errors="replace")


def helper_environment() -> dict[str, str]:
    """The environment of this process for one that it starts, with its paths of modules, and without threads that
    libraries keep in stock.
    """
    paths = [path or str(Path.cwd()) for path in sys.path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
