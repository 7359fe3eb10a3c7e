"""Altered copies: as long as the recording, the same each time, each of its own, whatever the recording is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.pipeline.runner import Context
from tests.training.conftest import MakeStep
from training.config.learning import CopyChange
from training.corpus import read_corpus
from training.data.waveforms.altered import altered, copy_of
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.dataset import WindowDataset

CHANGES: tuple[CopyChange, ...] = ("noise", "band", "codec", "room", "level", "speed", "pitch")


def voice(samples: int, seed: int = 0) -> np.ndarray:
    random, time = np.random.default_rng(seed), np.arange(samples) / 16_000
    found = sum(np.sin(2 * np.pi * 140 * harmonic * time) / harmonic for harmonic in range(1, 20))
    return np.asarray(0.1 * found * (1 + np.sin(8 * time)) + 0.001 * random.standard_normal(samples), np.float32)


def facts(seed: int = 0) -> ClipInfo:
    return ClipInfo(sha256=f"{seed:064x}", samples=16_000, duration_sec=1.0)


@given(st.integers(1_600, 40_000), st.lists(st.sampled_from(CHANGES), min_size=1, max_size=7), st.integers(0, 15))
@settings(deadline=None, max_examples=60)
def test_a_copy_is_as_long_finite_audible_and_the_same_each_time(
    samples: int, changes: list[CopyChange], number: int
) -> None:
    wave, copy = voice(samples), copy_of(facts(samples), number, changes)
    one, again = altered(wave, copy), altered(wave, copy)
    np.testing.assert_array_equal(one, again)
    assert (one.shape, one.dtype) == (wave.shape, np.float32)
    assert np.isfinite(one).all()
    assert np.abs(one).max() > 1e-4


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_changes_most_copies_and_each_its_own_way(change: CopyChange) -> None:
    wave = voice(16_000)
    copies = [altered(wave, copy_of(facts(), number, [change])) for number in range(12)]
    assert sum(bool(np.abs(copy - wave).max() > 1e-4) for copy in copies) >= 9
    assert len({copy.tobytes() for copy in copies}) >= (4 if change == "codec" else 9)  # some codecs have one way
    assert all(np.corrcoef(copy, wave)[0, 1] > 0.2 for copy in copies if change in ("noise", "level"))


def test_noise_lies_between_12_and_40_db_below() -> None:
    wave = voice(32_000)
    for number in range(20):
        noise = altered(wave, copy_of(facts(), number, ["noise"])) - wave
        level = 10 * np.log10(np.mean(np.square(wave)) / np.mean(np.square(noise)))
        assert 11.5 < level < 40.5


def hertz(wave: np.ndarray) -> float:
    """The frequency of a sine, by its zero crossings."""
    middle = wave[len(wave) // 4 : len(wave) // 2]
    return float(np.count_nonzero(np.diff(np.signbit(middle)))) / 2 / (len(middle) / 16_000)


@pytest.mark.parametrize(("change", "low", "high"), [("speed", 0.9, 1.1), ("pitch", 2 ** (-1 / 6), 2 ** (1 / 6))])
def test_speed_and_pitch_move_frequencies_by_as_much_as_they_say(change: CopyChange, low: float, high: float) -> None:
    wave = (0.5 * np.sin(2 * np.pi * 400 * np.arange(32_000) / 16_000)).astype(np.float32)
    moved = [hertz(altered(wave, copy_of(facts(), number, [change]))) / 400 for number in range(16)]
    assert low - 0.01 < min(moved) < 1 - 0.02
    assert 1 + 0.02 < max(moved) < high + 0.01


def test_pitch_keeps_the_tempo_and_speed_does_not() -> None:
    beats = np.zeros(32_000, np.float32)
    for start in range(2_000, 32_000, 4_000):
        beats[start : start + 800] = 0.5 * np.sin(2 * np.pi * 400 * np.arange(800) / 16_000)

    def drift(wave: np.ndarray) -> float:
        """How far the last beat that is whole has moved, in seconds."""
        loud = np.flatnonzero(np.abs(wave) > 0.2)
        return abs(float(loud.max()) - float(np.flatnonzero(np.abs(beats) > 0.2).max())) / 16_000

    pitched = [drift(altered(beats, copy_of(facts(), number, ["pitch"]))) for number in range(8)]
    sped = [drift(altered(beats, copy_of(facts(), number, ["speed"]))) for number in range(8)]
    assert max(pitched) < 0.06
    assert max(sped) > 0.06


def test_a_copy_has_a_key_of_its_own() -> None:
    keys = {copy_of(facts(seed), number, ["noise"]).sha256 for seed in range(3) for number in range(3)}
    assert len(keys | {facts(seed).sha256 for seed in range(3)}) == 12
    assert copy_of(facts(), 0, ["noise", "band"]).sha256 == copy_of(facts(), 0, ["band", "noise"]).sha256
    assert copy_of(facts(), 0, ["noise"]).sha256 != copy_of(facts(), 0, ["band"]).sha256


def test_only_the_training_part_has_copies(make_step: MakeStep, context: Context, tmp_path: Path) -> None:
    plain = read_corpus(make_step(), context)
    corpus = read_corpus(make_step(learn_params__augmentation={"copies": 2}), context)
    assert corpus.split == plain.split
    assert len(corpus.train) == 3 * len(plain.train)
    assert [len(part or ()) for part in (corpus.val, corpus.test)] == [
        len(part or ()) for part in (plain.val, plain.test)
    ]
    assert isinstance(corpus.train, WindowDataset)
    first, count = corpus.train[0], len(plain.train)
    copies = [corpus.train[count * number] for number in range(1, 3)]
    assert all(copy[1:3] == first[1:3] for copy in copies)  # samples and truth
    assert all(not np.array_equal(copy[0], first[0]) for copy in copies)
