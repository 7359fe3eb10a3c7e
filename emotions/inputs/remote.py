"""Recordings behind URLs, by fsspec: ``s3://``, ``gs://``, ``memory://`` and whatever else it knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emotions.errors import DataError, MissingExtra, TooLong, first_line
from emotions.inputs.input_file import InputFile

MAX_BYTES = 1 << 30
"""Largest recording that is fetched."""
_BLOCK = 1 << 20
_STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


def find_remote(url: str) -> Iterator[InputFile]:
    """Every file that a URL, or a pattern in one, stands for, hidden ones passed over.

    Raises:
        DataError: it cannot be reached, or there is nothing.
        MissingExtra: a package that its scheme needs is not installed.
    """
    system, path = _opened(url)
    try:
        found: dict[str, dict[str, Any]] = _files(system, path)
    except Exception as error:  # storages raise whatever their clients do
        raise DataError(f"{url}: cannot be reached ({first_line(error)})") from error
    if not found:
        raise DataError(f"{url}: no such file or folder, or it cannot be reached")
    folder = _folder(path)
    for each, info in found.items():
        name = each.removeprefix(folder).lstrip("/") or each.rpartition("/")[2]
        if not any(part.startswith(".") for part in name.split("/")):
            yield InputFile(system.unstrip_protocol(each), name, stamp=_stamp(info))


def fetch(url: str) -> bytes:
    """The bytes of a remote recording, read block by block, at most ``MAX_BYTES`` of them.

    Raises:
        TooLong: there are more.
        OSError: they cannot be fetched.
        MissingExtra: a package that the scheme needs is not installed.
    """
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


def _files(system: Any, path: str) -> dict[str, dict[str, Any]]:
    if "*" not in path:
        return dict(system.find(path, detail=True))
    found = system.glob(path, detail=True)
    return {name: info for name, info in found.items() if info["type"] == "file"}


def _folder(path: str) -> str:
    """The part of a path that names in the table leave out: its folder where it is a pattern."""
    return path.partition("*")[0].rpartition("/")[0] if "*" in path else path


def _stamp(info: dict[str, Any]) -> str:
    return " ".join(str(info[key]) for key in ("size", *_STAMPS) if key in info)
