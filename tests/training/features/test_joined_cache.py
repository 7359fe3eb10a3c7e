"""The features of several frontends as one: each part is computed once, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from emotions.audio.windows import WindowSpec
from tests.training.models.encoders import make_whisper
from training.data.clips import Clip
from training.data.waveforms.dataset import WindowDataset
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.feature_cache import FeatureCache
from training.features.feature_dataset import FeatureDataset
from training.features.joined_cache import JoinedCache, cache_of
from training.models.base import Frontend
from training.models.frontends.encoders import load_encoder
from training.models.frontends.functionals import Functionals
from training.models.frontends.functionals_and_encoder import EncoderStatistics, FunctionalsAndEncoder
from training.models.frontends.whisper import WhisperFrontend

SPEC = WindowSpec(16_000, 16_000)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Frontend]:
    folder = make_whisper(tmp_path / "whisper")

    def build() -> Frontend:
        encoder = WhisperFrontend(load_encoder(str(folder)), SPEC.samples, [1, 2])
        return FunctionalsAndEncoder(Functionals(SPEC.samples), EncoderStatistics(encoder, "mean"))

    return build


@pytest.fixture
def windows(tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> WindowDataset:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    sounds = {str(samples): 0.1 * random.standard_normal(samples) for samples in (3_200, 20_800)}
    files = [write_wav(tmp_path / f"{name}.wav", samples) for name, samples in sounds.items()]
    clips = [Clip(file, file.name, None, None, {}, None, file.stem, None, {}) for file in files]
    cache = WaveformCache()
    return WindowDataset(clips, cache.prepare(clips), cache, SPEC, {})


def test_the_parts_stand_one_after_the_other(make: Callable[[], Frontend], windows: WindowDataset) -> None:
    frontend = make().eval()
    cache = cache_of(frontend, SPEC, make)
    assert isinstance(cache, JoinedCache)
    assert cache.prepare(windows, frontend) == 2 * 2
    dataset = FeatureDataset(windows, cache)
    for item in range(len(windows)):
        waveform, length, *_ = windows[item]
        with torch.no_grad():
            expected, frames = frontend(waveform[None], torch.tensor([length]))
        assert int(frames) == dataset[item].frames == 1
        torch.testing.assert_close(dataset[item].features, expected[0], rtol=0, atol=1e-5)


def test_a_part_that_is_cached_is_not_computed_again(make: Callable[[], Frontend], windows: WindowDataset) -> None:
    frontend = make().eval()
    alone = cache_of(frontend.parts[0], SPEC, lambda: make().parts[0])
    assert isinstance(alone, FeatureCache)
    assert alone.prepare(windows, frontend.parts[0]) == 2
    assert cache_of(frontend, SPEC, make).prepare(windows, frontend) == 2


def test_features_that_another_process_removed_are_made_again(
    make: Callable[[], Frontend], windows: WindowDataset
) -> None:
    frontend = make().eval()
    cache = cache_of(frontend, SPEC, make)
    assert isinstance(cache, JoinedCache)
    cache.prepare(windows, frontend)
    before = np.array(cache.load(windows, 1))
    for part in cache.caches:
        part.store.path(part.key(windows.facts[1].sha256)).unlink()
        part._places.clear()
    np.testing.assert_array_equal(cache.load(windows, 1), before)
