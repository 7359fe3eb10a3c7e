"""The recording of a task: a file of the folder that Label Studio serves, or one that was uploaded to it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx

from emotions.calls.formats.label_studio import AUDIO
from emotions.errors import DataError
from emotions.files.content import open_regular
from emotions.inputs.locate import locate_recording

MAX_BYTES = 32 << 20
"""Largest recording, as the service's default."""
_TIMEOUT_SEC = 30.0
_MAX_NAME = 4096


class TaskRecordings:
    """Reads recordings of tasks. A task names no other host and no file outside the folder: it may be anybody's.

    Args:
        folder: what ``/data/local-files/?d=`` and plain names start from; None where there is none.
        label_studio: its address, for uploads; empty where there are none.
        token: API token for it.
    """

    def __init__(self, folder: Path | None, label_studio: str = "", token: str = "") -> None:
        self._folder = folder.resolve() if folder else None
        self._base = label_studio.rstrip("/")
        self._token = token

    def read(self, data: object) -> bytes:
        """The bytes of a task's recording.

        Args:
            data: of the task.

        Raises:
            DataError: it names none, or one that cannot be read.
        """
        url = data.get(AUDIO) if isinstance(data, dict) else None
        if not isinstance(url, str) or not 0 < len(url) <= _MAX_NAME:
            raise DataError(f"the task names no recording under the key {AUDIO!r}")
        path = url.removeprefix(self._base) if self._base else url
        parts = urlsplit(path)
        if parts.scheme or parts.netloc:
            raise DataError("the task's recording is on another host than Label Studio")
        if parts.path.startswith("/data/upload/"):
            return self._fetched(path)
        local = parse_qs(parts.query).get("d", [""])[0] if parts.path.endswith("/local-files/") else path
        return self._file(local.lstrip("/"))

    def _file(self, name: str) -> bytes:
        found = None if self._folder is None or not name else locate_recording(self._folder, name)
        if found is None or self._folder is None or not found.resolve().is_relative_to(self._folder):
            raise DataError("the task's recording is not in the folder of --recordings")
        try:
            with open_regular(found) as stream:
                return _bounded(stream.read(MAX_BYTES + 1))
        except OSError as error:
            raise DataError("the task's recording cannot be read") from error

    def _fetched(self, path: str) -> bytes:
        if not self._base:
            raise DataError("the recording was uploaded to Label Studio: give its address by --label-studio")
        headers = {"Authorization": f"Token {self._token}"} if self._token else {}
        content = b""
        try:
            with httpx.stream("GET", self._base + path, headers=headers, timeout=_TIMEOUT_SEC) as response:
                if response.status_code != httpx.codes.OK:
                    raise DataError(f"Label Studio answers {response.status_code} for the task's recording")
                for block in response.iter_bytes():
                    content = _bounded(content + block)
        except httpx.HTTPError as error:
            raise DataError("Label Studio does not give the task's recording") from error
        return content


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise DataError(f"the task's recording has more than {MAX_BYTES >> 20} MiB")
    return content
