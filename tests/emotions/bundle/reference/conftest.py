"""Clips by figures alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from emotions.audio.signal_measure import Signal
from emotions.bundle.reference.observation import Observation

LABELS = {"emotion": ["anger", "joy", "neutral", "sadness"]}
MakeClips = Callable[..., list[Observation]]


@pytest.fixture(scope="session")
def make_clips() -> MakeClips:
    """``make_clips(count, seed, shares=, level=, hz=, shift=, sharpness=)``: clips of one population, or altered."""

    def make(
        count: int,
        seed: int,
        shares: Any = (0.25, 0.25, 0.25, 0.25),
        level: float = -26.0,
        hz: float = 5000.0,
        shift: float = 0.0,
        sharpness: float = 2.0,
    ) -> list[Observation]:
        random = np.random.default_rng(seed)
        return [_clip(random, shares, level, hz, shift, sharpness) for _ in range(count)]

    return make


def _clip(random: np.random.Generator, shares: Any, level: float, hz: float, shift: float, sharp: float) -> Observation:
    logits = random.standard_normal(4)
    logits[random.choice(4, p=shares)] += sharp
    scores = np.exp(logits) / np.exp(logits).sum()
    signal = Signal(random.normal(level, 4), random.normal(30, 5), random.normal(hz, 500))
    embedding = random.standard_normal(32) * np.linspace(2, 0.1, 32) + shift
    named = dict(zip(LABELS["emotion"], scores.tolist(), strict=True))
    return Observation({"emotion": named}, {}, random.gamma(4, 0.7), signal, embedding.astype(np.float32))
