"""Utterances of streams are compared with the bundle's reference, as recordings are."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.audio.decode import decode
from emotions.audio.signal_measure import measure_signal
from emotions.audio.windows import FloatArray
from emotions.bundle.reference.fit import reference_of
from emotions.bundle.reference.observation import Observation
from emotions.bundle.reference.reference import add_reference
from emotions.inputs.discovery import find_files
from emotions.predictor import Predictor
from tests.conftest import TINY_TARGETS
from tests.emotions.audio.speech.conftest import between_silences
from tests.serving.http.stream.conftest import CLOSE, Server, ServeStreams, Talk, converse, s16, update

CLIPS = 55
SECOND_BYTES = 32_000


@pytest.fixture(scope="module")
def clips(emodb4: Path) -> list[FloatArray]:
    """Recordings of all speakers: those of the reference, then those of the stream."""
    files = find_files([emodb4]).files
    return [decode(Path(str(file.path))) for file in files[:: len(files) // (3 * CLIPS)]][: 3 * CLIPS]


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path, clips: list[FloatArray], tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """A model whose reference is of two thirds of the recordings."""
    path = Path(shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("watched") / "bundle"))
    loaded, found = emotions.load(path, device="cpu", threads=1), []
    for clip in (each for at, each in enumerate(clips) if at % 3):
        said = loaded.predict(clip)
        found.append(Observation(said.probabilities, said.values, said.duration_sec, measure_signal(clip)))
    add_reference(path, reference_of(found, TINY_TARGETS, "two thirds"))
    return emotions.load(path, device="cpu", threads=1)


def streamed(server: Server, speech: FloatArray, **session: object) -> Talk:
    data = s16(speech)
    parts = [data[at : at + 10 * SECOND_BYTES] for at in range(0, len(data), 10 * SECOND_BYTES)]
    talk = converse(server, [update(**session), *parts, CLOSE])
    assert (talk.code, talk.errors) == (1000, [])
    return talk


def ratio(server: Server, statistic: str) -> float | None:
    service = server.service
    labels = {"bundle": service.engine.predictor.bundle.id, "statistic": statistic}
    return service.registry.get_sample_value("emotions_drift_ratio", labels)


def compared(server: Server) -> float:
    return server.service.metric("emotions_drift_clips", bundle=server.service.engine.predictor.bundle.id)


@pytest.mark.parametrize(("gain", "drifts"), [(1.0, False), (0.1, True)])
def test_utterances_are_counted_and_a_quieter_microphone_is_drift(
    serve: ServeStreams, clips: list[FloatArray], gain: float, drifts: bool
) -> None:
    server = serve(drift_window=50, timeout_sec=120)
    talk = streamed(server, gain * between_silences(clips[::3]))
    assert len(talk.closed["segments"]) >= 50
    assert compared(server) == 50
    level, bandwidth = ratio(server, "level"), ratio(server, "bandwidth")
    assert level is not None
    assert bandwidth is not None
    assert (level > 1) is drifts
    assert bandwidth < 1
    assert ratio(server, "labels.emotion") is not None
    assert ratio(server, "answers") is not None
    for not_known in ("duration", "signal_to_noise"):
        assert ratio(server, not_known) is None


def test_windows_of_a_stream_without_speech_detection_are_no_clips(
    serve: ServeStreams, clips: list[FloatArray]
) -> None:
    server = serve(drift_window=25, timeout_sec=120)
    talk = streamed(server, np.concatenate(clips[:15]), vad=False)
    assert len(talk.closed["segments"]) > 25
    assert compared(server) == 0
