"""The archive: the project, the packages that a machine with torch lacks, and ONNX Runtime with code for its card."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from benchmarks.gpu.pack.fatbin import prune
from emotions.errors import EmotionsError

ROOT = Path(__file__).resolve().parents[3]
ARCHIVE = "emotions-gpu.tar.xz"
MOST_BYTES = 60_000_000
PYTHON = "3.12"
_PLATFORM = "x86_64-manylinux_2_28"
_LOCK, _TRAINING_LOCK = "requirements.serve-gpu.lock", "requirements.lock"
_PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
# What a machine has that has torch, transformers and onnx, and what nothing here imports there.
_THERE = frozenset(
    (
        *(
            "aiohappyeyeballs",
            "aiohttp",
            "aiosignal",
            "annotated-doc",
            "anyio",
            "attrs",
            "certifi",
            "click",
            "colorama",
        ),
        *(
            "cloudpickle",
            "filelock",
            "flatbuffers",
            "frozenlist",
            "fsspec",
            "h11",
            "httpcore",
            "httpx",
            "idna",
            "jinja2",
        ),
        *("markdown-it-py", "markupsafe", "mdurl", "multidict", "numpy", "nvidia-ml-py", "packaging", "pathspec"),
        *(
            "prometheus-client",
            "propcache",
            "protobuf",
            "psutil",
            "pyarrow",
            "pygments",
            "pyparsing",
            "python-dateutil",
        ),
        *("pyyaml", "rich", "shellingham", "typing-extensions", "typing-inspection", "uvloop", "wrapt", "yarl"),
        *("onnxruntime", "av"),
    )
)
_FROM_TRAINING = frozenset({"vit-pytorch", "einops"})
# Of onnxruntime: the C library, which the extension for Python holds itself, TensorRT, and tools.
_LEFT_OUT = (
    *("onnxruntime/capi/libonnxruntime.so.*", "onnxruntime/capi/libonnxruntime_providers_tensorrt.so"),
    *("onnxruntime/tools", "onnxruntime/datasets", "onnxruntime/backend"),
    *("onnxruntime/ThirdPartyNotices.txt", "bin", "**/__pycache__", "**/tests"),
)
_RUN = """#!/usr/bin/env bash
# Runs every step on this machine's GPU: ./run [--output DIR] [--step NAME] ...; PYTHON names a Python 3.12 with torch.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
python="${PYTHON:-python3}"
"$python" -c 'import sys, torch; assert sys.version_info[:2] == (3, 12), "needs Python 3.12"'
# CUDA and cuDNN are those of torch: ONNX Runtime looks for them beside its own package.
nvidia="$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null || true)"
if [ -n "$nvidia" ] && [ ! -e "$here/site/nvidia" ]; then ln -s "$nvidia" "$here/site/nvidia"; fi
export PYTHONPATH="$here/site:$here${PYTHONPATH:+:$PYTHONPATH}" LD_LIBRARY_PATH="\
${nvidia:+$nvidia/cu13/lib:$nvidia/cudnn/lib:}${LD_LIBRARY_PATH:-}"
cd "$here"
exec "$python" -m benchmarks.gpu run "$@"
"""
_AV = '''"""Stands in for PyAV, which is not carried for its size: whatever is asked of it fails, when it is used.

WAV and FLAC are decoded without it, and this machine is measured on nothing else.
"""


class FFmpegError(Exception):
    """Never raised: there is no FFmpeg."""


class _Missing:
    def __getattr__(self, name):
        return _Missing()

    def __call__(self, *arguments, **options):
        raise RuntimeError("PyAV is not carried in this archive")

    def __getitem__(self, key):
        return self


class logging:  # noqa: N801
    """The switch for FFmpeg's log."""

    @staticmethod
    def set_level(level):
        """Do nothing."""


__version__ = "none"


def __getattr__(name):
    return _Missing()
'''


def pack(output: Path, capabilities: Collection[int], say: Callable[[str], None] = print) -> Path:
    """Write the archive.

    Args:
        output: folder for it.
        capabilities: of the cards that it is for, such as 90 for H100 and H200.
        say: is given what was done, a line at a time.

    Returns:
        Its path.

    Raises:
        EmotionsError: a package cannot be had, or the archive is larger than ``MOST_BYTES``.
    """
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as scratch:
        stage = Path(scratch) / "emotions-gpu"
        site = stage / "site"
        install(site, Path(scratch) / "requirements.txt")
        slim(site)
        library = bytearray((site / _PROVIDER).read_bytes())
        before, after = prune(library, capabilities)
        (site / _PROVIDER).write_bytes(library)
        say(f"CUDA provider: {before / 1e6:.0f} MB of machine code, {after / 1e6:.0f} MB kept")
        add_project(stage)
        archive = output / ARCHIVE
        write_archive(stage, archive)
    size = archive.stat().st_size
    say(f"{archive}: {size / 1e6:.1f} MB, for compute capability {', '.join(map(str, capabilities))}")
    if size > MOST_BYTES:
        raise EmotionsError(
            f"{archive}: {size / 1e6:.1f} MB, at most {MOST_BYTES / 1e6:.0f} are wanted; name fewer cards"
        )
    return archive


def requirements() -> Iterator[str]:
    """The pinned requirements to carry, with their hashes, as the locks have them."""
    yield from _locked(_LOCK, lambda name: name not in _THERE and not name.startswith("nvidia-"))
    yield from _locked(_TRAINING_LOCK, _FROM_TRAINING.__contains__)


def _locked(lock: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    for block in re.split(r"\n(?=[a-zA-Z0-9])", (ROOT / lock).read_text(encoding="utf-8")):
        found = re.match(r"([A-Za-z0-9_.-]+)==", block)
        if found and wanted(found[1]):
            yield block.strip()


def install(site: Path, listed: Path) -> None:
    """Install the packages and the project for Python 3.12 on Linux, into a folder.

    Args:
        site: the folder.
        listed: file for the requirements.
    """
    listed.write_text("\n".join(requirements()) + "\n", encoding="utf-8")
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    target = ["--python-version", PYTHON, "--python-platform", _PLATFORM, "--link-mode", "copy"]
    for what in (
        ["--only-binary", ":all:", "--require-hashes", "-r", str(listed)],
        ["--no-build-isolation", str(ROOT)],
    ):
        done = subprocess.run([*uv, *target, *what], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EmotionsError(f"the packages cannot be had: {done.stderr.strip().splitlines()[-1:]}")


def slim(site: Path) -> None:
    """Take out of the packages what is large and not used."""
    for pattern in _LEFT_OUT:
        for path in [*site.glob(pattern)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def add_project(stage: Path) -> None:
    """Add what no wheel holds: the benchmarks, the script that runs them, and what stands in for PyAV."""
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "benchmarks", stage / "benchmarks", ignore=caches)
    (stage / "run").write_text(_RUN, encoding="utf-8")
    (stage / "run").chmod(0o755)
    for name in ("__init__", "stream", "error", "container"):
        path = stage / "site" / "av" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(_AV, encoding="utf-8")


def write_archive(stage: Path, archive: Path) -> None:
    """Compress a folder, the same for the same content.

    Args:
        stage: the folder, which gives the name in the archive.
        archive: its path.
    """

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(archive, "w:xz", preset=6) as whole:
        for path in sorted(path for path in stage.rglob("*") if path.is_file()):
            whole.add(path, path.relative_to(stage.parent), recursive=False, filter=plain)
