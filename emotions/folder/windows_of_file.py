"""A file of any length to its windows, part by part, with no more than a part of it in memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from emotions.audio import decode
from emotions.audio.containers import AudioSource
from emotions.audio.decoders.read import open_waveform
from emotions.audio.speech.turns import turn_windows
from emotions.audio.speech.windows import Speech, speech_windows
from emotions.audio.stream import Blocks
from emotions.audio.windows import FloatArray, Windows, WindowSpec, split_parts
from emotions.errors import IncompleteAudio, NoTurns, Truncated
from emotions.inputs.input_file import InputFile, is_url

_PART_SEC = 30
_PART_WINDOWS = 4
"""A part holds as much of a recording as the larger of these."""


def window_parts(
    file: InputFile,
    spec: WindowSpec,
    flaws: list[IncompleteAudio],
    *,
    strict: bool = False,
    speech: Speech | None = None,
) -> Iterator[Windows]:
    """Decode a recording, or a segment of it, and cut it into windows.

    Args:
        file: the recording or segment.
        spec: window and hop, in samples.
        flaws: takes, at the end, what is missing in the recording.
        strict: refuse a recording of which a part is missing.
        speech: where given, only speech is cut into windows, and this takes where it is: the turns of the file, if it
            has such, else what is found.

    Yields:
        The windows of ``windows.split``, in order, a part at a time; only a long recording has several parts. One
        shorter than a window is not padded: the batch that it goes into is. Starts count from the segment's beginning.

    Raises:
        AudioError: as ``audio.decode``; of a long recording perhaps after some parts.
        OSError: it cannot be read.
    """
    if file.turns == ():
        raise NoTurns("nobody says who speaks when in it")
    options = decode.ReadOptions(strict, file.start, file.end, channel=file.channel)
    with open_waveform(content_of(file), options) as stream:
        blocks = stream.blocks
        if file.end is not None:
            blocks = _noting_the_end(blocks, file.end - (file.start or 0.0), stream.flaws, strict=strict)
        if speech is None:
            yield from _windows(blocks, spec)
        elif file.turns is None:
            yield from _speech_windows(blocks, spec, speech)
        else:
            yield from _turn_windows(blocks, spec, speech, file.turns)
        flaws.extend(stream.flaws)


def _noting_the_end(blocks: Blocks, seconds: float, flaws: list[IncompleteAudio], *, strict: bool) -> Blocks:
    """The blocks of a segment of some seconds; a flaw where its recording ends before it does."""
    samples = 0
    for block in blocks:
        samples += len(block)
        yield block
    missing = seconds - samples / decode.SAMPLE_RATE
    if missing > decode.BEYOND_SEC and not flaws:
        flaws.append(Truncated(f"the recording ends {missing:.2f} s before the segment does"))
        if strict:
            raise flaws[0]


def content_of(file: InputFile) -> AudioSource:
    """What to decode of a file: its path, or the bytes behind a URL. Raises OSError where it is a folder."""
    if is_url(file.source):
        from emotions.inputs.remote import fetch

        return fetch(str(file.source))
    if file.path.is_dir():
        next(file.path.iterdir(), None)  # says why, where a folder cannot be read
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return file.path


def _windows(blocks: Blocks, spec: WindowSpec) -> Iterator[Windows]:
    enough = max(_PART_SEC * decode.SAMPLE_RATE, _PART_WINDOWS * spec.samples)
    return split_parts(_checked(_gathered(blocks, enough)), replace(spec, dynamic=True))


def _speech_windows(blocks: Blocks, spec: WindowSpec, speech: Speech) -> Iterator[Windows]:
    checked = (part for part, _ in _checked(_gathered(blocks, 1)))
    return speech_windows(checked, replace(spec, dynamic=True), speech)


def _turn_windows(
    blocks: Blocks, spec: WindowSpec, speech: Speech, turns: Sequence[tuple[float, float]]
) -> Iterator[Windows]:
    checked = (part for part, _ in _checked(_gathered(blocks, _PART_SEC * decode.SAMPLE_RATE)))
    return turn_windows(checked, replace(spec, dynamic=True), speech, turns)


def _checked(parts: Iterator[tuple[FloatArray, bool]]) -> Iterator[tuple[FloatArray, bool]]:
    """Pass the parts of a recording on, the last one only if there is something in the recording to classify."""
    peak, samples = 0.0, 0
    for part, last in parts:
        samples += len(part)
        if last:
            decode.check_length(samples)
        peak = max(peak, decode.peak_of(part))
        if last:
            decode.check_not_silent(peak)
        yield part, last


def _gathered(blocks: Blocks, enough: int) -> Iterator[tuple[FloatArray, bool]]:
    """Blocks joined to parts of at least ``enough`` samples, each with whether it is the last; at least one part."""
    held: list[FloatArray] = []
    samples = 0
    for block in blocks:
        if samples >= enough:
            yield _joined(held), False
            held, samples = [], 0
        held.append(block)
        samples += len(block)
    yield _joined(held), True


def _joined(blocks: list[FloatArray]) -> FloatArray:
    return blocks[0] if len(blocks) == 1 else np.concatenate([*blocks, np.zeros(0, np.float32)])
