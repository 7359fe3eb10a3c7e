"""Copies among synthetic clips: tones, which tell little, and noise, which tells much."""

from __future__ import annotations

import numpy as np
import pytest

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray
from training.data.checks import copies
from training.data.checks.copies import find_matches
from training.data.checks.fingerprints import Bits, fingerprint

SEC = 0.6


def tone(random: np.random.Generator) -> FloatArray:
    """Harmonics of a voice's pitch, unlike any other's, that rise and fade."""
    at = np.arange(round(SEC * SAMPLE_RATE)) / SAMPLE_RATE
    vibrato = 1 + 0.02 * random.uniform() * np.sin(2 * np.pi * random.uniform(3, 7) * at)
    phase = 2 * np.pi * np.cumsum(random.uniform(80, 300) * vibrato) / SAMPLE_RATE
    wave = sum(random.uniform(0.2, 1) / k * np.sin(k * phase + random.uniform(0, 6)) for k in range(1, 12))
    envelope = np.minimum(1, at / 0.05) * np.exp(-at * random.uniform(0, 3))
    return np.asarray(0.1 * wave * envelope + 1e-4 * random.standard_normal(len(at)), np.float32)


def noise(random: np.random.Generator, sec: float = SEC) -> FloatArray:
    return np.asarray(random.normal(0, 0.1, round(sec * SAMPLE_RATE)), np.float32)


@pytest.fixture(scope="module")
def tones() -> list[FloatArray]:
    random = np.random.default_rng(0)
    return [tone(random) for _ in range(400)]


@pytest.fixture(scope="module")
def known(tones: list[FloatArray]) -> list[Bits]:
    return [fingerprint(each) for each in tones]


def test_unlike_tones_are_no_copies(known: list[Bits], monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_matches(known) == []
    monkeypatch.setattr(copies, "MAX_CHANCE", 1e99)  # whatever chance brings
    assert len(find_matches(known)) > 5


def test_copies_among_tones_are_found(tones: list[FloatArray], known: list[Bits]) -> None:
    random = np.random.default_rng(1)
    chosen = range(0, 400, 40)
    moved = [np.pad(tones[at] * 0.5, (37, 0)) + random.normal(0, 1e-5, len(tones[at]) + 37) for at in chosen]
    noises = [noise(random) for _ in chosen]
    again = [each * 0.5 + random.normal(0, 0.005, len(each)) for each in noises]
    added = [fingerprint(np.asarray(each, np.float32)) for each in (*moved, *noises, *again)]
    found = {(match.first, match.second) for match in find_matches([*known, *added])}
    of_noise = {(410 + number, 420 + number) for number in range(10)}
    assert of_noise <= found <= of_noise | {(at, 400 + number) for number, at in enumerate(chosen)}
    assert len(found - of_noise) >= 8


def test_a_corpus_of_little_but_copies_hides_none() -> None:
    clip = noise(np.random.default_rng(2))
    copies = [fingerprint((clip * gain).astype(np.float32)) for gain in (1, 0.5, 0.25, 0.7)]
    assert len(find_matches(copies)) == 6


def test_what_is_silent_matches_nothing() -> None:
    other = fingerprint(noise(np.random.default_rng(4)))
    silent = np.zeros_like(other)
    assert find_matches([silent, silent, other]) == []
