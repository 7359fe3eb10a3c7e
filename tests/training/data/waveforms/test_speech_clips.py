"""``dataset.segments``: recordings cut to their speech, from the config to the check and the run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.speech.windows import split_speech
from emotions.audio.windows import FloatArray, WindowSpec
from emotions.errors import DataError
from emotions.pipeline.runner import Context
from tests.emotions.audio.speech.conftest import between_silences, real_clips, sounds_without_speech
from training.config.dataset import DatasetConfig, as_dataset
from training.corpus import read_usable
from training.data.checks.check import check_dataset
from training.data.clips import read_clips


@pytest.fixture(scope="module")
def talks() -> list[FloatArray]:
    """Three recordings of several segments each."""
    clips = real_clips()
    return [between_silences(clips[at : at + 2]) for at in (0, 2, 4)]


@pytest.fixture
def corpus(talks: list[FloatArray], tmp_path: Path) -> Path:
    """Two classes, three recordings with speech and one of a tone."""
    folder = tmp_path / "corpus"
    sounds = {"angry/s1_a": talks[0], "sad/s1_b": talks[1], "angry/s2_c": talks[2]}
    for name, samples in {**sounds, "sad/s2_d": sounds_without_speech()["tone"]}.items():
        path = folder / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")
    return folder


def _dataset(folder: Path) -> DatasetConfig:
    return as_dataset({"path": str(folder), "speaker": {"pattern": r"(s\d)_"}, "segments": "speech"})


def _context(folder: Path) -> Context:
    return Context(folder, seed=0, workers=2, config={}, quiet=True)


def test_each_segment_is_a_clip_with_the_labels_of_its_recording(
    corpus: Path, talks: list[FloatArray], caplog: pytest.LogCaptureFixture
) -> None:
    dataset = _dataset(corpus)
    with caplog.at_level(logging.WARNING):
        table, facts = read_usable(dataset, _context(corpus))
    assert "1 of 4 clips have no speech" in caplog.text
    spans = {
        name: split_speech(samples, WindowSpec(SAMPLE_RATE, SAMPLE_RATE, dynamic=True))[1].spans
        for name, samples in zip(["angry/s1_a.wav", "sad/s1_b.wav", "angry/s2_c.wav"], talks, strict=True)
    }
    found = {name: [(clip.start, clip.end) for clip in table.clips if clip.name == name] for name in spans}
    assert found == {
        name: [(span.begin / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in each] for name, each in spans.items()
    }
    assert all(clip.labels == {"emotion": clip.name.split("/")[0]} for clip in table.clips)
    assert {clip.speaker for clip in table.clips} == {"s1", "s2"}
    whole = {clip.name: clip.recording for clip in read_clips(dataset, corpus).clips}
    assert all(clip.recording == whole[clip.name] for clip in table.clips)
    for clip, fact in zip(table.clips, facts, strict=True):
        assert fact.duration_sec == pytest.approx((clip.end or 0) - (clip.start or 0), abs=2 / SAMPLE_RATE)
    again, known = read_usable(dataset, _context(corpus))
    assert (again, known) == (table, facts)


def test_times_of_segments_count_from_the_recording(talks: list[FloatArray], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.concatenate([talks[0], talks[1]]), SAMPLE_RATE, subtype="FLOAT")
    middle = len(talks[0]) / SAMPLE_RATE
    rows = [f"a.wav,0,{middle},angry", f"a.wav,{middle},{middle + len(talks[1]) / SAMPLE_RATE},sad"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,start,end,emotion", *rows]))
    dataset = as_dataset({"path": str(tmp_path / "labels.csv"), "segments": "speech"})
    table, _ = read_usable(dataset, _context(tmp_path))
    second = [clip for clip in table.clips if clip.labels["emotion"] == "sad"]
    spans = split_speech(talks[1], WindowSpec(SAMPLE_RATE, SAMPLE_RATE, dynamic=True))[1].spans
    assert [clip.start for clip in second] == pytest.approx([middle + span.begin / SAMPLE_RATE for span in spans])
    assert all((clip.end or 0) <= middle for clip in table.clips if clip not in second)


def test_the_check_lists_what_has_no_speech(corpus: Path) -> None:
    dataset = _dataset(corpus)
    report = check_dataset(dataset, corpus, split=False)
    assert list(report.bad["no speech"]) == ["sad/s2_d.wav"]
    assert "segments" in report.speech
    assert "no speech" in str(report)


def test_a_corpus_without_speech_is_refused(tmp_path: Path) -> None:
    for name, samples in zip(("a/x", "b/y"), sounds_without_speech().values(), strict=False):
        (tmp_path / name).parent.mkdir()
        soundfile.write(tmp_path / f"{name}.wav", samples, SAMPLE_RATE)
    dataset = as_dataset({"path": str(tmp_path), "segments": "speech"})
    with pytest.raises(DataError, match="none of the 2 clips has speech"):
        read_usable(dataset, _context(tmp_path))
