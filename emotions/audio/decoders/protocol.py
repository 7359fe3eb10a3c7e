"""Messages between a process and its decoders, over a socket: a job in; samples, flaws or an error out. No pickle.

A message is its kind, its length in bytes, and its content: JSON, or float32 samples. A length is compared with what
its kind may have at most before anything of that size is made: a decoder is believed as little as its recording.
"""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import emotions.errors
from emotions.audio.containers import AudioSource
from emotions.audio.decode import ReadOptions
from emotions.audio.windows import FloatArray
from emotions.errors import AudioError, IncompleteAudio, NotAudio

JOB, SOURCE, OPENED, BLOCK, END, ERROR = range(6)
BLOCK_SAMPLES = 1 << 18
"""Most samples of one message."""
MIB = 1 << 20
_HEAD = struct.Struct("<BQ")
_MOST = {JOB: MIB, OPENED: 1 << 10, BLOCK: 4 * BLOCK_SAMPLES, END: MIB, ERROR: MIB}


@dataclass(frozen=True)
class DecoderLimits:
    """What a decoder may use for one recording.

    Attributes:
        memory: bytes, in addition to those of the process without a recording, and to the recording's own.
        cpu_sec: seconds of processor time.
        cpu_sec_a_mb: more of them for each megabyte of the recording.
    """

    memory: int = 256 * MIB
    cpu_sec: int = 20
    cpu_sec_a_mb: int = 0


def send(connection: socket.socket, kind: int, content: bytes | memoryview) -> None:
    """Send a message of a kind: its content's bytes."""
    connection.sendall(_HEAD.pack(kind, len(content)))
    connection.sendall(content)


def send_json(connection: socket.socket, kind: int, content: Any) -> None:
    """Send a message of a kind whose content is JSON."""
    send(connection, kind, json.dumps(content).encode())


def receive(connection: socket.socket) -> tuple[int, memoryview]:
    """The next message: its kind and content.

    Raises:
        EOFError: the other end is gone, or sends what is no message.
    """
    kind, size = _HEAD.unpack(_exactly(connection, _HEAD.size))
    if (kind not in _MOST and kind != SOURCE) or size > _MOST.get(kind, size):
        raise EOFError
    return kind, _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> memoryview:
    content = np.empty(size, np.uint8).data
    at = 0
    while at < size:
        got = connection.recv_into(content[at:])
        if not got:
            raise EOFError
        at += got
    return content


def samples_of(content: memoryview) -> FloatArray:
    """The samples of a block."""
    if len(content) % 4:
        raise EOFError
    return np.frombuffer(content, np.float32)


def send_job(connection: socket.socket, source: AudioSource, options: ReadOptions, limits: DecoderLimits) -> None:
    """Ask a decoder for a recording.

    Args:
        connection: to the decoder.
        source: path of a file, or the file's bytes.
        options: what to read of it.
        limits: what the decoder may use.
    """
    path = None if isinstance(source, bytes) else str(Path(source).absolute())
    send_json(connection, JOB, {"path": path, "options": asdict(options), "limits": asdict(limits)})
    if isinstance(source, bytes):
        send(connection, SOURCE, source)


def receive_job(connection: socket.socket) -> tuple[AudioSource, ReadOptions, DecoderLimits]:
    """As ``send_job`` sent it. Raises EOFError."""
    job = json.loads(bytes(receive(connection)[1]))
    source = bytes(receive(connection)[1]) if job["path"] is None else job["path"]
    return source, ReadOptions(**job["options"]), DecoderLimits(**job["limits"])


def error_to_json(error: BaseException) -> dict[str, Any]:
    """An error in JSON."""
    if isinstance(error, OSError):
        return {"errno": error.errno, "message": error.strerror, "path": error.filename}
    return {"name": type(error).__name__, "message": str(error)}


def error_of(content: memoryview) -> AudioError | OSError:
    """The error that a decoder sent; it can name none but those of recordings and files."""
    told = json.loads(bytes(content))
    if "errno" in told:
        return OSError(told["errno"], told["message"], told["path"])
    return audio_error(told["name"], told["message"])


def audio_error(name: str, message: str) -> AudioError:
    """An error of recordings by the name of its class."""
    kind = getattr(emotions.errors, name, None)
    return kind(message) if isinstance(kind, type) and issubclass(kind, AudioError) else NotAudio(message)


def flaws_of(content: memoryview) -> list[IncompleteAudio]:
    """What is missing in a recording, as a decoder sent it."""
    flaws = [audio_error(flaw["name"], flaw["message"]) for flaw in json.loads(bytes(content))]
    return [flaw for flaw in flaws if isinstance(flaw, IncompleteAudio)]
