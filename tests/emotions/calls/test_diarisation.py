from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emotions
from emotions.calls.diarisation import Diarisation, by_speaker, read_json_turns, read_rttm
from emotions.errors import DataError
from emotions.folder.predict_files import predict_files
from emotions.inputs.input_file import InputFile
from tests.conftest import Tone, WriteWav

RTTM = """;; a comment
SPKR-INFO call 1 <NA> <NA> <NA> unknown A <NA> <NA>
SPEAKER call 1 0.50 1.00 <NA> <NA> B <NA> <NA>
SPEAKER call 1 0.00 0.75 <NA> <NA> A <NA> <NA>
SPEAKER call 1 0.70 0.30 <NA> <NA> A <NA> <NA>
SPEAKER other/b_2 1 1.00 1.00 <NA> <NA> C <NA> <NA>
"""
SEGMENTS = [
    {"start": 0, "end": 1, "speaker": "A"},
    {"start": 2, "end": 3, "text": "?"},
    {"start": 1, "end": 2.5, "speaker": 7},
]


def file(name: str, **options: Any) -> InputFile:
    return InputFile(name, name, **options)


@pytest.fixture
def rttm(tmp_path: Path) -> Path:
    (tmp_path / "all.rttm").write_text(RTTM)
    return tmp_path / "all.rttm"


def test_turns_of_rttm_are_joined_by_the_recordings_name(rttm: Path) -> None:
    turns = Diarisation(rttm)
    for name in ("call.wav", "deep/call.flac", "/abs/call.wav", "../call.wav", "s3://bucket/call.wav", "call"):
        assert turns.of(file(name)) == {"A": [(0, 1)], "B": [(0.5, 1.5)]}
    assert turns.of(file("other/b 2.wav")) == {"C": [(1, 2)]}
    assert turns.of(file("nothing.wav")) == {}


@pytest.mark.parametrize("content", [SEGMENTS, {"segments": SEGMENTS, "language": "de"}])
def test_turns_of_json(tmp_path: Path, content: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert read_json_turns(tmp_path / "a.json") == {"7": [(1, 2.5)], "A": [(0, 1)]}
    turns = Diarisation(tmp_path / "a.json")
    assert turns.of(file("any.wav")) == {"7": [(1, 2.5)], "A": [(0, 1)]}
    turns.check([file("any.wav", start=0.0), file("any.wav", start=1.0)])
    with pytest.raises(DataError, match="is of one recording, and these are 2"):
        by_speaker([file("a.wav"), file("b.wav")], turns)


def test_a_folder_has_a_file_for_each_recording(tmp_path: Path) -> None:
    folder = tmp_path / "turns"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.json").write_text(json.dumps(SEGMENTS))
    (folder / "b.rttm").write_text("SPEAKER whatever 1 0 1 <NA> <NA> X <NA> <NA>\n")
    (folder / "call.rttm").write_text(RTTM)
    (tmp_path / "secret.rttm").write_text(RTTM)
    turns = Diarisation(folder)
    assert {*turns.of(file("deep/a.wav"))} == {"A", "7"}
    assert {*turns.of(file("x/b.wav"))} == {"X"}
    assert {*turns.of(file("call.wav"))} == {"A", "B"}
    assert turns.of(file("../secret.wav")) == {}


def test_each_speaker_is_a_file_of_its_own(rttm: Path) -> None:
    whole, segment, unknown = file("call.wav"), file("call.wav", start=0.75, end=1.25), file("x.wav")
    found = by_speaker([whole, segment, unknown], Diarisation(rttm))
    assert [(each.speaker, each.turns) for each in found] == [
        ("A", ((0, 1),)),
        ("B", ((0.5, 1.5),)),
        ("A", ((0, 0.25),)),
        ("B", ((0, 0.5),)),
        ("", ()),
    ]


def test_a_speaker_is_answered_for_the_turns_alone(
    tiny_bundle: Path, tmp_path: Path, tone: Tone, write_wav: WriteWav, rttm: Path
) -> None:
    clip = np.concatenate([tone(0.5, 300), tone(1.0, 3_000), tone(0.5, 900)])
    path = write_wav(tmp_path / "call.wav", clip, subtype="FLOAT")
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    files = by_speaker([InputFile(path, "call.wav"), InputFile(path, "x.wav")], Diarisation(rttm))
    first, second, unknown = predict_files(predictor, files)
    assert (first.speaker, second.speaker, unknown.code) == ("A", "B", "no_turns")
    assert first.prediction is not None
    assert second.prediction is not None
    assert [(each.start, each.end) for each in second.prediction.segments] == [(0.5, 1.5)]
    alone = predictor.predict(clip[8_000:24_000]).probabilities
    assert second.prediction.probabilities["emotion"] == pytest.approx(alone["emotion"], abs=1e-5)
    assert first.prediction.speech_sec == 1
    assert first.prediction.duration_sec == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.rttm", "", "has no line of RTTM"),
        ("a.rttm", "SPEAKER a 1 0", "a.rttm:1: is no line of RTTM"),
        ("a.rttm", "SPEAKER a 1 x 1 <NA> <NA> b", "is no line of RTTM"),
        ("a.rttm", "SPEAKER a 1 nan 1 <NA> <NA> b", "a segment from nan to nan s"),
        ("a.rttm", "SPEAKER a 1 0 -1 <NA> <NA> b", "a segment from 0 to -1 s"),
        ("a.rttm", "SPEAKER a 1 0 1e300 <NA> <NA> b", "has a segment"),
        ("a.rttm", f"SPEAKER a 1 0 1 <NA> <NA> {'b' * 201}", "longer than 200"),
        (
            "a.rttm",
            "".join(f"SPEAKER a 1 0 1 <NA> <NA> s{number}\n" for number in range(101)),
            "more than 100 speakers",
        ),
        ("a.json", "{}", "is no list of segments"),
        ("a.json", "[1]", "is no list of segments"),
        ("a.json", "[", "is not JSON"),
        ("a.json", '[{"speaker": "a"}]', "a segment from nan to nan s"),
        ("a.json", '[{"speaker": "a", "start": true, "end": "x"}]', "a segment from nan"),
        ("a.json", f'[{{"speaker": "a", "start": 0, "end": {10**400}}}]', "a segment from 0 to nan"),
        ("b.rttm", None, "No such file"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, name: str, content: str | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=reason):
        Diarisation(tmp_path / name)


@given(st.text())
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.rttm"
    path.write_text(f"SPEAKER a 1 {text}", encoding="utf-8", errors="replace")
    try:
        found = read_rttm(path)
    except DataError:
        return
    assert all(start < end for turns in found.values() for spans in turns.values() for start, end in spans)
