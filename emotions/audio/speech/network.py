"""Silero VAD (MIT, Silero Team): the probability of speech in each 32 ms of audio, by the network of a pinned package.

The package's files are read without importing it, which would import torch. One graph takes many frames of one stream,
the other one frame of each of many streams; both carry the same state, so a stream may change between them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from emotions.audio.windows import FloatArray
from emotions.errors import ConfigError
from emotions.files.content import sha256

FRAME = 512
"""Samples at 16 kHz that a probability is of."""
CONTEXT = 64
"""Samples before a frame that the network sees with it."""
PACKAGE = "silero-vad==6.2.3"
_UNITS = 128
_MOST_FRAMES = 512
"""Frames of one run, 16 s: the memory of a run does not depend on the recording."""
_LATER_FRAMES = ("silero_vad_16k_sequence.onnx", "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85")
_MANY_STREAMS = ("silero_vad_16k_op15.onnx", "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49")
"""File and its SHA-256."""


@dataclass(frozen=True)
class SpeechState:
    """What the network knows of a stream: the LSTM's state (2, 128), and the last ``CONTEXT`` samples."""

    lstm: FloatArray
    context: FloatArray


def initial_state() -> SpeechState:
    """The state of a stream that begins."""
    return SpeechState(np.zeros((2, _UNITS), np.float32), np.zeros(CONTEXT, np.float32))


class SpeechNetwork:
    """The network, for any number of streams; safe to use from several threads. Made by ``speech_network``."""

    def __init__(self, package: Path) -> None:
        self._frames = _session(package, *_LATER_FRAMES)
        self._streams = _session(package, *_MANY_STREAMS)

    def run(self, frames: FloatArray, state: SpeechState) -> tuple[FloatArray, SpeechState]:
        """The probabilities of speech in consecutive frames of one stream.

        Args:
            frames: (frames, 512) float32 at 16 kHz.
            state: of the stream before them.

        Returns:
            (frames,) float32, and the state behind them.
        """
        found = [np.zeros(0, np.float32)]
        for at in range(0, len(frames), _MOST_FRAMES):
            probabilities, state = self._run(frames[at : at + _MOST_FRAMES], state)
            found.append(probabilities)
        return np.concatenate(found), state

    def _run(self, frames: FloatArray, state: SpeechState) -> tuple[FloatArray, SpeechState]:
        contexts = np.concatenate([state.context[None], frames[:-1, -CONTEXT:]])
        hidden, cell = state.lstm.reshape(2, 1, 1, _UNITS)
        inputs = {"input": np.concatenate([contexts, frames], axis=1), "h": hidden, "c": cell}
        probabilities, hidden, cell = self._frames.run(["speech_probs", "hn", "cn"], inputs)
        lstm = np.concatenate([hidden, cell]).reshape(2, _UNITS)
        return probabilities.reshape(-1), SpeechState(lstm, frames[-1, -CONTEXT:].copy())

    def step(self, frames: FloatArray, states: Sequence[SpeechState]) -> tuple[FloatArray, list[SpeechState]]:
        """The probabilities of speech in the next frame of each of several streams, in one batch.

        Args:
            frames: (streams, 512) float32 at 16 kHz.
            states: of the streams, in the same order.

        Returns:
            (streams,) float32, and the states behind the frames.
        """
        samples = np.concatenate([np.stack([state.context for state in states]), frames], axis=1)
        lstm = np.stack([state.lstm for state in states], axis=1)
        inputs = {"input": samples, "state": lstm, "sr": np.array(16_000)}
        probabilities, lstm = self._streams.run(["output", "stateN"], inputs)
        after = [SpeechState(lstm[:, at], frames[at, -CONTEXT:].copy()) for at in range(len(states))]
        return probabilities.reshape(-1), after


@cache
def speech_network() -> SpeechNetwork:
    """The network of the installed package, loaded once a process.

    Raises:
        ConfigError: the package is not installed, is another version, or its file was altered.
    """
    return SpeechNetwork(_folder())


def network_file() -> Path:
    """The graph of the installed package that takes consecutive frames of one stream. Raises as ``speech_network``."""
    return _checked(_folder(), *_LATER_FRAMES)


def _folder() -> Path:
    found = importlib.util.find_spec("silero_vad")
    if found is None or not found.submodule_search_locations:
        raise ConfigError(f"speech segments need the network of a package; pip install --no-deps {PACKAGE}")
    return Path(found.submodule_search_locations[0]) / "data"


def _checked(folder: Path, name: str, digest: str) -> Path:
    path = folder / name
    if not path.is_file() or sha256(path) != digest:
        raise ConfigError(
            f"silero_vad: {name} is missing, or not that of the pinned version; pip install --no-deps {PACKAGE}"
        )
    return path


def _session(folder: Path, name: str, digest: str) -> Any:
    path = _checked(folder, name, digest)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns of parts of the graph that it does not need
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
