"""Augmentation of samples and features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emotions.errors import ConfigError
from tests import hostile_audio
from training.config.learning import FeatureAugmentation, WaveformAugmentation
from training.loop.feature_augmentation import augment, mixed
from training.loop.waveform_augmentation import WaveformAugmenter, read_responses

WINDOW = 16_000
LENGTH = torch.tensor([WINDOW, 9_000, 400, 1])


def tones() -> torch.Tensor:
    time = torch.arange(WINDOW) / 16_000
    waves = torch.stack([0.3 * torch.sin(2 * torch.pi * hz * time) for hz in (200, 400, 800, 1_000)])
    return waves * (torch.arange(WINDOW) < LENGTH[:, None])


def changed(root: Path, seed: int = 0, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    always = {name: 1.0 for name in WaveformAugmentation.model_fields if name.endswith("_probability")}
    augmenter = WaveformAugmenter(WaveformAugmentation.model_validate({**always, **settings}), root)
    return augmenter(tones(), LENGTH, torch.Generator().manual_seed(seed))


ALL: dict[str, Any] = {"speed": [0.8, 1.25], "gain_db": [-6.0, 6.0], "noise_snr_db": [5.0, 20.0]}


def test_samples_stay_finite_and_zero_past_their_length(tmp_path: Path) -> None:
    for seed in range(10):
        waveform, length = changed(tmp_path, seed, **ALL)
        assert waveform.shape == (4, WINDOW)
        assert waveform.isfinite().all()
        assert ((length >= 1) & (length <= WINDOW)).all()
        assert not waveform[torch.arange(WINDOW) >= length[:, None]].any()


def test_augmentation_is_seeded(tmp_path: Path) -> None:
    (first, _), (same, _), (other, _) = (changed(tmp_path, seed, **ALL) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_speed_moves_the_pitch_and_the_length(tmp_path: Path) -> None:
    waveform, length = changed(tmp_path, speed=[1.25, 1.25])
    assert length.tolist() == [12_800, 7_200, 400, 1]
    spectrum = torch.fft.rfft(waveform[0, :12_800]).abs()
    assert int(spectrum.argmax()) * 16_000 / 12_800 == pytest.approx(250, abs=2)
    slow, length = changed(tmp_path, speed=[0.8, 0.8])
    assert length.tolist() == [WINDOW, 11_250, 500, 2]
    assert slow.shape == (4, WINDOW)


def test_gain_and_noise_are_as_loud_as_asked(tmp_path: Path) -> None:
    before = tones()
    louder, _ = changed(tmp_path, gain_db=[6.0, 6.0])
    torch.testing.assert_close(louder, before * 10 ** (6 / 20))
    noisy, _ = changed(tmp_path, noise_snr_db=[10.0, 10.0])
    energy = [float(each[0].square().sum()) for each in (before, noisy - before)]
    assert 10 * np.log10(energy[0] / energy[1]) == pytest.approx(10, abs=0.1)


def test_probability_says_how_many_windows_change(tmp_path: Path) -> None:
    augmenter = WaveformAugmenter(WaveformAugmentation(gain_db=[6.0, 6.0], gain_probability=0.3), tmp_path)
    waveform = torch.ones(2_000, 4)
    after, _ = augmenter(waveform, torch.full((2_000,), 4), torch.Generator().manual_seed(0))
    assert float((after[:, 0] > 1).float().mean()) == pytest.approx(0.3, abs=0.04)


def test_reverberation_has_an_echo_and_the_same_energy(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    response = np.zeros(3_000, np.float32)
    response[[500, 1_300]] = 0.9, 0.45  # the direct sound, and an echo 800 samples later
    write_wav(tmp_path / "rooms" / "hall.wav", response, subtype="FLOAT")
    assert read_responses(tmp_path / "rooms").shape == (1, 2_500)
    augmenter = WaveformAugmenter(WaveformAugmentation(impulse_responses=["rooms"], reverb_probability=1.0), tmp_path)
    click = torch.zeros(1, 4_000)
    click[0, 1_000] = 1
    echoed, _ = augmenter(click, torch.tensor([4_000]), torch.Generator().manual_seed(0))
    assert float(echoed[0, 1_800] / echoed[0, 1_000]) == pytest.approx(0.5, abs=1e-4)
    assert float(echoed.square().sum()) == pytest.approx(1, abs=1e-4)


def test_impulse_responses_that_cannot_be_used_are_refused(tmp_path: Path, write_wav: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"impulse_responses: .* is not a folder"):
        read_responses(tmp_path / "none")
    (tmp_path / "rooms").mkdir()
    with pytest.raises(ConfigError, match="holds no recording"):
        read_responses(tmp_path / "rooms")
    (tmp_path / "rooms" / "bad.wav").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="cannot be used"):
        read_responses(tmp_path / "rooms")
    write_wav(tmp_path / "rooms" / "bad.wav", np.zeros(1_000, np.float32))
    with pytest.raises(ConfigError, match="without a sample that is not zero"):
        read_responses(tmp_path / "rooms")


def test_a_hostile_impulse_response_is_read_within_the_limits_of_a_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hall.ogg").write_bytes(hostile_audio.vorbis_silence(64, 192_000, 2.0))
    monkeypatch.setenv("EMOTIONS_DECODER_MEMORY", str(8 << 20))
    with pytest.raises(ConfigError, match=r"cannot be used \((its decoder crashed|decoding it takes more)"):
        read_responses(tmp_path)


def test_layers_of_an_encoder_share_their_masks() -> None:
    features = torch.ones(2, 3, 8, 20)
    hidden = augment(features, torch.tensor([20, 20]), torch.Generator().manual_seed(0), FeatureAugmentation())
    assert not hidden.all()
    assert torch.equal(hidden[:, 0], hidden[:, 2])


def test_features_are_left_alone_where_it_is_off() -> None:
    features = torch.randn(40, 8, 20)
    frames, random = torch.full((40,), 20), torch.Generator().manual_seed(0)
    assert augment(features, frames, random, FeatureAugmentation(probability=0.0)) is features
    some = augment(features, frames, random, FeatureAugmentation(probability=0.5))
    assert 5 < sum(torch.equal(*pair) for pair in zip(some, features, strict=True)) < 35


def test_mixup_mixes_pairs() -> None:
    features, frames = torch.randn(6, 4, 5), torch.arange(6)
    both, longest, other, share = mixed(features, frames, 0.4, torch.Generator().manual_seed(1))
    assert 0 <= share <= 1
    assert sorted(other.tolist()) == [*range(6)]
    torch.testing.assert_close(both, share * features + (1 - share) * features[other])
    assert torch.equal(longest, torch.maximum(frames, frames[other]))
