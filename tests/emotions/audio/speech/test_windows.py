"""Windows of speech: inside its segments, the same in whatever blocks a recording comes."""

from __future__ import annotations

import numpy as np
import pytest

from emotions.audio.speech.windows import Speech, speech_windows, split_speech
from emotions.audio.windows import FloatArray, Windows, WindowSpec, split
from emotions.errors import NoSpeech
from tests.emotions.audio.speech.conftest import sounds_without_speech

SPEC = WindowSpec(8_000, 8_000, dynamic=True)


def _windows(blocks: list[FloatArray], enough: int = 1) -> tuple[list[Windows], Speech]:
    found = Speech()
    return [*speech_windows(iter(blocks), SPEC, found, enough=enough)], found


def test_each_segment_is_cut_as_a_recording_of_its_own(talk: FloatArray) -> None:
    windows, found = split_speech(talk, SPEC)
    assert found.samples == len(talk)
    assert len(found.spans) > 3
    starts = np.concatenate([split(talk[span.begin : span.end], SPEC).starts + span.begin for span in found.spans])
    np.testing.assert_array_equal(windows.starts, starts)
    for samples, length, start in zip(windows.samples, windows.lengths, windows.starts, strict=True):
        np.testing.assert_array_equal(samples[:length], talk[start : start + length])
        assert not samples[length:].any()


def test_a_fixed_window_is_padded(clips: list[FloatArray]) -> None:
    windows, _ = split_speech(clips[0], WindowSpec(80_000, 80_000))
    assert windows.samples.shape[1] == 80_000


@pytest.mark.parametrize("size", [700, 16_000, 90_000])
def test_blocks_make_no_difference(talk: FloatArray, size: int) -> None:
    whole, wanted = split_speech(talk, SPEC)
    parts, found = _windows([talk[at : at + size] for at in range(0, len(talk), size)])
    assert found == wanted
    np.testing.assert_array_equal(np.concatenate([part.starts for part in parts]), whole.starts)
    np.testing.assert_array_equal(np.concatenate([part.lengths for part in parts]), whole.lengths)
    rows = [row[:length] for part in parts for row, length in zip(part.samples, part.lengths, strict=True)]
    for row, expected, length in zip(rows, whole.samples, whole.lengths, strict=True):
        np.testing.assert_array_equal(row, expected[:length])


def test_windows_of_a_long_segment_come_before_its_end(clips: list[FloatArray]) -> None:
    speech = np.concatenate([clips[0][2_000:-4_000]] * 8)
    blocks = [speech[at : at + 8_000] for at in range(0, len(speech), 8_000)]
    taken = 0

    def counted() -> object:
        nonlocal taken
        for block in blocks:
            taken += 1
            yield block

    next(speech_windows(counted(), SPEC, Speech(), enough=1))  # type: ignore[arg-type]
    assert taken < len(blocks)


def test_a_recording_without_speech_is_refused() -> None:
    melody = sounds_without_speech()["melody"]
    with pytest.raises(NoSpeech, match=r"no speech in its 6\.00 s"):
        split_speech(melody, SPEC)
