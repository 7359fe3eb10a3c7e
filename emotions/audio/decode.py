"""Audio: any recording in, mono float32 at the model's rate out: ``bytes | path -> waveform (samples,)``."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emotions.audio.containers import AudioSource, open_stream
from emotions.audio.resampler import Resampler
from emotions.audio.stream import Blocks, Stream
from emotions.audio.windows import FloatArray
from emotions.errors import IncompleteAudio, NotFinite, Silent, TooLong, TooShort

SAMPLE_RATE = 16_000
"""Sampling rate of every model, in Hz."""
MIN_SAMPLES = 400
"""Fewer samples than this at 16 kHz are too short: a Wav2Vec2 encoder's first frame needs as many."""
SILENCE_PEAK = 1e-4
"""A recording whose largest magnitude is below this is silent."""
MAX_PEAK = 1e6
"""A larger magnitude overflows float32 in a model: its power and their sums are far below 3e38."""
BEYOND_SEC = 0.05
"""How much later than its recording a segment may end: times are rounded, and codecs pad."""
_MARGIN_SEC = 0.1
"""More than the half length of the resampler's filter at any rate from 8 kHz on: what lies further has no effect."""


@dataclass(frozen=True)
class ReadOptions:
    """What to read of a recording, and how much of it at most.

    Attributes:
        strict: refuse a recording of which a part is missing, rather than read what there is.
        start: first second of a segment; None for the beginning.
        end: last second of a segment; None for the end.
        max_sec: longest recording to accept, in seconds; decoding stops there.
        max_samples: most samples of all channels together to accept, as recorded.
        channel: the one to read, from 1; None for the mean of all.
    """

    strict: bool = False
    start: float | None = None
    end: float | None = None
    max_sec: float | None = None
    max_samples: int | None = None
    channel: int | None = None

    def check_claimed(self, claimed: int) -> None:
        """Refuse a recording whose header counts more samples of all channels than ``max_samples`` as TooLong."""
        if self.max_samples is not None and claimed > self.max_samples:
            raise TooLong(f"has {claimed} samples in all its channels, at most {self.max_samples} are taken")


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Attributes:
        waveform: (samples,) float32, mono, at ``SAMPLE_RATE``.
        rate: samples per second as recorded.
        channels: channels as recorded.
        flaws: why it is less than there should be.
    """

    waveform: FloatArray
    rate: int
    channels: int
    flaws: tuple[IncompleteAudio, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The flaws in words, each behind its name: ``truncated: is cut off: ...``."""
        return tuple(flaw.warning for flaw in self.flaws)


def decode(source: AudioSource, *, max_sec: float | None = None) -> FloatArray:
    """Decode a recording that is fit to be classified; what there is of one that was cut off.

    Args:
        source: path of a file, or the file's bytes.
        max_sec: longest recording to accept, in seconds; decoding stops there.

    Returns:
        (samples,) float32, mono, 16 kHz.

    Raises:
        NotAudio: not a container or codec that we read, or broken.
        TooLong: longer than ``max_sec``.
        TooShort, Silent, NotFinite: nothing in it to classify.
        OSError: the file cannot be read.
    """
    return checked(read(source, max_sec=max_sec).waveform)


def checked(waveform: FloatArray) -> FloatArray:
    """The waveform itself, (samples,) float32 at 16 kHz; TooShort, Silent or NotFinite where it is not to be used."""
    check_length(len(waveform))
    check_not_silent(peak_of(waveform))
    return waveform


def check_length(samples: int) -> None:
    """Refuse a recording of fewer than ``MIN_SAMPLES`` at 16 kHz as TooShort."""
    if samples < MIN_SAMPLES:
        raise TooShort(f"holds {samples} samples at 16 kHz, at least {MIN_SAMPLES} are needed")


def peak_of(waveform: FloatArray) -> float:
    """The largest magnitude of a waveform (samples,); NotFinite where a sample is no number, or too large for one."""
    peak = float(max(waveform.max(initial=0), -waveform.min(initial=0)))
    if not np.isfinite(peak):
        raise NotFinite("holds a NaN or infinite sample")
    if peak > MAX_PEAK:
        raise NotFinite(f"holds a sample of {peak:.1e}; full scale is 1, and {MAX_PEAK:.0e} the most that is taken")
    return peak


def check_not_silent(peak: float) -> None:
    """Refuse a recording whose largest magnitude is below ``SILENCE_PEAK`` as Silent."""
    if peak < SILENCE_PEAK:
        raise Silent(f"nothing to hear: in mono its peak is {peak:.1e}, at least {SILENCE_PEAK:.0e} is needed")


def read(
    source: AudioSource,
    *,
    max_sec: float | None = None,
    strict: bool = False,
    start: float | None = None,
    end: float | None = None,
) -> Recording:
    """Decode a recording or a segment of one, silent or short ones included.

    Args:
        source: path of a file, or the file's bytes.
        max_sec: longest recording to accept, in seconds; decoding stops there.
        strict: refuse a recording of which a part is missing, rather than read what there is.
        start: first second of the segment; None for the beginning.
        end: last second of the segment; None for the end.

    Raises:
        IncompleteAudio: a part is missing, and ``strict``.
        TooShort: the recording ends before the segment begins.
        NotAudio, TooLong, OSError: as ``decode``.
    """
    with open_waveform(source, ReadOptions(strict, start, end, max_sec)) as stream:
        return recording_of(stream)


def recording_of(stream: Stream) -> Recording:
    """All of a recording that is open at 16 kHz."""
    blocks = [*stream.blocks] or [np.zeros(0, np.float32)]
    waveform = np.concatenate(blocks) if len(blocks) != 1 else blocks[0]
    return Recording(waveform, stream.rate, stream.channels, tuple(stream.flaws))


@contextlib.contextmanager
def open_waveform(source: AudioSource, options: ReadOptions, *, plain: bool = False) -> Iterator[Stream]:
    """Open a recording, or a segment of one, to be read at 16 kHz, block by block.

    Args:
        source: path of a file, or the file's bytes.
        options: what to read of it.
        plain: as for ``open_stream``.

    Raises:
        NotPlain: as ``open_stream``; AudioError, OSError: as ``read``, also while the blocks are read.
    """
    with open_stream(source, strict=options.strict, plain=plain, channel=options.channel) as opened:
        options.check_claimed(opened.claimed)
        stream = opened
        if options.max_samples is not None:
            stream = opened.through(lambda blocks, _: _counted(blocks, opened.channels, options))
        if options.start is None and options.end is None:
            blocks = resampled(_limited(stream.blocks, stream.rate, options.max_sec), stream.rate)
        else:
            blocks = _limited(segment_blocks(stream, options.start, options.end), SAMPLE_RATE, options.max_sec)
        yield Stream(stream.rate, stream.channels, blocks, stream.flaws, claimed=stream.claimed)


def _counted(blocks: Blocks, channels: int, options: ReadOptions) -> Blocks:
    samples = 0
    for block in blocks:
        samples += len(block) * channels
        options.check_claimed(samples)
        yield block


def to_model_rate(waveform: FloatArray, rate: int) -> FloatArray:
    """Resample a mono waveform to 16 kHz with soxr.

    Args:
        waveform: (samples,) float32.
        rate: its sampling rate, in Hz.
    """
    return np.concatenate([*resampled(iter([waveform]), rate), np.zeros(0, np.float32)])


def resampled(blocks: Blocks, rate: int) -> Blocks:
    """Resample a stream to 16 kHz, by soxr's high quality setting.

    Args:
        blocks: consecutive mono blocks, (samples,) float32 each.
        rate: their sampling rate, in Hz.
    """
    if rate == SAMPLE_RATE:
        yield from blocks
        return
    resampler = Resampler(rate, SAMPLE_RATE)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.finish()


def _limited(blocks: Blocks, rate: int, max_sec: float | None) -> Blocks:
    budget = None if max_sec is None else int(max_sec * rate)
    for block in blocks:
        if budget is not None:
            budget -= len(block)
            if budget < 0:
                raise TooLong(f"longer than {max_sec:g} s")
        yield block


def segment_blocks(stream: Stream, start: float | None, end: float | None) -> Blocks:
    """The samples between two times, as decoding from the start would give them.

    Args:
        stream: the recording, of which nothing has been read.
        start: first second; None for the beginning.
        end: last second; None for the end.

    Yields:
        Consecutive blocks at 16 kHz, (samples,) float32 each: from sample ``round(start * 16000)`` on, up to
        ``round(end * 16000)``.

    Raises:
        TooShort: the recording ends before the segment begins.
    """
    first = round((start or 0.0) * SAMPLE_RATE)
    last = None if end is None else round(end * SAMPLE_RATE)
    rate, margin = stream.rate, math.ceil(_MARGIN_SEC * stream.rate)
    # Resampling may begin only where a sample of one rate meets one of the other, as the first ones do.
    common = math.gcd(rate, SAMPLE_RATE)
    step, model_step = rate // common, SAMPLE_RATE // common
    steps = max(0, first * rate // SAMPLE_RATE - margin) // step
    stop = None if last is None else math.ceil(last * rate / SAMPLE_RATE) + margin
    begin, blocks = stream.part(steps * step, stop) if stream.part else (0, stream.blocks)
    at = steps * model_step
    for block in resampled(without(blocks, steps * step - begin), rate):
        inside = block[max(0, first - at) : None if last is None else max(0, last - at)]
        at += len(block)
        if len(inside):
            yield inside
        if last is not None and at >= last:
            break
    if 0 < first >= at:
        raise TooShort(f"starts at {start:g} s, where the recording has ended")


def without(blocks: Blocks, samples: int) -> Blocks:
    """The blocks (samples,) less their first ``samples``."""
    for block in blocks:
        if samples < len(block):
            yield block[samples:] if samples else block
        samples = max(0, samples - len(block))
