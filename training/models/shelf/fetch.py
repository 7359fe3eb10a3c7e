"""Encoders on this machine: fetched once into the cache, and found there by name."""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, EmotionsError, OutputExists
from emotions.files.atomic import atomic_folder
from emotions.files.cache import cache_root
from emotions.files.json_text import read_json, write_json
from training.models.shelf.artefact import read_artefact
from training.models.shelf.catalogue import SHELF, ShelfEncoder

_PROVENANCE = "provenance.json"
_WEIGHTS = "model.safetensors"
logger = logging.getLogger(__name__)


def shelf_encoder(name: str) -> ShelfEncoder:
    """The entry of a name. Raises ConfigError where there is none."""
    if name not in SHELF:
        raise ConfigError(f"{name}: no encoder of that name; there are {', '.join(SHELF)}")
    return SHELF[name]


def place_of(encoder: ShelfEncoder) -> Path:
    """The folder that an encoder has, or would have, in the cache."""
    return cache_root() / "encoders" / f"{encoder.name}-{encoder.member_sha256[:12]}"


def fetched(encoder: ShelfEncoder) -> Path | None:
    """The folder of an encoder that is here and whole; None where it is not."""
    folder = place_of(encoder)
    try:
        about = read_json(folder / _PROVENANCE)
        return folder if about["weights_sha256"] == _weights_hash(folder) else None
    except (EmotionsError, OSError, KeyError, TypeError):
        return None


def fetch(encoder: ShelfEncoder, wheel: Path | None = None) -> Path:
    """Fetch an encoder, unless it is here: download, check, convert, prove.

    Args:
        encoder: which.
        wheel: its package's wheel, where it was carried here.

    Returns:
        Its folder, as transformers has it.

    Raises:
        ConfigError: it cannot be had, is another one, or the conversion does not equal it.
        DiskFull: there is no room for it; nothing half-written stays.
    """
    folder = fetched(encoder)
    if folder is not None and wheel is None:
        return folder
    artefact = read_artefact(encoder, wheel)
    folder = place_of(encoder)
    shutil.rmtree(folder, ignore_errors=True)  # damaged, or of a conversion before
    try:
        with atomic_folder(folder) as temporary:
            proof = encoder.convert(artefact, temporary)
            write_json(temporary / _PROVENANCE, _provenance(encoder, proof, temporary))
    except OutputExists:  # another process was faster
        if fetched(encoder) is None:
            raise
    logger.warning("%s: fetched from %s, %s", encoder.name, encoder.package, encoder.licence)
    return folder


def folder_of(name: str) -> Path | None:
    """The folder of an encoder of frames on the shelf, fetched where it is not here; None for names of other places.

    Raises ConfigError and DiskFull as ``fetch``, and ConfigError for a speaker encoder.
    """
    if name not in SHELF:
        return None
    if SHELF[name].kind == "speaker":
        frames = ", ".join(each.name for each in SHELF.values() if each.kind == "frames")
        raise ConfigError(
            f"{name}: is a speaker encoder, which tells voices apart (emotions data check --voices) and has no "
            f"features of frames; there are {frames}"
        )
    return ready(SHELF[name])


def ready(encoder: ShelfEncoder) -> Path:
    """The folder of an encoder, fetched with a word in the log where it is not here. Raises as ``fetch``."""
    found = fetched(encoder)
    if found is None:
        logger.warning("%s: is fetched on first use, from %s", encoder.name, encoder.package)
        return fetch(encoder)
    return found


def provenance(folder: Path) -> dict[str, Any]:
    """What was written of an encoder when it was fetched."""
    about: dict[str, Any] = read_json(folder / _PROVENANCE)
    return about


def _provenance(encoder: ShelfEncoder, proof: str, folder: Path) -> dict[str, str]:
    return {
        "name": encoder.name,
        "package": encoder.package,
        "artefact": encoder.member,
        "artefact_sha256": encoder.member_sha256,
        "licence": encoder.licence,
        "proof": proof,
        "weights_sha256": _weights_hash(folder),
    }


def _weights_hash(folder: Path) -> str:
    with (folder / _WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
