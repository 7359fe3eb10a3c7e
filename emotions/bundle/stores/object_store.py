"""A bundle behind a URL that fsspec reads: ``s3://``, ``gs://``, ``file://`` and whatever else it knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotions.bundle.manifest import MANIFEST
from emotions.errors import BundleError, MissingExtra, OutputExists, first_line

_BLOCK = 1 << 20
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss"}
"""Stores of buckets: to make a folder there would make the bucket, also one whose name is misspelt."""


class ObjectStore:
    """The files of one bundle in an object store.

    Args:
        url: of its folder.

    Raises:
        MissingExtra: the package that reads the URL is not installed.
        BundleError: nothing reads it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._system, self._path = _opened(url)

    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Fetch a file.

        Args:
            name: its plain name.
            target: where to write it.
            most_bytes: it may have.

        Raises:
            BundleError: it is not there, is larger, or cannot be fetched.
        """
        left = most_bytes
        try:
            with self._system.open(self._of(name), "rb") as stream, target.open("wb") as file:
                while left >= 0 and (block := stream.read(_BLOCK)):
                    left -= len(block)
                    file.write(block)
        except Exception as error:  # storages raise whatever their clients do
            raise BundleError(f"{self.url}: {name} cannot be fetched ({first_line(error)})") from error
        if left < 0:
            raise BundleError(f"{self.url}: {name} is larger than its manifest allows")

    def put(self, folder: Path, names: Sequence[str]) -> str:
        """Upload files, the manifest last, so that half of a bundle is none; return the URL.

        Args:
            folder: where they lie.
            names: of the files beside the manifest.

        Raises:
            OutputExists: another bundle is there.
            BundleError: they cannot be written.
        """
        try:
            if self._system.exists(self._of(MANIFEST)):
                if self._system.cat_file(self._of(MANIFEST)) != (folder / MANIFEST).read_bytes():
                    raise OutputExists(f"{self.url}: another bundle is there already; name another URL")
                return self.url
            if not _WITHOUT_FOLDERS & {*_protocols(self._system)}:
                self._system.makedirs(self._path, exist_ok=True)
            for name in (*names, MANIFEST):
                self._system.put_file(str(folder / name), self._of(name))
        except OutputExists:
            raise
        except Exception as error:  # as in ``get``
            raise BundleError(f"{self.url}: cannot be written ({first_line(error)})") from error
        return self.url

    def _of(self, name: str) -> str:
        return f"{self._path.rstrip('/')}/{name}"


def _protocols(system: Any) -> tuple[str, ...]:
    """The schemes of the URLs that a storage reads."""
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


def _opened(url: str) -> tuple[Any, str]:
    """The storage of a URL and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtra("remote", "fsspec") from error
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise MissingExtra("remote", f"the package that reads {url.partition('://')[0]}://") from error
    except ValueError as error:
        raise BundleError(f"{url}: is not known ({first_line(error)})") from error
    return system, str(path)
