"""Features of an encoder: cut batches, half precision, and what a GPU adds are the same features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from emotions.audio.windows import WindowSpec
from training.data.clips import Clip
from training.data.waveforms.dataset import WindowDataset
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.extract import compute, kept_features, precision_of, window_features, without_tf32
from training.features.feature_cache import FeatureCache
from training.models.frontends.encoders import blank_encoder
from training.models.frontends.functionals import Functionals
from training.models.frontends.spectrogram import Spectrogram
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend

SPEC = WindowSpec(16_000, 16_000)
TINY = {
    "model_type": "wav2vec2",
    "hidden_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [32, 96],
    "conv_kernel": [10, 8],
    "conv_stride": [5, 8],
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture
def encoder() -> Wav2Vec2Frontend:
    torch.manual_seed(0)
    return Wav2Vec2Frontend(blank_encoder({"normalize": True, "config": TINY}), SPEC.samples, 1)


@pytest.fixture
def windows(tmp_path: Path, write_wav: Callable[..., Path]) -> WindowDataset:
    """Clips of 0.2, 0.35, 0.3 and 2.5 s."""
    return make_windows(tmp_path, write_wav, 0.2, 0.35, 0.3, 2.5)


def make_windows(tmp_path: Path, write_wav: Callable[..., Path], *seconds: float) -> WindowDataset:
    random = np.random.default_rng(0)
    files = [write_wav(tmp_path / f"{sec}.wav", random.normal(0, 0.1, round(sec * 16_000))) for sec in seconds]
    clips = [Clip(file, file.name, None, None, {}, None, file.stem, None, {}) for file in files]
    cache = WaveformCache()
    return WindowDataset(clips, cache.prepare(clips), cache, SPEC, {"emotion": ["happy"]})


def test_batches_that_are_cut_to_their_longest_window_give_the_same_features(
    encoder: Wav2Vec2Frontend, windows: WindowDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [*kept_features(windows, [0, 1, 2, 3], encoder)]
    widths: list[int] = []
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda *batch: widths.append(batch[0].shape[1]) or forward(*batch))
    short = [*kept_features(windows, [0, 1, 2], encoder, cut=True)]
    assert widths == [3_200, 5_600, 4_800], "on a CPU each window by itself"
    for found, expected in zip(short, whole, strict=False):
        assert found.dtype == expected.dtype == np.float16
        np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=2e-3)


def test_what_is_computed_of_a_clip_on_a_cpu_depends_on_no_other(
    encoder: Wav2Vec2Frontend, windows: WindowDataset
) -> None:
    together = [*kept_features(windows, [0, 1, 2, 3], encoder, cut=True)]
    for clip in (3, 1, 0, 2):
        (alone,) = kept_features(windows, [clip], encoder, cut=True)
        np.testing.assert_array_equal(alone, together[clip])


def test_training_without_the_cache_has_its_features_to_the_last_digit(
    encoder: Wav2Vec2Frontend, windows: WindowDataset
) -> None:
    cached = [*kept_features(windows, [0, 1, 2, 3], encoder, cut=True)]
    items = [item for clip in range(4) for item in windows.windows_of(clip)]
    waveform = torch.stack([windows[item][0] for item in items])
    length = torch.tensor([windows[item][1] for item in items])
    features, frames = window_features(encoder, waveform, length)
    assert features.shape[1:] == encoder.shape
    rows = [row for kept in cached for row in kept]
    for found, count, kept in zip(features, frames.tolist(), rows, strict=True):
        np.testing.assert_array_equal(found[:, :count].numpy(), kept.astype(np.float32))
        assert not found[:, count:].any()


def test_a_clip_shorter_than_a_frame_of_the_encoder_has_none(encoder: Wav2Vec2Frontend, windows: WindowDataset) -> None:
    waveform = torch.stack([windows[0][0]] * 2)
    features, frames = window_features(encoder, waveform, torch.tensor([9, 16_000]))
    assert frames.tolist() == [0, 399]
    assert not features[0].any()


def test_statistics_of_a_short_clip_stay_in_fp32(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    """They are fewer than the samples of a window, though not than those of the clip."""
    windows, functionals = make_windows(tmp_path, write_wav, 0.08, 0.7), Functionals(SPEC.samples)
    whole = [*kept_features(windows, [0, 1], functionals)]
    short = [*kept_features(windows, [0, 1], functionals, cut=True)]
    assert functionals.dims > 0.08 * 16_000
    for found, expected in zip(short, whole, strict=True):
        assert found.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.1), ("fp16", 0.01)])
def test_half_precision_is_close_and_is_kept_apart(
    encoder: Wav2Vec2Frontend, windows: WindowDataset, precision: str, most: float, private_cache: Path
) -> None:
    full = FeatureCache(encoder, SPEC, lambda: encoder)
    half = FeatureCache(encoder, SPEC, lambda: encoder, precision=precision)  # type: ignore[arg-type]
    assert full.prepare(windows, encoder) == half.prepare(windows, encoder) == 4
    assert len([*private_cache.glob("features/??/*.npy")]) == 8
    for clip in range(4):
        one, other = full.load(windows, clip).astype(float), half.load(windows, clip).astype(float)
        assert 0 < np.abs(one - other).max() < most * np.abs(one).max()


def test_less_than_fp32_is_for_encoders_on_a_gpu_in_mixed_training(encoder: Wav2Vec2Frontend) -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert [precision_of(encoder, each, gpu) for each in ("32-true", "16-mixed", "bf16-mixed")] == [
        *("fp32", "fp16", "bf16")
    ]
    assert precision_of(encoder, "bf16-mixed", cpu) == "fp32"
    assert precision_of(Spectrogram(8_000, 32, "mel"), "bf16-mixed", gpu) == "fp32"


def test_a_trainings_own_autocast_does_not_reach_features_in_fp32(encoder: Wav2Vec2Frontend) -> None:
    waveform, length = torch.randn(2, SPEC.samples) / 10, torch.tensor([16_000, 9_000])
    expected = compute(encoder, waveform, length)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(compute(encoder, waveform, length)[0], expected)


def test_tf32_is_off_for_the_pass_and_as_it_was_afterwards() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with without_tf32(torch.device("cuda")):
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
    with without_tf32(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32 == before[0]
