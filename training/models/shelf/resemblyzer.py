"""Resemblyzer's speaker encoder out of its checkpoint: its weights alone, proven against the package's code."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray
from emotions.errors import ConfigError, first_line
from emotions.files.json_text import write_json
from training.models.voice_encoder import DIMS, WEIGHTS, VoiceEncoder, embed

_LEFT_OUT = ("similarity_weight", "similarity_bias")
"""Of the loss that the network was trained with."""
_UNREADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError)
_TOLERANCE = 1e-4
_EXPECTED = (
    (7.932408, -0.196262, 0.659495, 0.919751, 0.840625, -0.391306, 1.111796, 0.122402),
    (9.024081, -0.810636, -0.346140, 1.054377, 0.662076, -0.344668, 0.254943, -0.755744),
    (9.802078, -1.342235, -0.591203, 0.058415, 0.982809, -0.488594, 0.014208, 0.184742),
)
"""What ``told_by`` gives of each signal for embeddings by resemblyzer 0.1.4 itself, with librosa 0.11.0."""


def convert_resemblyzer(artefact: bytes, folder: Path) -> str:
    """Write the network's weights as ``model.safetensors``, and what it is as ``config.json``.

    Args:
        artefact: the checkpoint; of its pickle only tensors and plain containers are read.
        folder: an empty folder.

    Returns:
        What was proven, in words.

    Raises:
        ConfigError: the checkpoint is not that network, or its embeddings are not those of the package's own code.
    """
    encoder, state = VoiceEncoder().eval(), _weights(artefact)
    try:
        encoder.load_state_dict(state)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"the artefact's weights are not those of its encoder ({first_line(error)})") from error
    found = np.array([told_by(each) for each in embed(encoder, proof_signals())])
    furthest = float(np.abs(found - np.array(_EXPECTED)).max())
    if not furthest <= _TOLERANCE:
        raise ConfigError(f"the encoder differs from the package's code by {furthest:.1e}, at most {_TOLERANCE:.0e}")
    save_file({name: value.contiguous() for name, value in state.items()}, folder / WEIGHTS)
    write_json(folder / "config.json", {"model_type": "voice_encoder", "embedding": DIMS, "sampling_rate": SAMPLE_RATE})
    return f"embeddings equal to those of the package's own code to {furthest:.0e} (at most {_TOLERANCE:.0e})"


def _weights(artefact: bytes) -> dict[str, torch.Tensor]:
    try:
        checkpoint: Any = torch.load(io.BytesIO(artefact), map_location="cpu", weights_only=True)
        return {name: value.float() for name, value in checkpoint["model_state"].items() if name not in _LEFT_OUT}
    except _UNREADABLE as error:
        raise ConfigError(f"the artefact is no checkpoint of weights ({first_line(error)})") from error


def proof_signals() -> list[FloatArray]:
    """Signals that a conversion is proven with: a chirping harmonic sound, shorter than a partial utterance, of two
    with an end that counts and with one that does not; one of them so quiet that it is made louder.
    """
    signals = []
    for seconds, hz, gain in ((0.7, 110.0, 0.3), (2.9, 210.0, 0.01), (2.5, 150.0, 0.1)):
        time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        phase = 2 * np.pi * (hz * time + 4.0 * np.sin(3.0 * time))
        sound = sum(np.sin(order * phase) / order for order in range(1, 30)) * np.sin(2 * np.pi * 1.7 * time)
        signals.append((gain * sound).astype(np.float32))
    return signals


def told_by(embedding: FloatArray) -> FloatArray:
    """Eight numbers that all of an embedding has a part in: its first cosine transforms, (8,)."""
    place = (np.arange(DIMS) + 0.5) * np.pi / DIMS
    return np.array([embedding @ np.cos(order * place) for order in range(8)])
