"""The spectrogram: equal to a reference, blind to batch and padding, safe for silence, and exportable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor

from emotions.runtime.session import onnx_session
from tests.training.models.exporting import to_onnx, traced
from training.models.frontends.fourier import Scale, band_edges, filterbank
from training.models.frontends.spectrogram import Spectrogram, choose_n_fft

WINDOW, SIZE = 8_000, 32


@pytest.fixture(scope="module")
def frontend() -> Spectrogram:
    return Spectrogram(WINDOW, SIZE, "mel")


@pytest.fixture(scope="module")
def signals() -> tuple[Tensor, Tensor]:
    """Five windows: loud, quiet, short, silent, shorter than a frame."""
    gain = torch.tensor([0.5, 1e-3, 0.2, 0.0, 0.3])[:, None]
    length = torch.tensor([WINDOW, WINDOW, 4_321, WINDOW, 100])
    waveform = torch.randn(5, WINDOW, generator=torch.Generator().manual_seed(0)) * gain
    return torch.where(torch.arange(WINDOW) < length[:, None], waveform, 0.0), length


def reference(frontend: Spectrogram, waveform: Tensor) -> Tensor:
    """Mel power by torchaudio, in this frontend's scale."""
    transform = torchaudio.transforms.MelSpectrogram(
        16_000,
        n_fft=frontend.n_fft,
        hop_length=frontend.step,
        n_mels=frontend.size,
        center=True,
        pad_mode="constant",
        power=2,
        mel_scale="htk",
    )
    power: Tensor = transform(waveform)[..., : frontend.size * frontend.steps]
    missing = frontend.size * frontend.steps - power.shape[-1]
    power = torch.nn.functional.pad(power, (0, missing))
    return power / (torch.hann_window(frontend.n_fft).sum() / 2) ** 2


@pytest.mark.parametrize(
    ("window", "size", "version"), [(8_000, 32, 2), (80_000, 128, 2), (8_001, 33, 2), (1_000, 64, 1)]
)
def test_power_equals_torchaudio(window: int, size: int, version: int) -> None:
    frontend = Spectrogram(window, size, "mel", version)
    assert frontend.steps == 1
    waveform = torch.randn(2, window, generator=torch.Generator().manual_seed(1)) * 0.1
    ours, theirs = frontend.power(waveform), reference(frontend, waveform)
    valid = -(-window // frontend.hop)
    torch.testing.assert_close(ours[..., :valid], theirs[..., :valid], rtol=1e-4, atol=1e-9)


def test_a_wide_hop_is_the_mean_of_its_steps() -> None:
    frontend = Spectrogram(80_000, 32, "mel")
    assert frontend.steps == 4
    waveform = torch.randn(2, 80_000, generator=torch.Generator().manual_seed(1)) * 0.1
    theirs = reference(frontend, waveform).unflatten(2, (32, 4)).mean(dim=3)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(frontend.power(waveform)[..., :31], theirs[..., :31], rtol=1e-4, atol=1e-9)


def test_a_tone_lights_the_bin_it_lies_in() -> None:
    frontend = Spectrogram(WINDOW, SIZE, "linear")
    hz = 16_000 * 40 / frontend.n_fft
    waveform = torch.sin(2 * torch.pi * hz * torch.arange(WINDOW) / 16_000)[None]
    power = frontend.power(waveform)[0, :, SIZE // 2]
    centres = band_edges(SIZE, "linear")[1:-1]
    assert abs(float(centres[power.argmax()]) - hz) < 8_000 / SIZE
    assert 0.3 < float(power.max()) < 1.3


def test_features_are_normalised_over_the_valid_frames(frontend: Spectrogram, signals: tuple[Tensor, Tensor]) -> None:
    features, frames = frontend(*signals)
    assert features.shape == (5, SIZE, SIZE)
    assert frames.tolist() == [32, 32, 18, 32, 1]
    for row in (0, 1, 2, 4):
        valid = features[row, :, : frames[row]]
        assert abs(float(valid.mean())) < 1e-4
        assert float(valid.std(correction=0)) == pytest.approx(1, abs=1e-3)
        assert not features[row, :, frames[row] :].any()


def test_silence_is_all_zero(frontend: Spectrogram) -> None:
    features, _ = frontend(torch.zeros(1, WINDOW), torch.tensor([WINDOW]))
    assert not features.any()


@pytest.mark.parametrize("gain", [10.0, 0.1, 0.003])
def test_gain_changes_nothing(frontend: Spectrogram, gain: float) -> None:
    waveform, length = fading_noise(), torch.tensor([WINDOW])
    torch.testing.assert_close(frontend(waveform * gain, length)[0], frontend(waveform, length)[0], rtol=0, atol=1e-4)


def test_a_quiet_recording_of_16_bits_looks_like_a_loud_one(frontend: Spectrogram) -> None:
    waveform, length = fading_noise(), torch.tensor([WINDOW])
    quiet = torch.round(waveform * 0.01 * 32_768) / 32_768
    moved = [
        float((each(quiet, length)[0] - each(waveform, length)[0]).abs().mean())
        for each in (frontend, Spectrogram(WINDOW, SIZE, "mel", version=1))
    ]
    assert moved[0] < 0.05
    assert moved[1] > 0.2


def test_models_of_the_first_release_keep_their_floor() -> None:
    waveform, length = fading_noise(), torch.tensor([WINDOW])
    first = Spectrogram(WINDOW, SIZE, "mel", version=1)
    moved = first(waveform * 0.003, length)[0] - first(waveform, length)[0]
    assert float(moved.abs().max()) > 0.5
    power = first.power(waveform)
    floored = power.clamp_min(float(power.max()) * 1e-8).clamp_min(1e-10).log()
    expected = (floored - floored.mean()) / floored.std(correction=0)
    torch.testing.assert_close(first(waveform, length)[0], expected, rtol=0, atol=1e-4)


def fading_noise() -> Tensor:
    """(1, WINDOW) noise that fades from -14 to -94 dB."""
    noise = torch.randn(1, WINDOW, generator=torch.Generator().manual_seed(3))
    return noise * 0.2 * 10 ** torch.linspace(0, -4, WINDOW)


def test_garbage_past_the_length_changes_nothing(frontend: Spectrogram, signals: tuple[Tensor, Tensor]) -> None:
    waveform, length = signals
    past = torch.arange(WINDOW) >= length[:, None]
    for garbage in (torch.randn(5, WINDOW), torch.full((5, WINDOW), torch.nan)):
        assert torch.equal(frontend(torch.where(past, garbage, waveform), length)[0], frontend(waveform, length)[0])


def test_a_window_alone_equals_the_window_in_a_batch(frontend: Spectrogram, signals: tuple[Tensor, Tensor]) -> None:
    waveform, length = signals
    together, _ = frontend(waveform, length)
    for row in range(5):
        alone, _ = frontend(waveform[row : row + 1], length[row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", ["mel", "linear"])
@pytest.mark.parametrize(("window", "size"), [(80_000, 128), (80_000, 512), (480_000, 32), (1_600, 1_024)])
def test_no_band_is_empty_at_any_geometry(window: int, size: int, scale: Scale) -> None:
    edges = band_edges(size, scale)
    bands = filterbank(edges, choose_n_fft(edges, min(640, window // size)))
    assert bands.shape[1] == size
    assert bool((bands.sum(dim=0) > 0).all())
    assert float(bands.max()) <= 1


@pytest.mark.parametrize("scale", ["mel", "linear"])
@pytest.mark.parametrize(("window", "size"), [(80_000, 128), (80_000, 256), (80_000, 1_024), (1_600, 1_024)])
def test_bands_narrower_than_bins_are_neither_empty_nor_waited_for(window: int, size: int, scale: Scale) -> None:
    frontend = Spectrogram(window, size, scale)
    assert frontend.n_fft == max(2 * frontend.step, 512)
    assert float(frontend.bands.sum(dim=0).min()) > 0.49
    power = frontend.power(torch.randn(1, window, generator=torch.Generator().manual_seed(0)))[0, :, : size // 2]
    mean = power.mean(dim=1)
    assert float(mean.min() / mean.median()) > 0.05


def test_a_filterbank_with_an_empty_band_is_refused() -> None:
    with pytest.raises(ValueError, match="bands are empty with n_fft = 256"):
        filterbank(band_edges(128, "mel"), 256)


def test_settings_tell_geometries_apart(frontend: Spectrogram) -> None:
    others = [
        Spectrogram(WINDOW, SIZE, "mel", version=1),
        Spectrogram(WINDOW, 64, "mel"),
        Spectrogram(WINDOW, SIZE, "linear"),
        Spectrogram(9_000, SIZE, "mel"),
    ]
    assert all(other.settings() != frontend.settings() for other in others)


def test_nothing_of_it_is_saved(frontend: Spectrogram) -> None:
    assert not frontend.state_dict()
    assert not [*frontend.parameters()]


def test_onnx_and_torchscript_equal_torch(
    frontend: Spectrogram, signals: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    waveform, length = signals
    expected = frontend(waveform, length)[0]
    example = (waveform[:2], length[:2])
    script = traced(frontend, example)
    proto = to_onnx(frontend, example, tmp_path / "frontend.onnx")
    session = onnx_session(tmp_path / "frontend.onnx", threads=1)
    for count in (1, 5):
        rows = {"waveform": waveform[:count].numpy(), "length": length[:count].numpy()}
        np.testing.assert_allclose(session.run(None, rows)[0], expected[:count], rtol=0, atol=2e-5)
        torch.testing.assert_close(script(waveform[:count], length[:count])[0], expected[:count], rtol=0, atol=1e-5)
    operators = {node.op_type for node in proto.graph.node}
    assert not operators & {"STFT", "DFT", "HannWindow", "GroupNormalization", "Mean"}
