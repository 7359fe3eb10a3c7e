"""What of this machine the toolkit needs, and what to do where that is not as it should be."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

from packaging.requirements import Requirement

from emotions.errors import EmotionsError, first_line

_PROJECT = "emotions-toolkit"
_PYTHONS = ((3, 11), (3, 13))
_LEAST_FREE_GB = 5.0
_PORT = 3000
_TORCH = ("torch", "torchaudio", "torchvision")


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do; ``remedy`` is empty where nothing is wrong."""

    name: str
    found: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything, in the order of the lines; a look changes nothing but the cache folder, which it makes."""
    return [finding for look in _LOOKS for finding in look()]


def _python() -> Iterator[Finding]:
    least, most = _PYTHONS
    fits = least <= sys.version_info[:2] <= most
    remedy = "" if fits else f"use Python {least[0]}.{least[1]} to {most[0]}.{most[1]}"
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", remedy)


def _packages() -> Iterator[Finding]:
    try:
        about = metadata(_PROJECT)
    except PackageNotFoundError:
        yield Finding("packages", f"{_PROJECT} is not installed", "install it: make setup, or pip install its wheel")
        return
    extras = about.get_all("Provides-Extra") or []
    required = [Requirement(text) for text in about.get_all("Requires-Dist") or []]
    misfits = sorted({fault for each in required if (fault := _misfit(each, extras))}) + _mixed_builds()
    if misfits:
        yield Finding("packages", "; ".join(misfits), f"install {_PROJECT} again with its extras")
    else:
        yield Finding("packages", f"{_PROJECT} {about['Version']}, and what is installed fits it")


def _misfit(required: Requirement, extras: list[str]) -> str:
    """What is wrong with a requirement; what an extra alone asks for may be missing, but not of another version."""
    always = required.marker is None or required.marker.evaluate({"extra": ""})
    if not always and not any(required.marker.evaluate({"extra": each}) for each in extras if required.marker):
        return ""
    found = _version(required.name)
    if found is None:
        return f"{required.name} is missing" if always else ""
    fits = required.specifier.contains(found, prereleases=True)
    return "" if fits else f"{required.name} {found} is not {required.specifier}"


def _mixed_builds() -> list[str]:
    faults = []
    if _version("onnxruntime") and _version("onnxruntime-gpu"):
        faults.append("onnxruntime and onnxruntime-gpu overwrite each other: uninstall both, then install one")
    builds = {name: found.partition("+")[2] for name in _TORCH if (found := _version(name))}
    if len(set(builds.values())) > 1:
        listed = ", ".join(f"{name} {build or 'default'}" for name, build in builds.items())
        faults.append(f"builds from different indices: {listed}")
    return faults


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _onnx_runtime() -> Iterator[Finding]:
    try:
        import onnxruntime as ort
    except ImportError as error:
        yield Finding("ONNX Runtime", first_line(error), "install onnxruntime again")
        return
    yield Finding("ONNX Runtime", f"{ort.__version__} with {', '.join(ort.get_available_providers())}")


def _gpu() -> Iterator[Finding]:
    from emotions.runtime.devices import card_present
    from emotions.runtime.gpu_causes import card_in_words, gpu_fault

    if not card_present():
        yield Finding("GPU", "no NVIDIA GPU; the CPU is used")
        return
    found, _, remedy = gpu_fault(0).partition("; ")
    yield Finding("GPU", found or card_in_words(0), remedy or ("see docs/how-to/gpu.md" if found else ""))


def _decoders() -> Iterator[Finding]:
    try:
        import av
        import soundfile
    except (ImportError, OSError) as error:
        yield Finding("decoders", first_line(error), "install av and soundfile again")
        return
    # The libraries lie in PyAV's wheel: the command ffmpeg is not used.
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    yield Finding("decoders", f"libsndfile {soundfile.__libsndfile_version__}, FFmpeg's libavcodec {codec}")


def _cache() -> Iterator[Finding]:
    from emotions.files.cache import cache_root

    try:
        root = cache_root()
    except (EmotionsError, OSError) as error:
        yield Finding("cache", first_line(error), "name a folder of yours in EMOTIONS_CACHE")
        return
    if os.access(root, os.W_OK):
        yield _disk("cache", root, "name a folder on another disk in EMOTIONS_CACHE, or emotions cache clear")
    else:
        yield Finding("cache", f"{root} cannot be written to", "name a folder of yours in EMOTIONS_CACHE")


def _working_folder() -> Iterator[Finding]:
    yield _disk("disk", Path.cwd(), "make room, or work in a folder on another disk")


def _disk(name: str, folder: Path, remedy: str) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    return Finding(name, f"{folder}, {free:.1f} GB free", remedy if free < _LEAST_FREE_GB else "")


def _microphone() -> Iterator[Finding]:
    if platform.system() != "Linux":
        yield Finding("microphone", f"not looked for on {platform.system()}")
        return
    inputs = list(Path("/dev/snd").glob("pcm*c"))
    yield Finding("microphone", f"{len(inputs)} found" if inputs else "none found; recordings need none")


def _port() -> Iterator[Finding]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _PORT))
        except OSError as error:
            remedy = "end the other service, or emotions serve --port with another number"
            yield Finding("port", f"{_PORT}: {error.strerror}", remedy)
            return
    yield Finding("port", f"{_PORT} is free for the service")


_LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    *(_python, _packages, _onnx_runtime, _gpu, _decoders),
    *(_cache, _working_folder, _microphone, _port),
)
