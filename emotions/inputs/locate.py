"""Finds the recording that a name in a list or table stands for."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def locate_recording(folder: Path, name: str) -> Path | None:
    """The file of that name; None where there is none.

    As written, else in the other Unicode form, with a backslash between folders, or in the bytes of Windows-1252 as
    they are read where a list or a folder is not in UTF-8.

    Args:
        folder: what a relative name starts from.
        name: the name.
    """
    forms = [form for text in (name, _as_windows_1252(name)) if text is not None for form in _forms(text)]
    # Unlike Path.is_file, this is False for names that no file can have: too long, or with a null character.
    return next((folder / form for form in forms if os.path.isfile(folder / form)), None)  # noqa: PTH113


def _forms(name: str) -> list[str]:
    slashes = name.replace("\\", "/")
    composed, decomposed = (unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))
    return [*dict.fromkeys((name, slashes, composed, decomposed))]


def _as_windows_1252(name: str) -> str | None:
    """The name whose bytes are Windows-1252, where it has bytes that are not UTF-8."""
    try:
        return os.fsencode(name).decode("cp1252") if any("\udc80" <= each <= "\udcff" for each in name) else None
    except UnicodeError:
        return None
