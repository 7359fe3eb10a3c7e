"""What bits in common tell: as much as they are independent."""

from __future__ import annotations

import numpy as np
import pytest

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import IntArray
from training.data.checks.evidence import evidence, independent_bits
from training.data.checks.fingerprints import POWERS, Bits, fingerprint
from training.data.checks.frames import Frames


def noise(seed: int, sec: float = 0.6) -> Bits:
    return fingerprint(np.random.default_rng(seed).normal(0, 0.1, round(sec * SAMPLE_RATE)).astype(np.float32))


def steady(seed: int, frames: int) -> Bits:
    """Bits that last for some frames, silence between them."""
    random = np.random.default_rng(seed)
    bits = np.repeat(random.integers(1 << 32, size=frames, dtype=np.uint32), random.integers(1, 9, size=frames))
    bits[random.integers(len(bits), size=len(bits) // 10)] = 0
    return bits[:frames]


def independent(one: Bits, other: Bits, shift: int = 0) -> float:
    return float(independent_bits(Frames([one, other]), np.array([[0, 1, shift]]))[0])


def by_definition(one: Bits, other: Bits) -> float:
    """The same of two clips of a length, from the correlations of their bits as plus and minus one."""

    def signs(bits: Bits) -> IntArray:
        return np.where((bits[:, None] & POWERS) != 0, 1, -1) * (bits[:, None] != 0)

    def correlation(values: IntArray, lag: int) -> float:
        first, second = values[: len(values) - lag], values[lag:]
        return (first * second).sum() / max(1, np.abs(first * second).sum())

    def repeats(a: IntArray, b: IntArray) -> float:
        lags = range(1, len(a))
        return 1 + 2 * sum((1 - lag / len(a)) * correlation(a, lag) * correlation(b, lag) for lag in lags)

    a, b = signs(one), signs(other)
    bits = 32 * np.count_nonzero((one != 0) & (other != 0))
    return float(bits / max(1.0, repeats(a, b) * repeats(a.T, b.T)))


@pytest.mark.parametrize("frames", [40, 300, 700])
def test_they_follow_the_definition(frames: int) -> None:
    one, other = steady(1, frames), steady(2, frames)
    assert independent(one, other) == pytest.approx(by_definition(one, other), rel=1e-6)
    moved = by_definition(one[:-13], other[13:])
    assert independent(one, other, 13) == pytest.approx(moved, rel=1e-6)
    assert independent(other, one, -13) == pytest.approx(moved, rel=1e-6)


def test_many_pairs_are_judged_as_each_alone() -> None:
    random = np.random.default_rng(5)
    frames = Frames([steady(seed, int(random.integers(45, 900))) for seed in range(60)])
    pairs = np.array([[one, other, shift] for one in range(60) for other in range(one) for shift in (-4, 0, 3)])
    errors = random.uniform(0, 0.4, len(pairs))
    found = evidence(frames, pairs, errors)
    for at in random.integers(len(pairs), size=30):
        assert found[at] == pytest.approx(evidence(frames, pairs[at : at + 1], errors[at : at + 1])[0], rel=1e-9)


def test_independent_bits_follow_from_how_the_bits_repeat() -> None:
    clips = [noise(seed, 1.0) for seed in range(40)]
    pairs = [(clips[first], clips[second]) for first in range(40) for second in range(first)]
    shares = [float(np.bitwise_count(one ^ other).mean()) / 32 for one, other in pairs]
    variance = float(np.mean((np.array(shares) - 0.5) ** 2))
    expected = float(np.mean([0.25 / independent(one, other) for one, other in pairs[::5]]))
    assert 0.6 < variance / expected < 1.6
    frozen = np.full(100, clips[0][50])
    assert independent(frozen, frozen) < 33 < independent(*pairs[0])


def test_evidence_is_more_where_less_differs_and_none_between_strangers() -> None:
    one, other = noise(6), noise(7)

    def found(errors: float, first: Bits = one) -> float:
        return float(evidence(Frames([first, other]), np.array([[0, 1, 0]]), np.array([errors]))[0])

    assert found(0.5) == pytest.approx(0)
    assert 0 < found(0.3) < found(0.1) < found(0.0)
    assert found(0.0, np.zeros_like(one)) == 0
    assert len(evidence(Frames([one]), np.zeros((0, 3), np.int64), np.zeros(0))) == 0
