"""The runtime for browsers: pinned, fetched by the user's npm or carried, kept, never taken altered."""

from __future__ import annotations

import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from emotions.errors import ConfigError
from emotions.files.cache import cache_root
from serving.http.page.static_site import runtime
from serving.http.page.static_site.runtime import read_runtime


def packed(folder: Path, names: dict[str, bytes]) -> Path:
    """A tarball as npm packs them."""
    for name, content in names.items():
        (folder / "package" / "dist").mkdir(parents=True, exist_ok=True)
        (folder / "package" / "dist" / name).write_bytes(content)
    with tarfile.open(folder / runtime.TARBALL, "w:gz") as archive:
        archive.add(folder / "package", "package")
    return folder / runtime.TARBALL


@pytest.fixture
def tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tarball that is pinned."""
    files = {"ort.mjs": b"script", "ort.wasm": b"code"}
    path = packed(tmp_path, files)
    monkeypatch.setattr(runtime, "_WASM", {name: sha256(content).hexdigest() for name, content in files.items()})
    monkeypatch.setattr(runtime, "TARBALL_SHA256", sha256(path.read_bytes()).hexdigest())
    return path


def npm(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A command npm that runs a script."""
    (folder / "bin").mkdir()
    (folder / "bin" / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")


def test_what_was_carried_is_taken_and_kept(tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_runtime(tarball)
    assert first.files == {"ort.mjs": b"script", "ort.wasm": b"code"}
    monkeypatch.setenv("PATH", "")
    assert read_runtime() == first


def test_npm_fetches_it_once(tarball: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(
        tmp_path,
        monkeypatch,
        f'echo "$@" >> {tmp_path}/said; while [ "$1" != --pack-destination ]; do shift; done; cp {tarball} "$2"',
    )
    assert read_runtime() == read_runtime()
    said = (tmp_path / "said").read_text().splitlines()
    assert len(said) == 1
    assert runtime.PACKAGE in said[0]
    assert "--ignore-scripts" in said[0]


def test_what_was_altered_in_the_cache_is_fetched_again(tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_runtime(tarball)
    (cache_root() / "browser-runtime" / runtime.VERSION / "ort.wasm").write_bytes(b"evil")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="npm is not installed here"):
        read_runtime()


def test_another_tarball_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="that is pinned"):
        read_runtime(packed(tmp_path, {"ort.wasm.min.mjs": b"evil"}))


def test_why_npm_failed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm(tmp_path, monkeypatch, "echo 'npm error code E404' >&2; echo 'npm error 404 Not Found' >&2; exit 1")
    with pytest.raises(ConfigError, match=r"E404; 404 Not Found.*npm pack onnxruntime-web@"):
        read_runtime()


def test_a_file_that_lacks_in_the_tarball_is_told(tarball: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_WASM", {"other.wasm": "0" * 64})
    with pytest.raises(ConfigError, match="cannot be read"):
        read_runtime(tarball)
