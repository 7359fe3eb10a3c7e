"""The decoders of this process: started when one is needed, kept while they are idle, replaced when they die."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from emotions.audio.containers import AudioSource
from emotions.audio.decode import ReadOptions
from emotions.audio.decoders.cancellation import Cancellation
from emotions.audio.decoders.nursery import FORK, KILL, NUMBER
from emotions.audio.decoders.protocol import (
    BLOCK,
    END,
    ERROR,
    OPENED,
    DecoderLimits,
    error_of,
    flaws_of,
    receive,
    samples_of,
    send_job,
)
from emotions.audio.stream import Blocks, Stream, check_shape
from emotions.errors import Crashed, IncompleteAudio

_MOST_IDLE = 16
_START_SEC = 60
_END_SEC = 2
_START = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from emotions.audio.decoders.nursery import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class _GoneError(Exception):
    """A decoder does not answer, or with what is no answer."""


@dataclass
class _Decoder:
    """A decoder process, our end of its socket, the file that it read last, and whether it waits for a job."""

    process: int
    connection: socket.socket
    last: str = ""
    is_idle: bool = True

    def is_there(self) -> bool:
        self.connection.settimeout(0)  # with a time limit, a socket waits for that long whatever the flags
        try:
            self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


class DecoderPool:
    """The decoders of one process, for any number of its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._nursery: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def warm_up(self, decoders: int) -> None:
        """Start so many decoders in advance, less those that are idle."""
        for _ in range(decoders - len(self._idle)):
            self._put(self._forked())

    @contextlib.contextmanager
    def opened(
        self, source: AudioSource, options: ReadOptions, limits: DecoderLimits, cancellation: Cancellation
    ) -> Iterator[Stream]:
        """As ``decode.open_waveform``, in a decoder; one that is not read to its end is killed.

        Args:
            source: path of a file, or the file's bytes.
            options: what to read of it.
            limits: what the decoder may use.
            cancellation: ends it.

        Raises:
            Crashed: the decoder died.
            TimeoutError: as ``Cancellation.check``.
            AudioError, OSError: as ``decode.open_waveform``.
        """
        decoder = self._take("" if isinstance(source, bytes) else str(source))
        try:
            with cancellation.ending(decoder.connection):
                yield _stream(decoder, source, options, limits, cancellation)
        except _GoneError as error:
            reason = _reason(self._end(decoder), limits)
            cancellation.check()
            raise Crashed(reason) from error
        finally:
            if decoder.is_idle:
                self._put(decoder)
            else:
                self._end(decoder)

    def close(self) -> None:
        """End all decoders that are idle, and what they are forked from."""
        with self._lock:
            idle, self._idle = self._idle, []
            for decoder in idle:
                decoder.connection.close()
            self._stop()

    def _take(self, name: str) -> _Decoder:
        """An idle decoder, the one that read this file last if there is one; else a new one."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                best = next((each for each in self._idle if name and each.last == name), self._idle[-1])
                self._idle.remove(best)
            if best.is_there():
                best.last, best.is_idle = name, False
                return best
            self._end(best)
        decoder = self._forked()
        decoder.last, decoder.is_idle = name, False
        return decoder

    def _put(self, decoder: _Decoder) -> None:
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(decoder)
                return
        self._end(decoder)

    def _end(self, decoder: _Decoder) -> int:
        """End a decoder, and give the signal that it died of; 0 for none. A second time nothing is done."""
        if decoder.connection.fileno() < 0:
            return 0
        decoder.connection.close()
        decoder.is_idle = False
        with self._lock:
            try:
                return self._asked(KILL + NUMBER.pack(decoder.process))
            except _GoneError:
                self._stop()  # with what they were forked from, all decoders have ended
                return signal.SIGKILL

    def _forked(self) -> _Decoder:
        """A new decoder."""
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            for attempt in range(2):
                try:
                    self._start()
                    return _Decoder(self._asked(FORK, theirs), ours)
                except _GoneError:
                    self._stop()
                    if attempt:
                        ours.close()
                        raise Crashed("no decoder can be started") from None
        raise AssertionError  # pragma: no cover

    def _asked(self, message: bytes, sent: socket.socket | None = None) -> int:
        """The nursery's answer to a request."""
        if self._control is None:
            raise _GoneError
        try:
            socket.send_fds(self._control, [message], [sent.fileno()] if sent else [])
            answer = self._control.recv(NUMBER.size, socket.MSG_WAITALL)
        except OSError as error:
            raise _GoneError from error
        if len(answer) < NUMBER.size:
            raise _GoneError
        number: int = NUMBER.unpack(answer)[0]
        return number

    def _start(self) -> None:
        """Start the nursery, unless there is one: a process of one thread, since those of many are not to be forked."""
        if self._nursery is not None:
            return
        self._control, theirs = socket.socketpair()
        self._control.settimeout(_START_SEC)
        with theirs:
            self._nursery = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno()), str(os.getpid()), *map(str, sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )

    def _stop(self) -> None:
        """End the nursery, and with it all that it forked."""
        if self._control is not None:
            with contextlib.suppress(OSError):  # closing is not enough: a process that was forked may have it open
                self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
        if self._nursery is not None:
            try:
                self._nursery.wait(_END_SEC)
            except subprocess.TimeoutExpired:
                self._nursery.kill()
                self._nursery.wait()
        self._control = self._nursery = None


def _stream(
    decoder: _Decoder, source: AudioSource, options: ReadOptions, limits: DecoderLimits, cancellation: Cancellation
) -> Stream:
    """The stream of a decoder that has nothing to do."""
    connection = decoder.connection
    flaws: list[IncompleteAudio] = []

    def following() -> tuple[int, memoryview]:
        try:
            connection.settimeout(cancellation.left())
            kind, content = receive(connection)
        except (EOFError, OSError) as error:
            raise _GoneError from error
        if kind == ERROR:
            decoder.is_idle = True
            raise error_of(content)
        return kind, content

    def blocks() -> Blocks:
        while (message := following())[0] == BLOCK:
            yield samples_of(message[1])
        if message[0] != END:
            raise _GoneError
        flaws.extend(flaws_of(message[1]))
        decoder.is_idle = True

    try:
        connection.settimeout(cancellation.left())
        send_job(connection, source, options, limits)
    except OSError as error:
        raise _GoneError from error
    kind, content = following()
    if kind != OPENED:
        raise _GoneError
    rate, channels = map(int, json.loads(bytes(content)))
    check_shape(rate, channels)
    return Stream(rate, channels, blocks(), flaws)


def _reason(ended_by: int, limits: DecoderLimits) -> str:
    if ended_by == signal.SIGXCPU:
        more = f" and {limits.cpu_sec_a_mb} s a megabyte" if limits.cpu_sec_a_mb else ""
        return f"decoding it takes more than {limits.cpu_sec} s{more} of processor time"
    if ended_by == signal.SIGKILL:
        return "its decoder was killed, as where memory runs out"
    return f"its decoder crashed by {signal.Signals(ended_by).name}" if ended_by else "its decoder failed"


_pools = [DecoderPool()]
"""Of the processes that this one was forked from, and its own."""


def decoder_pool() -> DecoderPool:
    """The decoders of this process."""
    return _pools[-1]


def _after_fork() -> None:
    """A process that was forked has decoders of its own."""
    _pools.append(DecoderPool())


@atexit.register
def _close() -> None:
    _pools[-1].close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
