"""ONNX Runtime for browsers: out of one pinned release of npm's, by the user's own npm or carried, never installed."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zlib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from emotions.errors import ConfigError, first_line
from emotions.files.atomic import room_for, scratch_folder, write_bytes
from emotions.files.cache import cache_root, tagged_folder
from emotions.files.content import open_regular, sha256_of

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
TARBALL = f"onnxruntime-web-{VERSION}.tgz"
TARBALL_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
_WASM = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_WEBGPU = {
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
_MOST_BYTES = 64 << 20
_DOWNLOAD_SEC = 900
_SAID = 200
_BY_HAND = f"elsewhere: npm pack {PACKAGE}; here: --runtime {TARBALL}"


@dataclass(frozen=True)
class Runtime:
    """The files of the runtime.

    Attributes:
        files: content by name.
    """

    files: dict[str, bytes]


def read_runtime(tarball: Path | None = None, *, webgpu: bool = False) -> Runtime:
    """Read the runtime: from the cache, else out of npm's tarball, whose hash is pinned.

    Args:
        tarball: where it was carried here; by default npm fetches it, from the registry that it is set up for.
        webgpu: with the form that computes on GPUs.

    Raises:
        ConfigError: there is no npm or no network, or the tarball is another one.
        DiskFull: there is no room for it.
    """
    wanted = {**_WASM, **(_WEBGPU if webgpu else {})}
    kept = cache_root() / "browser-runtime" / VERSION
    if tarball is None and (found := _kept(kept, wanted)):
        return Runtime(found)
    files = _packed(wanted, tarball) if tarball else _downloaded(wanted)
    tagged_folder(kept.parent)
    for name, content in files.items():
        write_bytes(kept / name, content)
    return Runtime(files)


def _kept(folder: Path, wanted: dict[str, str]) -> dict[str, bytes] | None:
    """The files of the cache, if all are there and none was altered."""
    found = {name: (folder / name).read_bytes() for name in wanted if (folder / name).is_file()}
    return found if all(sha256(found.get(name, b"")).hexdigest() == digest for name, digest in wanted.items()) else None


def _downloaded(wanted: dict[str, str]) -> dict[str, bytes]:
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(f"{PACKAGE}: npm is not installed here; {_BY_HAND}")
    with scratch_folder("emotions-runtime") as folder, room_for(folder):
        command = [npm, "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder), PACKAGE]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_DOWNLOAD_SEC, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ConfigError(f"{PACKAGE}: npm has not fetched it within {_DOWNLOAD_SEC} s; {_BY_HAND}") from error
        if done.returncode:
            raise ConfigError(f"{PACKAGE}: npm cannot fetch it ({_reason(done.stderr)}); {_BY_HAND}")
        return _packed(wanted, folder / TARBALL)


def _reason(said: str) -> str:
    """The first lines of npm's that say what was wrong."""
    lines = [line.removeprefix("npm error ").strip() for line in said.splitlines() if line.startswith("npm error ")]
    return first_line(ValueError("; ".join(lines[:2]) or said.strip() or "it does not say why"))[:_SAID]


def _packed(wanted: dict[str, str], tarball: Path) -> dict[str, bytes]:
    """The files out of the tarball, once it is known to be the right one."""
    try:
        with open_regular(tarball) as file:
            if sha256_of(file) != TARBALL_SHA256:
                raise ConfigError(
                    f"{tarball.name} is not the {TARBALL} that is pinned (SHA-256 {TARBALL_SHA256[:12]}...): another "
                    f"version, or altered; {_BY_HAND}"
                )
            file.seek(0)
            with tarfile.open(fileobj=io.BytesIO(file.read()), mode="r:gz") as archive:
                return {name: _member(archive, name, digest) for name, digest in wanted.items()}
    except (tarfile.TarError, zlib.error, KeyError, EOFError) as error:
        raise ConfigError(f"{tarball.name}: cannot be read ({first_line(error)})") from error


def _member(archive: tarfile.TarFile, name: str, digest: str) -> bytes:
    file = archive.extractfile(f"package/dist/{name}")
    content = file.read(_MOST_BYTES) if file else b""
    if sha256(content).hexdigest() != digest:
        raise ConfigError(f"{TARBALL}: {name} is not the file that is pinned")
    return content
