"""The speaker encoder: the same embedding alone and in any batch, of clips of any length; nothing else is loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from emotions.audio.windows import FloatArray
from emotions.errors import ConfigError
from training.models.voice_encoder import (
    MAX_PARTIALS,
    VoiceEncoder,
    embed,
    load_voice_encoder,
    partial_utterances,
)


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    torch.manual_seed(0)
    return VoiceEncoder().eval()


def noise(samples: int, seed: int = 0) -> FloatArray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=6))
def test_an_embedding_does_not_depend_on_the_clips_beside_it(encoder: VoiceEncoder, lengths: list[int]) -> None:
    clips = [noise(samples, seed) for seed, samples in enumerate(lengths)]
    together = list(embed(encoder, clips))
    assert len(together) == len(clips)
    for clip, found in zip(clips, together, strict=True):
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(found, next(iter(embed(encoder, [clip]))), atol=1e-5)


@pytest.mark.parametrize(
    ("seconds", "partials"),
    [(0.01, 1), (1.6, 1), (2.5, 2), (2.9, 3), (3600, MAX_PARTIALS)],
)
def test_a_clip_is_heard_in_parts_whose_number_is_bounded(seconds: float, partials: int) -> None:
    assert partial_utterances(np.zeros(round(seconds * 16_000), np.float32)).shape == (partials, 25_840)


def test_all_of_a_long_clip_is_heard() -> None:
    clip = np.zeros(120 * 16_000, np.float32)
    clip[-32_000:] = noise(32_000)
    assert np.abs(partial_utterances(clip)[-1]).max() > 0


def test_a_quiet_clip_is_made_louder_and_a_loud_one_is_left(encoder: VoiceEncoder) -> None:
    quiet, loud = (partial_utterances(gain * noise(25_000)) for gain in (0.01, 3.0))
    np.testing.assert_allclose(quiet, partial_utterances(0.1 * noise(25_000)), rtol=1e-4, atol=1e-6)
    assert np.abs(loud).max() == pytest.approx(3 * np.abs(noise(25_000)).max())


def test_silence_and_nothing_have_an_embedding_without_a_fault(encoder: VoiceEncoder) -> None:
    for found in embed(encoder, [np.zeros(20_000, np.float32), np.zeros(0, np.float32)]):
        assert np.isfinite(found).all()
    assert list(embed(encoder, [])) == []


def test_it_is_loaded_from_its_weights(encoder: VoiceEncoder, tmp_path: Path) -> None:
    save_file(encoder.state_dict(), tmp_path / "model.safetensors")
    loaded = load_voice_encoder(tmp_path)
    np.testing.assert_array_equal(*(next(iter(embed(each, [noise(30_000)]))) for each in (encoder, loaded)))


def test_weights_that_are_broken_or_another_network_s_are_refused(encoder: VoiceEncoder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a speaker encoder"):
        load_voice_encoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ConfigError, match="is not a speaker encoder"):
        load_voice_encoder(tmp_path)
    save_file({"linear.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match="is not a speaker encoder"):
        load_voice_encoder(tmp_path)
