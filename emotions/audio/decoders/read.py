"""Any recording to its waveform: what is plain in this thread, everything else in a decoder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace

from emotions.audio import decode
from emotions.audio.containers import AudioSource
from emotions.audio.decode import ReadOptions, Recording
from emotions.audio.decoders.cancellation import Cancellation
from emotions.audio.decoders.pool import decoder_pool
from emotions.audio.decoders.protocol import DecoderLimits
from emotions.audio.stream import Blocks, NotPlain, Stream
from emotions.errors import ConfigError

SUPPORTED = sys.platform == "linux"
"""Elsewhere, a process cannot be limited so, and everything is decoded in the thread that asks."""
MEMORY_VARIABLE = "EMOTIONS_DECODER_MEMORY"
_CPU_SEC_A_MB = 10
"""Twice what Opus at 6 kbit/s takes."""
_DEFAULT = DecoderLimits(cpu_sec_a_mb=_CPU_SEC_A_MB)


def default_limits() -> DecoderLimits:
    """The limits where no others are given: those of ``DecoderLimits``, with the memory that the environment names.

    Raises:
        ConfigError: it names no number of bytes.
    """
    named = os.environ.get(MEMORY_VARIABLE, "")
    if not named:
        return _DEFAULT
    if not named.isdecimal() or int(named) < 1:
        raise ConfigError(f"{MEMORY_VARIABLE}: got {named!r}; a number of bytes, as 268435456")
    return replace(_DEFAULT, memory=int(named))


def read(
    source: AudioSource,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
    *,
    limits: DecoderLimits | None = None,
    cancellation: Cancellation | None = None,
) -> Recording:
    """Decode a recording or a segment of one, silent or short ones included.

    Args:
        source: path of a file, or the file's bytes.
        options: what to read of it.
        limits: what a decoder may use.
        cancellation: ends it.

    Raises:
        Crashed: its decoder died, or was ended at a limit.
        TimeoutError: it was cancelled.
        AudioError, OSError: as ``audio.decode.read``.
    """
    with open_waveform(source, options, limits=limits, cancellation=cancellation) as stream:
        return decode.recording_of(stream)


@contextlib.contextmanager
def open_waveform(
    source: AudioSource,
    options: ReadOptions,
    *,
    limits: DecoderLimits | None = None,
    cancellation: Cancellation | None = None,
) -> Iterator[Stream]:
    """Open a recording, or a segment of one, to be read at 16 kHz, block by block. Args and Raises as ``read``."""
    until = cancellation or Cancellation()
    with contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(decode.open_waveform(source, options, plain=SUPPORTED))
        except NotPlain as found:
            options.check_claimed(found.claimed)
            stream = stack.enter_context(in_decoder(source, options, limits=limits, cancellation=until))

        def blocks() -> Blocks:
            done = 0
            try:
                for block in stream.blocks:
                    until.check()
                    done += len(block)
                    yield block
            except NotPlain:  # damaged FLAC, of which another decoder reads more
                with in_decoder(source, options, limits=limits, cancellation=until) as rest:
                    yield from decode.without(rest.blocks, done)
                    stream.flaws[:] = rest.flaws

        yield Stream(stream.rate, stream.channels, blocks(), stream.flaws)


def in_decoder(
    source: AudioSource,
    options: ReadOptions,
    *,
    limits: DecoderLimits | None = None,
    cancellation: Cancellation | None = None,
) -> contextlib.AbstractContextManager[Stream]:
    """As ``open_waveform``, always in a decoder."""
    return decoder_pool().opened(source, options, limits or default_limits(), cancellation or Cancellation())
