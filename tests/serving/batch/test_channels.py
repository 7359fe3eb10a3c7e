"""``emotions predict --channels`` as its users run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from emotions.bundle.bundle import read_bundle
from emotions.errors import ConfigError, DataError, OutputExists
from emotions.pipeline.runner import load_pipeline, run_pipeline
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
from serving.batch.show import show_predictions
from serving.tables.columns import columns
from tests.conftest import Tone, WriteWav
from tests.serving.batch.test_predict import read, run


@pytest.fixture
def calls(tone: Tone, write_wav: WriteWav, tmp_path: Path) -> Path:
    folder = tmp_path / "calls"
    for name, hertz in (("a.wav", (300, 3_000)), ("b.wav", (500, 900))):
        write_wav(folder / name, np.stack([tone(1.2, each) for each in hertz], axis=1))
    write_wav(folder / "c mono.wav", tone(1.2, 300))
    return folder


def split(tmp_path: Path, calls: Path, bundle: Path, output: str = "t.csv", **options: object) -> Path:
    chosen = Options(channels="split", speakers=("agent", "customer"), quiet=True, **options)  # type: ignore[arg-type]
    predict_to_table([calls], bundle, tmp_path / output, chosen)
    return tmp_path / output


def test_each_channel_is_a_row_with_its_speaker(tiny_bundle: Path, calls: Path, tmp_path: Path) -> None:
    command = ("calls", "--bundle", tiny_bundle, "--output", "t.csv", "--channels", "split")
    done = run(*command, "--speakers", "agent, customer", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    rows = read(tmp_path / "t.csv")
    assert [(row["file"], row["channel"], row["speaker"]) for row in rows] == [
        (name, channel, speaker)
        for name in ("a.wav", "b.wav", "c mono.wav")
        for channel, speaker in (("1", "agent"), ("2", "customer"))
    ]
    assert [row["error"].partition(":")[0] for row in rows] == ["", "", "", "", "", "no_channel"]
    assert rows[0]["emotion.sad"] == pytest.approx(rows[4]["emotion.sad"])
    assert rows[0]["emotion.sad"] != rows[1]["emotion.sad"]
    assert [*rows[0]][:5] == ["file", "start", "end", "channel", "speaker"]


def test_one_channel_by_number_has_no_columns_of_participants(tiny_bundle: Path, calls: Path, tmp_path: Path) -> None:
    split(tmp_path, calls, tiny_bundle)
    for channels, expected in (("2", [1, 3]), ("first", [0, 2])):
        done = run("calls/a.wav", "calls/b.wav", "--bundle", tiny_bundle, "--channels", channels, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        predict_to_table(
            [calls / "a.wav", calls / "b.wav"],
            tiny_bundle,
            tmp_path / f"{channels}.csv",
            Options(channels=2 if channels == "2" else "first", quiet=True),
        )
        rows, every = read(tmp_path / f"{channels}.csv"), read(tmp_path / "t.csv")
        assert "channel" not in rows[0]
        assert [row["emotion.sad"] for row in rows] == [every[at]["emotion.sad"] for at in expected]


def test_channels_are_whole_numbers_in_every_format(tiny_bundle: Path, calls: Path, tmp_path: Path) -> None:
    lines = split(tmp_path, calls, tiny_bundle, "t.jsonl", windows=True).read_text().splitlines()
    assert {(row["channel"], row["speaker"]) for row in map(json.loads, lines)} == {(1, "agent"), (2, "customer")}
    table = parquet.read_table(split(tmp_path, calls, tiny_bundle, "t.parquet")).to_pydict()
    assert table["channel"] == [1, 2] * 3
    with pytest.raises(DataError, match="stands twice"):
        split(tmp_path, calls, tiny_bundle, "t.audformat")


def test_the_terminal_says_who_it_is(tiny_bundle: Path, calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_predictions([calls / "a.wav"], tiny_bundle, Options(channels="split", speakers=("agent",)))
    shown = capsys.readouterr().out
    assert "a.wav (agent)" in shown
    assert "a.wav (channel 2)" in shown


def test_an_unfinished_table_keeps_its_channels(
    tiny_bundle: Path, calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = split(tmp_path, calls, tiny_bundle, "whole.csv", chunk_files=1)
    with monkeypatch.context() as patch:
        patch.setattr("serving.batch.write_table.join_parts", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            split(tmp_path, calls, tiny_bundle, chunk_files=1)
    other = Options(channels="split", speakers=("a", "b"), chunk_files=1, resume=True, quiet=True)
    with pytest.raises(OutputExists, match="--speakers was agent customer and is a b"):
        predict_to_table([calls], tiny_bundle, tmp_path / "t.csv", other)
    assert split(tmp_path, calls, tiny_bundle, chunk_files=1, resume=True).read_text() == whole.read_text()


def test_names_without_channels_are_refused(tiny_bundle: Path, calls: Path, tmp_path: Path) -> None:
    done = run("calls", "--bundle", tiny_bundle, "--speakers", "agent", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "they name the channels of --channels split" in done.stderr
    done = run("calls", "--bundle", tiny_bundle, "--channels", "left", cwd=tmp_path)
    assert done.returncode == 2
    assert "channels: got 'left'; mix, first, split, or a number" in done.stderr


def test_a_target_that_is_a_column_of_participants(tiny_bundle: Path) -> None:
    targets = {**read_bundle(tiny_bundle).manifest.targets, "speaker": ["a", "b"]}
    assert "speaker.a" in columns(targets)
    with pytest.raises(ConfigError, match="target 'speaker' has the name of a column of participants"):
        columns(targets, participants={"channel": int, "speaker": str})


def test_a_step_of_a_pipeline_splits_channels(tiny_bundle: Path, calls: Path, tmp_path: Path) -> None:
    step = {"type": "predict", "inputs": "calls/a.wav", "bundle": str(tiny_bundle), "output": "t.csv"}
    (tmp_path / "p.json").write_text(json.dumps({"pipeline": [{**step, "channels": "split", "speakers": ["x", "y"]}]}))
    run_pipeline(load_pipeline(tmp_path / "p.json", root=tmp_path))
    assert [row["speaker"] for row in read(tmp_path / "t.csv")] == ["x", "y"]
