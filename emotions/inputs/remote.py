"""Recordings behind URLs, by fsspec: ``s3://``, ``gs://``, ``memory://`` and whatever else it knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emotions.errors import DataError, MissingExtra, TooLong, first_line
from emotions.inputs.input_file import InputFile
from emotions.inputs.parquet_audio import SCHEME, fetch_audio

MAX_BYTES = 1 << 30
"""Largest recording that is fetched."""
_BLOCK = 1 << 20
_STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


def find_remote(url: str) -> Iterator[InputFile]:
    """Every file that a URL, or a pattern in one, stands for, hidden ones passed over. Raises as ``find_files``."""
    system, path = _opened(url)
    pattern = "*" in path
    try:
        found: dict[str, dict[str, Any]] = (system.glob if pattern else system.find)(path, detail=True)
        if pattern:
            found = {name: info for name, info in found.items() if info["type"] == "file"}
    except Exception as error:  # storages raise whatever their clients do
        raise DataError(f"{url}: cannot be reached ({first_line(error)})") from error
    if not found:
        raise DataError(f"{url}: no such file or folder, or it cannot be reached")
    # What names in the table leave out: the path, of a pattern its folder.
    folder = path.partition("*")[0].rpartition("/")[0] if pattern else path
    for each, info in found.items():
        name = each.removeprefix(folder).lstrip("/") or each.rpartition("/")[2]
        if not any(part.startswith(".") for part in name.split("/")):
            stamp = " ".join(str(info[key]) for key in ("size", *_STAMPS) if key in info)
            yield InputFile(system.unstrip_protocol(each), name, stamp=stamp)


def fetch(url: str) -> bytes:
    """The bytes of a remote recording, or of one in a Parquet table, read block by block.

    TooLong above ``MAX_BYTES``, OSError where it fails.
    """
    if url.startswith(SCHEME):
        return fetch_audio(url)
    system, path = _opened(url)
    content = bytearray()
    try:
        with system.open(path, "rb") as stream:
            while len(content) <= MAX_BYTES and (block := stream.read(_BLOCK)):
                content += block
    except Exception as error:
        raise OSError(first_line(error)) from error
    if len(content) > MAX_BYTES:
        raise TooLong(f"holds more than {MAX_BYTES >> 20} MiB, which is the most that is fetched")
    return bytes(content)


def _opened(url: str) -> tuple[Any, str]:
    """The storage of a URL and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra("remote", "fsspec") from error
    scheme = url.partition("://")[0]
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise MissingExtra("remote", f"the package that reads {scheme}://") from error
    except ValueError as error:
        raise DataError(f"{url}: {scheme}:// is not known ({first_line(error)})") from error
    return system, path
