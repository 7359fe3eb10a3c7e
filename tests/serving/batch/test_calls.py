"""``emotions predict --calls`` as its users run it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emotions
from emotions.errors import ConfigError, OutputExists
from emotions.folder.result import FileResult
from serving.batch.calls import ByRecording
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
from tests.conftest import Tone, WriteWav
from tests.emotions.audio.speech.conftest import between_silences, real_clips
from tests.serving.batch.test_predict import read

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def calls(write_wav: WriteWav, tone: Tone, tmp_path: Path) -> Path:
    folder, clips = tmp_path / "calls", real_clips()
    agent, customer = (between_silences(part) for part in (clips[:2], clips[2:4]))
    samples = max(len(agent), len(customer))
    both = np.stack([np.pad(each, (0, samples - len(each))) for each in (agent, 0.1 * customer)], axis=1)
    write_wav(folder / "a talk.wav", both)
    write_wav(folder / "b one speaks.wav", np.stack([agent, np.zeros(len(agent))], axis=1))
    write_wav(folder / "c tone.wav", np.stack([tone(3.0), tone(3.0, 880)], axis=1))
    (folder / "d text.wav").write_text("no audio")
    return folder


@pytest.fixture
def run(tiny_bundle: Path, calls: Path, tmp_path: Path) -> Run:
    def predict(name: str = "t", **options: Any) -> list[dict[str, Any]]:
        chosen = {"channels": "split", "speakers": ("agent", "customer"), "quiet": True, **options}
        path = tmp_path / f"{name}.jsonl"
        predict_to_table([calls], tiny_bundle, tmp_path / f"{name}.csv", Options(calls=path, **chosen))
        return [json.loads(line) for line in path.read_text().splitlines()]

    return predict


def test_a_line_for_each_call(run: Run, calls: Path, tmp_path: Path, tiny_bundle: Path) -> None:
    talk, alone, tones, text = run()
    assert [each["file"] for each in (talk, alone, tones, text)] == sorted(path.name for path in calls.iterdir())
    assert [each["error"] and each["error"].partition(":")[0] for each in (talk, alone, tones, text)] == [
        *(None, None, "no_speech", "not_audio")
    ]
    agent, customer = talk["participants"]
    assert (agent["speaker"], agent["channel"], customer["speaker"], customer["channel"]) == (
        *("agent", 1, "customer", 2),
    )
    assert agent["level_dbfs"] > customer["level_dbfs"] + 10
    rows = [row for row in read(tmp_path / "t.csv") if row["file"] == "a talk.wav"]
    assert [float(row["speech.duration"]) for row in rows] == pytest.approx([agent["talk_sec"], customer["talk_sec"]])
    assert talk["talk_sec"] + talk["silence_sec"] == pytest.approx(talk["duration_sec"])
    assert alone["participants"][1]["error"].startswith("silent: ")
    python = emotions.load(tiny_bundle, device="cpu").predict_call(calls / "a talk.wav", speakers=("agent", "customer"))
    assert python.to_dict()["participants"][0]["talk_sec"] == agent["talk_sec"]


def test_a_recording_that_is_not_divided_is_a_call_of_one(run: Run) -> None:
    talk, *_ = run(channels="mix", speakers=())
    (participant,) = talk["participants"]
    assert (participant["speaker"], participant["channel"], talk["interruptions"]) == (None, None, 0)


def test_chunks_and_a_kill_make_no_difference(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("whole")
    with monkeypatch.context() as patch:
        patch.setattr("serving.batch.write_table.join_parts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("killed", chunk_files=1)
    (tmp_path / "killed.jsonl").unlink()
    assert run("killed", chunk_files=1, resume=True) == whole


def test_a_file_of_calls_that_is_there_is_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("mine")
    with pytest.raises(OutputExists, match=r"is there already; name another file of calls"):
        run()
    assert (tmp_path / "t.jsonl").read_text() == "mine"
    assert len(run(overwrite=True)) == 4
    with pytest.raises(ConfigError, match="calls are lines of JSON"):
        predict_to_table([], tmp_path, tmp_path / "u.csv", Options(calls=tmp_path / "calls.csv"))


def test_results_of_one_recording_stay_together() -> None:
    given = [("a", "x"), ("a", "y"), ("a", "x"), ("b", "x"), ("c", ""), ("c", "")]
    found: list[list[tuple[str, str]]] = []
    recordings = ByRecording(lambda results: found.append([(each.name, each.speaker) for each in results]))
    for name, speaker in given:
        recordings.add(FileResult(name, None, "x", "y", speaker=speaker))
    recordings.close()
    assert found == [given[:2], given[2:3], given[3:4], given[4:5], given[5:]]


def test_speakers_that_a_diariser_found_are_participants(
    tiny_bundle: Path, tone: Tone, write_wav: WriteWav, tmp_path: Path
) -> None:
    write_wav(tmp_path / "calls" / "a.wav", np.concatenate([tone(3.0, 300), 0.1 * tone(3.0, 3_000)]))
    write_wav(tmp_path / "calls" / "b.wav", tone(1.0))
    (tmp_path / "turns").mkdir()
    turns = [{"start": 0, "end": 3.6, "speaker": "A"}, {"start": 3, "end": 6, "speaker": "B"}]
    (tmp_path / "turns" / "a.json").write_text(json.dumps({"segments": turns}))
    options = Options(
        calls=tmp_path / "c.jsonl", diarisation=tmp_path / "turns", windows=True, timeline=("rttm",), quiet=True
    )
    predict_to_table([tmp_path / "calls"], tiny_bundle, tmp_path / "t.csv", options)
    rows = read(tmp_path / "t.csv")
    assert {(row["file"], row["speaker"]) for row in rows} == {("a.wav", "A"), ("a.wav", "B"), ("b.wav", "")}
    assert "channel" not in rows[0]
    assert [row["error"] for row in rows if row["file"] == "b.wav"] == ["no_turns: nobody says who speaks when in it"]
    for row in rows[:-1]:
        assert float(row["speech.start"]) <= float(row["start"]) < float(row["end"]) <= float(row["speech.end"])
    call, failed = (json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines())
    assert failed == {"file": "b.wav", "error": "no_turns: nobody says who speaks when in it"}
    first, second = call["participants"]
    assert (first["talk_sec"], second["talk_sec"], call["overlap_sec"]) == (3.6, 3, pytest.approx(0.6))
    assert (first["interrupted"], second["interruptions"]) == (1, 1)
    assert (tmp_path / "t.timelines" / "a.rttm").read_text().splitlines() == [
        "SPEAKER a 1 0.000 3.600 <NA> <NA> A <NA> <NA>",
        "SPEAKER a 1 3.000 3.000 <NA> <NA> B <NA> <NA>",
    ]
    for wrong in ({"segments": "speech"}, {"channels": "split"}):
        with pytest.raises(ConfigError, match="diarisation: it says who speaks where"):
            predict_to_table([], tmp_path, tmp_path / "u.csv", Options(diarisation=tmp_path, **wrong))  # type: ignore[arg-type]
