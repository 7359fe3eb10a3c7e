"""Pairs of clips that may be copies: found in blocks as by comparing each with each, and never many."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.data.checks.candidates import candidates
from training.data.checks.fingerprints import Bits
from training.data.checks.frames import MIN_FRAMES, Frames

Found = dict[tuple[int, int, int], float]


def random_bits(seed: int, clips: int, letters: int) -> list[Bits]:
    """Clips of unlike lengths, of a few kinds of frames, among which silent ones."""
    random = np.random.default_rng(seed)
    alphabet = random.integers(1, 1 << 32, letters, dtype=np.uint32)
    alphabet[0] = 0
    return [alphabet[random.integers(letters, size=random.integers(0, 120))] for _ in range(clips)]


def found_in(fingerprints: list[Bits]) -> Found:
    frames = Frames(fingerprints)
    blocks = map(frames.compared, candidates(frames))
    pairs = [(*pair, errors) for each in blocks for pair, errors in zip(each[0].tolist(), each[1], strict=True)]
    assert len({(first, second, shift) for first, second, shift, _ in pairs}) == len(pairs)
    return {(first, second, shift): float(errors) for first, second, shift, errors in pairs}


def compared_one_by_one(fingerprints: list[Bits]) -> Found:
    found = {}
    for second, late in enumerate(fingerprints):
        for first, clip in enumerate(fingerprints[:second]):
            equal = (clip[:, None] == late) & (clip[:, None] != 0)
            votes = Counter(int(at) - int(own) for own, at in np.argwhere(equal))
            for shift in {near for vote in votes for near in (vote - 1, vote, vote + 1)}:
                if votes[shift - 1] + votes[shift] + votes[shift + 1] < 2:
                    continue
                common = [
                    (int(clip[at]), int(late[at + shift])) for at in range(len(clip)) if 0 <= at + shift < len(late)
                ]
                loud = [(one, other) for one, other in common if one and other]
                if len(loud) >= MIN_FRAMES:
                    found[first, second, shift] = sum((a ^ b).bit_count() for a, b in loud) / len(loud) / 32
    return found


@pytest.mark.parametrize("block", [1, 100, 1 << 15])
def test_blocks_find_what_comparing_each_with_each_does(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr("training.data.checks.candidates._BLOCK", block)
    monkeypatch.setattr("training.data.checks.frames._AT_ONCE", 10 * block)
    fingerprints = random_bits(0, 12, 200)
    expected = compared_one_by_one(fingerprints)
    assert len(expected) > 20
    assert found_in(fingerprints) == pytest.approx(expected)


def test_clips_that_are_alike_throughout_are_compared_with_a_bounded_number() -> None:
    hum = np.full(60, 7, np.uint32)
    found = {clips: len({pair[:2] for pair in found_in([hum] * clips)}) for clips in (50, 100, 200)}
    assert found[100] - found[50] == pytest.approx((found[200] - found[100]) / 2, rel=0.1)


@pytest.mark.parametrize("clips", [[], [0], [0, 0], [0, 60]])
def test_there_are_none_without_sound(clips: list[int]) -> None:
    assert found_in([np.zeros(frames, np.uint32) for frames in clips]) == {}
