"""Functionals: finite for any sound, blind to batch, padding and gain, the same in every runtime, and meaningful."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emotions.audio.decode import decode
from emotions.runtime.session import onnx_session
from export.graph.operators import check_operators
from tests.training.models.exporting import to_onnx
from training.models.frontends.descriptors import DESCRIPTORS, LEVEL, LINKED, Descriptors
from training.models.frontends.functionals import Functionals

WINDOW = 16_000
RATE = 16_000
TIME = torch.arange(WINDOW) / RATE


def noise(seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(WINDOW, generator=torch.Generator().manual_seed(seed))


def voice(hz: float = 150.0) -> Tensor:
    """A buzz with a wandering pitch, on and off three times a second."""
    phase = torch.cumsum(hz + 20 * torch.sin(4 * torch.pi * TIME), 0) / RATE
    return 0.3 * ((phase % 1) - 0.5) * torch.sigmoid(20 * torch.sin(6 * torch.pi * TIME))


SOUNDS: dict[str, Callable[[], Tensor]] = {
    "silence": lambda: torch.zeros(WINDOW),
    "constant": lambda: torch.full((WINDOW,), 0.3),
    "noise": noise,
    "faint noise": lambda: 1e-4 * noise(),
    "clipped noise": lambda: (40 * noise()).clamp(-1, 1),
    "tone": lambda: 0.3 * torch.sin(2 * torch.pi * 440 * TIME),
    "loud tone": lambda: torch.sin(2 * torch.pi * 1000 * TIME),
    "square": lambda: torch.sign(torch.sin(2 * torch.pi * 200 * TIME)),
    "clicks": lambda: 0.9 * (torch.arange(WINDOW) % 1600 == 0).float(),
    "voice": voice,
    "voice, then nothing": lambda: voice() * (TIME < 0.5),
}


@pytest.fixture(scope="module")
def frontend() -> Functionals:
    torch.set_num_threads(1)
    return Functionals(WINDOW)


@pytest.fixture(scope="module")
def signals() -> tuple[Tensor, Tensor]:
    """Every sound, and noise as short as a clip may be, and of a single sample."""
    sounds = [*(make() for make in SOUNDS.values()), noise(1), noise(2)]
    length = torch.tensor([*[WINDOW] * len(SOUNDS), 400, 1])
    return torch.where(torch.arange(WINDOW) < length[:, None], torch.stack(sounds), 0.0), length


def test_one_vector_a_window(frontend: Functionals, signals: tuple[Tensor, Tensor]) -> None:
    features, frames = frontend(*signals)
    assert features.shape == (len(signals[0]), frontend.dims, 1)
    assert frames.tolist() == [1] * len(signals[0])


@pytest.mark.parametrize("sound", list(SOUNDS))
@pytest.mark.parametrize("length", [WINDOW, 4_321, 400, 1])
def test_any_sound_is_finite(frontend: Functionals, sound: str, length: int) -> None:
    features, _ = frontend(SOUNDS[sound]()[None], torch.tensor([length]))
    assert bool(features.isfinite().all())
    assert float(features.abs().max()) < 1e4


def test_a_window_without_a_sample_is_finite(frontend: Functionals) -> None:
    features, _ = frontend(noise()[None], torch.tensor([0]))
    assert bool(features.isfinite().all())


def test_silence_says_nothing_but_how_long_it_is(frontend: Functionals) -> None:
    features, _ = frontend(torch.zeros(1, WINDOW), torch.tensor([WINDOW // 2]))
    assert [float(each) for each in features.flatten() if each] == [pytest.approx(np.log(0.5))]


@pytest.mark.parametrize("sound", ["noise", "voice", "tone"])
@pytest.mark.parametrize("gain", [0.03, 3.0])
def test_gain_changes_nothing(frontend: Functionals, sound: str, gain: float) -> None:
    wave, length = SOUNDS[sound]()[None], torch.tensor([WINDOW])
    torch.testing.assert_close(frontend(wave * gain, length)[0], frontend(wave, length)[0], rtol=1e-3, atol=2e-3)


def test_garbage_past_the_length_changes_nothing(frontend: Functionals) -> None:
    length = torch.tensor([6_000, 400])
    wave = torch.stack([voice(), noise()])
    past = torch.arange(WINDOW) >= length[:, None]
    expected = frontend(torch.where(past, 0.0, wave), length)[0]
    for garbage in (torch.randn(2, WINDOW), torch.full((2, WINDOW), torch.nan)):
        assert torch.equal(frontend(torch.where(past, garbage, wave), length)[0], expected)


def test_a_window_alone_equals_the_window_in_a_batch(frontend: Functionals, signals: tuple[Tensor, Tensor]) -> None:
    together, _ = frontend(*signals)
    for row in range(len(signals[0])):
        alone, _ = frontend(signals[0][row : row + 1], signals[1][row : row + 1])
        torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("window", [WINDOW, 23_457])
@pytest.mark.parametrize("samples", [400, 1_601, 5_000, 12_640, 12_641, 15_999, 16_000])
def test_a_window_without_its_padding_has_the_same_features(window: int, samples: int) -> None:
    frontend, random = Functionals(window), torch.Generator().manual_seed(samples)
    length = torch.tensor([samples, max(1, samples // 3), samples - 1])
    given = torch.stack([noise()[:samples], voice()[:samples], voice(300)[:samples]])
    padded = 0.1 * torch.randn(3, window, generator=random)
    padded[:, :samples] = given
    torch.testing.assert_close(frontend(given, length)[0], frontend(padded, length)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hz", [80, 120, 220, 400])
def test_pitch_and_voicing_of_a_buzz(hz: int) -> None:
    wave = 0.3 * ((hz * TIME) % 1 - 0.5)
    frames = Descriptors(WINDOW)(wave[None], torch.tensor([WINDOW]))
    middle = slice(10, 90)
    semitones = 6 * frames.values[0, middle, -1]
    assert abs(float(semitones.mean()) - 12 * np.log2(hz / 60)) < 0.5
    assert float(frames.voiced[0, middle].min()) > 0.9


def test_noise_is_not_voiced_and_silence_not_speech() -> None:
    wave = torch.stack([noise(), torch.zeros(WINDOW), voice() * (TIME < 0.5)])
    frames = Descriptors(WINDOW)(wave, torch.full((3,), WINDOW))
    assert frames.values.shape == (3, 100, DESCRIPTORS)
    assert float(frames.voiced[0, 5:95].mean()) < 0.2
    assert float(frames.active[0, 5:95].min()) > 0.9
    assert not frames.active[1].any()
    assert not frames.active[2, 55:].any()
    assert max(LINKED) < DESCRIPTORS
    assert float(frames.values[2, 55:, LEVEL].max()) == pytest.approx(-70 / 8)


def test_settings_tell_windows_apart(frontend: Functionals) -> None:
    assert Functionals(8_000).settings() != frontend.settings()


def test_nothing_of_it_is_saved(frontend: Functionals) -> None:
    assert not frontend.state_dict()
    assert not [*frontend.parameters()]


@pytest.fixture(scope="module")
def exported(frontend: Functionals, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "frontend.onnx"
    check_operators(to_onnx(frontend, (torch.zeros(2, WINDOW), torch.full((2,), WINDOW)), path))
    return path


def onnx_features(path: Path, waveform: Tensor, length: Tensor) -> Tensor:
    session = onnx_session(path, threads=1)
    found = session.run(None, {"waveform": waveform.numpy(), "length": length.numpy()})[0]
    return torch.from_numpy(np.asarray(found))


def test_onnx_equals_torch_for_any_sound(frontend: Functionals, exported: Path, signals: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(onnx_features(exported, *signals), frontend(*signals)[0], rtol=1e-4, atol=3e-4)


def test_onnx_equals_torch_for_recordings(frontend: Functionals, exported: Path, emodb4: Path) -> None:
    files = sorted(emodb4.rglob("*.wav"))[::34]
    waveform, length = torch.zeros(len(files), WINDOW), torch.full((len(files),), WINDOW)
    for row, path in enumerate(files):
        samples = torch.from_numpy(np.array(decode(path)))[:WINDOW]
        waveform[row, : len(samples)], length[row] = samples, len(samples)
    expected = frontend(waveform, length)[0]
    assert float(expected.std(dim=0).mean()) > 0.05
    torch.testing.assert_close(onnx_features(exported, waveform, length), expected, rtol=1e-4, atol=1e-4)
