"""Old data and corrections as one table, and the report of what they changed."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from emotions.cli import run as command
from emotions.errors import DataError
from tests.conftest import TINY_TARGETS, WriteWav, make_tiny_bundle
from training.config.dataset import DatasetConfig, SplitConfig
from training.data.clips import read_clips
from training.data.split.splits import split_clips
from training.evaluation.corrections.merge import CORPUS, merge
from training.run_folder.read import Run

TARGET, LABELS = next(iter(TINY_TARGETS.items()))


@pytest.fixture
def data(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Clips of six speakers, in a table; two speakers are the test part."""
    random = np.random.default_rng(0)
    with (tmp_path / "data.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", TARGET, "speaker", "split"])
        for speaker in range(6):
            for at in range(6):
                name = f"clips/{speaker}_{at}.wav"
                write_wav(tmp_path / name, (0.1 * random.standard_normal(9_000)).astype(np.float32))
                part = "test" if speaker > 3 else "val" if speaker == 3 else "train"
                writer.writerow([name, LABELS[at % len(LABELS)], f"s{speaker}", part])
    for name in ("new_1", "new_2"):
        write_wav(tmp_path / "clips" / f"{name}.wav", (0.1 * random.standard_normal(9_000)).astype(np.float32))
    return tmp_path / "data.csv"


@pytest.fixture
def run(data: Path) -> Run:
    table = read_clips(DatasetConfig(path=str(data)), data.parent)
    return cast(Run, SimpleNamespace(folder=data.parent, table=table, split=split_clips(table, SplitConfig(), 0)))


def rows_of(path: Path) -> list[dict[str, str]]:
    return [*csv.DictReader(path.read_text(encoding="utf-8").splitlines())]


def labels_table(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    lines = ["path,begin,end,label,rater,speaker", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_corrections_replace_old_labels_and_new_clips_are_trained_on(run: Run, data: Path, tmp_path: Path) -> None:
    rows = [("0_0.wav", "", "", LABELS[1], who, "") for who in ("ann", "bob")]
    rows += [("new_1.wav", "", "", LABELS[0], "ann", ""), ("new_2.wav", "", "", LABELS[0], "ann", "s9")]
    output = tmp_path / "joined.csv"
    found = merge(run, labels_table(tmp_path / "labels.csv", rows), tmp_path / "clips", output)
    assert (found.old, found.corrected, found.added, found.left_out) == (35, 1, 2, 0)
    of = defaultdict[str, list[dict[str, str]]](list)
    for row in rows_of(output):
        of[Path(row["file"]).name].append(row)
    assert [(row[TARGET], row["rater"], row["split"]) for row in of["0_0.wav"]] == [
        (LABELS[1], "ann", "train"),
        (LABELS[1], "bob", "train"),
    ]
    assert [(row["rater"], row["speaker"], row["split"]) for row in of["5_0.wav"]] == [(CORPUS, "s5", "test")]
    assert [(row["speaker"], row["split"]) for row in of["new_2.wav"]] == [("s9", "train")]


def test_new_clips_go_where_their_speaker_or_their_recording_is(run: Run, tmp_path: Path) -> None:
    rows = [("new_1.wav", "", "", LABELS[0], "ann", "s3"), ("3_0.wav", 0, 0.3, LABELS[0], "ann", "")]
    output = tmp_path / "joined.csv"
    found = merge(run, labels_table(tmp_path / "labels.csv", rows), tmp_path / "clips", output)
    assert (found.old, found.added) == (36, 2)
    assert {row["split"] for row in rows_of(output) if row["rater"] == "ann"} == {"val"}


def test_the_table_is_a_dataset_whose_test_part_is_the_old_one(run: Run, data: Path, tmp_path: Path) -> None:
    rows = [("0_0.wav", "", "", LABELS[1], who, "") for who in ("ann", "bob")]
    output = tmp_path / "joined.csv"
    merge(run, labels_table(tmp_path / "labels.csv", rows), tmp_path / "clips", output)
    table = read_clips(DatasetConfig(path=str(output)), tmp_path)
    assert table.targets == (TARGET,)
    split = split_clips(table, SplitConfig(), 1)
    speakers = {table.clips[at].speaker for at in split.test}
    assert speakers == {"s4", "s5"}
    assert len(split.test) == 12
    assert not speakers & {table.clips[at].speaker for at in (*split.train, *split.val)}


def test_labels_of_test_recordings_and_test_speakers_are_left_out(run: Run, tmp_path: Path) -> None:
    rows = [("5_0.wav", "", "", LABELS[1], "ann", ""), ("new_1.wav", "", "", LABELS[1], "ann", "s4")]
    output = tmp_path / "joined.csv"
    found = merge(run, labels_table(tmp_path / "labels.csv", rows), tmp_path / "clips", output)
    assert (found.old, found.corrected, found.added, found.left_out) == (36, 0, 0, 2)
    assert {row["rater"] for row in rows_of(output)} == {CORPUS}


@pytest.mark.parametrize(
    ("row", "complaint"),
    [(("new_1.wav", "", "", "bored", "ann", ""), "bored"), (("gone.wav", "", "", LABELS[0], "ann", ""), "gone.wav")],
)
def test_what_is_unknown_is_named(run: Run, tmp_path: Path, row: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        merge(run, labels_table(tmp_path / "labels.csv", [row]), tmp_path / "clips", tmp_path / "joined.csv")
    assert not (tmp_path / "joined.csv").exists()


def test_another_target_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no target 'mood'"):
        merge(run, labels_table(tmp_path / "l.csv", []), tmp_path, tmp_path / "joined.csv", "mood")


def test_the_report_has_the_difference_on_the_same_test_clips(
    data: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_tiny_bundle(tmp_path / "other", pooling="coverage")
    arguments = ["--before", str(tiny_bundle), "--after", str(other), "--data", str(data)]
    assert command(["label", "report", *arguments, "--part", "all", "--output", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["clips"], report["units"], report["unit"]) == (36, 6, "speaker")
    low, high = report["uar_difference"]["ci"]
    assert low <= report["uar_difference"]["value"] <= high
    changed = report["changed"]
    assert changed["mended"] + changed["broken"] <= changed["answers"]
    gain = (changed["mended"] - changed["broken"]) / 36
    assert report["after"]["wa"] - report["before"]["wa"] == pytest.approx(gain)
    assert "UAR on the same test clips" in (tmp_path / "out" / "report.html").read_text()
    assert "UAR" in capsys.readouterr().out


def test_the_same_bundle_changes_nothing_and_few_speakers_have_no_interval(
    data: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--before", str(tiny_bundle), "--after", str(tiny_bundle), "--data", str(data)]
    assert command(["label", "report", *arguments, "--output", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["clips"] == 12
    assert report["uar_difference"] == {"value": 0.0, "ci": None}
    assert report["changed"] == {"answers": 0, "mended": 0, "broken": 0}
    assert "too few speakers" in capsys.readouterr().out
