"""A segment of a recording, decoded without what comes before it where its format lets one seek."""

from __future__ import annotations

import math

from emotions.audio.decode import SAMPLE_RATE, resampled
from emotions.audio.stream import Blocks, Stream
from emotions.errors import TooShort

_MARGIN_SEC = 0.1
"""More than the half length of the resampler's filter at any rate from 8 kHz on: what lies further has no effect."""


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
    for block in resampled(_without(blocks, steps * step - begin), rate):
        inside = block[max(0, first - at) : None if last is None else max(0, last - at)]
        at += len(block)
        if len(inside):
            yield inside
        if last is not None and at >= last:
            break
    if 0 < first >= at:
        raise TooShort(f"starts at {start:g} s, where the recording has ended")


def _without(blocks: Blocks, samples: int) -> Blocks:
    """The blocks less their first samples."""
    for block in blocks:
        if samples < len(block):
            yield block[samples:] if samples else block
        samples = max(0, samples - len(block))
