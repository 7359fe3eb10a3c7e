"""The process that decoders are forked from: one thread, with every library loaded and no recording read.

It is started by ``pool.py`` and forks at its request. It and the decoders end when the process that they work for is
gone, however that ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import resource
import select
import signal
import socket
import struct
import time
from pathlib import Path

from emotions.audio import decode
from emotions.audio.containers import AudioSource
from emotions.audio.decoders.protocol import (
    BLOCK,
    BLOCK_SAMPLES,
    END,
    ERROR,
    OPENED,
    DecoderLimits,
    error_to_json,
    receive_job,
    send,
    send_json,
)
from emotions.errors import AudioError, Crashed, first_line

FORK, KILL = b"f", b"k"
NUMBER = struct.Struct("<i")
_PR_SET_PDEATHSIG = 1
_LOOK_SEC = 1000
_KEPT_BYTES = 64 << 20
"""A decoder that holds this much more than at its start after a recording is replaced."""


def main(control_fd: int, parent: int) -> None:
    """Fork decoders for the process that this one was started by, until it is gone.

    Args:
        control_fd: the socket that its requests come from: ``FORK`` with the decoder's socket, answered with the id of
            the new process; ``KILL`` with an id, answered with the signal that ended that process.
        parent: that process's id.
    """
    import emotions.audio.ffmpeg  # noqa: F401 - decoders have it from their start

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a terminal sends them to all; EOF is what ends us
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.collect()
    gc.freeze()
    decoders: set[int] = set()
    with socket.socket(fileno=control_fd) as control:
        while _wait(control, parent):
            message, sent, _, _ = socket.recv_fds(control, 1 + NUMBER.size, 1)
            if not message:
                break
            if message[:1] == FORK:
                decoders.add(process := _fork(control, sent[0]))
                control.sendall(NUMBER.pack(process))
            else:
                (process,) = NUMBER.unpack(message[1:])
                decoders.discard(process)
                control.sendall(NUMBER.pack(_ended(process)))
    # In a container nobody else may wait for them, and they would stay as zombies.
    for process in decoders:
        _ended(process)


def _wait(control: socket.socket, parent: int) -> bool:
    """Wait for a request; False once the parent is gone, whose end of the socket a process that it forked may hold."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while os.getppid() == parent:
        if poll.poll(_LOOK_SEC):
            return True
    return False


def _fork(control: socket.socket, connection_fd: int) -> int:
    nursery = os.getpid()
    if process := os.fork():
        os.close(connection_fd)
        return process
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == nursery:
            control.close()
            with socket.socket(fileno=connection_fd) as connection, contextlib.suppress(EOFError, OSError):
                _serve(connection)
    finally:
        os._exit(0)


def _ended(process: int) -> int:
    """The signal that ended a process, ours if it had not ended; 0 where it ended by itself."""
    os.kill(process, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(process, 0)[1])


def _serve(connection: socket.socket) -> None:
    """Answer jobs until the other end is closed, or this process has grown."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries write there tells nobody which recording
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    base = size = _address_space()
    while size <= base + _KEPT_BYTES:
        source, options, limits = receive_job(connection)
        _limit(limits, base, source)
        _answer(connection, source, options)
        del source
        size = _address_space()


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()


def _limit(limits: DecoderLimits, base: int, source: AudioSource) -> None:
    """Limit memory, from ``base`` bytes on, and processor time."""
    held = size = len(source) if isinstance(source, bytes) else 0
    if not isinstance(source, bytes):
        with contextlib.suppress(OSError):  # reading it will tell
            size = Path(source).stat().st_size
    seconds = limits.cpu_sec + size * limits.cpu_sec_a_mb // 1_000_000
    most = {
        resource.RLIMIT_CPU: math.ceil(time.process_time()) + seconds,
        resource.RLIMIT_AS: base + held + limits.memory,
    }
    for kind, value in most.items():
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _answer(connection: socket.socket, source: AudioSource, options: decode.ReadOptions) -> None:
    try:
        with decode.open_waveform(source, options) as stream:
            send_json(connection, OPENED, [stream.rate, stream.channels])
            for block in stream.blocks:
                for at in range(0, len(block), BLOCK_SAMPLES):
                    send(connection, BLOCK, block[at : at + BLOCK_SAMPLES].data.cast("B"))
            send_json(connection, END, [error_to_json(flaw) for flaw in stream.flaws])
    except ConnectionError:
        raise
    except (AudioError, OSError) as error:
        send_json(connection, ERROR, error_to_json(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this recording's
        failed = Crashed(f"its decoder failed ({type(error).__name__}: {first_line(error)})")
        send_json(connection, ERROR, error_to_json(failed))
