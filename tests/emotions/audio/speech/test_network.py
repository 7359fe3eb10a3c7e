"""Silero's network: the original's probabilities, in whatever parts and batches its frames come."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from emotions.audio.speech.network import FRAME, SpeechNetwork, initial_state, speech_network
from emotions.audio.windows import FloatArray
from emotions.errors import ConfigError


def _frames(waveform: FloatArray) -> FloatArray:
    return np.pad(waveform, (0, -len(waveform) % FRAME)).reshape(-1, FRAME)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    speech_network.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    yield
    speech_network.cache_clear()


def test_the_probabilities_are_those_of_the_original(talk: FloatArray) -> None:
    torch, silero = import_module("torch"), import_module("silero_vad.model")
    threads = torch.get_num_threads()
    wanted = silero.load_silero_vad(onnx=True).audio_forward(torch.from_numpy(talk), 16_000)[0].numpy()
    torch.set_num_threads(threads)
    found, _ = speech_network().run(_frames(talk), initial_state())
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_parts_and_batches_give_the_same(clips: list[FloatArray]) -> None:
    network, every = speech_network(), [_frames(clip)[:40] for clip in clips]
    whole = [network.run(frames, initial_state())[0] for frames in every]
    states, stepped = [initial_state() for _ in every], []
    for at in range(20):
        probabilities, states = network.step(np.stack([frames[at] for frames in every]), states)
        stepped.append(probabilities)
    # From steps of many streams to many frames of one, with the same state.
    rest = [network.run(frames[20:], state)[0] for frames, state in zip(every, states, strict=True)]
    for number, wanted in enumerate(whole):
        found = np.concatenate([[step[number] for step in stepped], rest[number]])
        np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_no_frames_give_no_probabilities() -> None:
    state = initial_state()
    probabilities, after = speech_network().run(np.zeros((0, FRAME), np.float32), state)
    assert len(probabilities) == 0
    assert after is state


def test_torch_is_not_imported() -> None:
    code = (
        "import sys; from emotions.audio.speech import network; network.speech_network(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert not done.stderr


@pytest.mark.usefixtures("missing")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(ConfigError, match=r"pip install --no-deps silero-vad==6\.2\.3"):
        speech_network()


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "silero_vad_16k_sequence.onnx").write_bytes(b"altered")
    with pytest.raises(ConfigError, match=r"silero_vad_16k_sequence\.onnx is missing, or not that of the pinned"):
        SpeechNetwork(tmp_path)
