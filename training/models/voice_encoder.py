"""A speaker encoder: partial utterances of 1.6 s in, one embedding of the voice out.

Three LSTM layers on 40 mel bands, of which the last state is projected, rectified and made a unit vector (Wan et al.,
"Generalized End-to-End Loss for Speaker Verification", 2018). Front end and geometry are those of the package
Resemblyzer, without its removal of silence: on EmoDB-4 single clips have an equal error rate of 0.31 with and 0.30
without a voice activity detector, and mean voices agree as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers.audio_utils import mel_filter_bank

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray
from emotions.errors import ConfigError, first_line

DIMS = 256
"""Size of an embedding."""
WEIGHTS = "model.safetensors"
MAX_PARTIALS = 64
"""Partial utterances of a clip at most, evenly spaced: those of 49 s."""

_FFT, _HOP, _BANDS = 400, 160, 40  # 25 and 10 ms
_FRAMES = 160
_STEP = 77
"""Frames between two partial utterances: 1.3 a second."""
_PARTIAL = (_FRAMES - 1) * _HOP + _FFT
_MIN_COVERAGE = 0.75
_MIN_RMS = 10 ** (-30 / 20)
_BATCH = 64


class VoiceEncoder(nn.Module):
    """The network: (batch, 25,840) float32 samples of partial utterances to (batch, 256) unit embeddings."""

    window: Tensor
    bands: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_BANDS, DIMS, num_layers=3, batch_first=True)
        self.linear = nn.Linear(DIMS, DIMS)
        bands = mel_filter_bank(_FFT // 2 + 1, _BANDS, 0.0, 8000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("window", torch.hann_window(_FFT), persistent=False)
        self.register_buffer("bands", torch.from_numpy(np.ascontiguousarray(bands)).float(), persistent=False)

    def forward(self, partials: Tensor) -> Tensor:
        """Embed partial utterances, each by itself."""
        spectra = torch.stft(partials, _FFT, _HOP, window=self.window, center=False, return_complex=True)
        mel = spectra.abs().square().transpose(1, 2) @ self.bands
        _, (hidden, _) = self.lstm(mel)
        return functional.normalize(functional.relu(self.linear(hidden[-1])), dim=1)


def load_voice_encoder(folder: Path) -> VoiceEncoder:
    """Load a speaker encoder, in evaluation mode.

    Args:
        folder: has ``model.safetensors``.

    Raises:
        ConfigError: its weights are broken, or not those of this network.
    """
    encoder = VoiceEncoder().eval().requires_grad_(False)
    try:
        encoder.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ConfigError(f"{folder}: is not a speaker encoder ({first_line(error)})") from error
    return encoder


def partial_utterances(waveform: FloatArray) -> FloatArray:
    """Cut a clip into partial utterances, at -30 dB of full scale or louder.

    Args:
        waveform: (samples,) float32 at 16 kHz.

    Returns:
        (partials, 25,840) float32, at least one and at most 64; zeros stand before the first and after the last sample.
    """
    frames = -(-(len(waveform) + 1) // _HOP)
    starts = np.arange(0, max(1, frames - _FRAMES + _STEP + 1), _STEP)
    if len(starts) > 1 and len(waveform) - starts[-1] * _HOP < _MIN_COVERAGE * _FRAMES * _HOP:
        starts = starts[:-1]
    starts = starts[np.linspace(0, len(starts) - 1, min(len(starts), MAX_PARTIALS)).round().astype(int)]
    gain = _gain(waveform)
    return np.stack([gain * _samples(waveform, int(start) * _HOP - _FFT // 2) for start in starts])


def _gain(waveform: FloatArray) -> np.float32:
    rms = float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))) if len(waveform) else 0.0
    return np.float32(max(1.0, _MIN_RMS / rms) if rms > 0 else 1.0)


def _samples(waveform: FloatArray, start: int) -> FloatArray:
    """A partial utterance's samples from one on, zeros where the clip has none."""
    part = np.asarray(waveform[max(0, start) : start + _PARTIAL], np.float32)
    before = max(0, -start)
    return np.pad(part, (before, _PARTIAL - before - len(part)))


def embed(encoder: VoiceEncoder, waveforms: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """Embed clips: the mean over a clip's partial utterances, a unit vector again, whatever clips are beside it.

    Memory is that of a batch of partial utterances and of one clip's.

    Args:
        encoder: as ``load_voice_encoder`` gives it.
        waveforms: each (samples,) float32 at 16 kHz.

    Yields:
        (256,) float32 of each clip, in order; zeros where the network gives none.
    """
    waiting: list[FloatArray] = []
    for waveform in waveforms:
        waiting.append(partial_utterances(waveform))
        if sum(map(len, waiting)) >= _BATCH:
            yield from _embedded(encoder, waiting)
            waiting = []
    yield from _embedded(encoder, waiting)


@torch.inference_mode()
def _embedded(encoder: VoiceEncoder, clips: list[FloatArray]) -> list[FloatArray]:
    if not clips:
        return []
    partials: Any = encoder(torch.from_numpy(np.concatenate(clips)))
    parts = partials.split([len(clip) for clip in clips])
    return [functional.normalize(part.mean(dim=0), dim=0).numpy() for part in parts]
