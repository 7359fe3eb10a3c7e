"""``emotions drift`` from recordings to the report, with the tiny bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from emotions.bundle.bundle import read_bundle
from emotions.bundle.reference.reference import read_reference
from emotions.cli import run
from tests.conftest import WriteWav


def record(folder: Path, write_wav: WriteWav, gain: float, seed: int, count: int = 60) -> Path:
    random = np.random.default_rng(seed)
    for at in range(count):
        noise = random.standard_normal(8_000 + int(random.integers(8_000))) * gain * random.uniform(0.5, 1.5)
        write_wav(folder / f"{at:03}.wav", noise.astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def work(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory, write_wav: WriteWav) -> Path:
    """A bundle with a reference, and tables of recordings that are alike and that are louder."""
    work = tmp_path_factory.mktemp("drift")
    shutil.copytree(tiny_bundle, work / "bundle")
    data = record(work / "validation", write_wav, 0.05, 0, 100)
    assert run(["drift", "reference", str(work / "bundle"), "--data", str(data)]) == 0
    for name, gain, seed in (("alike", 0.05, 1), ("louder", 0.2, 2)):
        folder = str(record(work / name, write_wav, gain, seed))
        table = str(work / f"{name}.csv")
        assert run(["predict", folder, "--bundle", str(work / "bundle"), "--output", table, "--quiet"]) == 0
    return work


def drift(work: Path, name: str, *more: str) -> tuple[int, dict[str, object]]:
    output = work / f"report-{name}-{len(more)}"
    table = work / f"{name}.csv"
    code = run(["drift", "--reference", str(work / "bundle"), "--current", str(table), "--output", str(output), *more])
    return code, json.loads((output / "report.json").read_text())


def test_the_reference_is_of_the_recordings(work: Path) -> None:
    reference = read_reference(read_bundle(work / "bundle"))
    assert reference is not None
    assert reference.clips == 100
    assert {"level", "bandwidth", "signal_to_noise", "duration"} <= {*reference.histograms}
    assert {*reference.spaces} == {"answers"}
    assert run(["bundle", "verify", str(work / "bundle")]) == 0


def test_alike_recordings_are_no_drift(work: Path) -> None:
    code, report = drift(work, "alike", "--recordings", str(work / "alike"))
    assert (code, report["drifted"], report["not_judged"]) == (0, [], [])


def test_louder_recordings_are_drift_with_a_page_that_says_so(work: Path) -> None:
    code, report = drift(work, "louder", "--recordings", str(work / "louder"))
    assert code == 1
    assert "level" in str(report["drifted"])
    page = (work / "report-louder-2" / "report.html").read_text()
    assert "Drift of" in page
    assert "level" in page


def test_without_recordings_their_sound_is_not_judged(work: Path) -> None:
    _, report = drift(work, "alike")
    assert report["not_judged"] == ["level", "signal_to_noise", "bandwidth"]


def test_its_parquet_has_a_row_a_clip_and_can_be_compared_column_by_column(work: Path) -> None:
    drift(work, "louder", "--recordings", str(work / "louder"))
    current, reference = (
        parquet.read_table(work / "report-louder-2" / f"{name}.parquet") for name in ("current", "reference")
    )
    assert (len(current), len(reference)) == (60, 100)
    assert current.column_names == reference.column_names
    assert current.schema.types == reference.schema.types
    level = reference["level"].to_pylist()
    assert np.mean(current["level"].to_pylist()) - np.mean(level) == pytest.approx(12, abs=2)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("file,emotion\na.wav,joy\n", "it is no table of this bundle's answers"),
        ("file,emotion.{first}\na.wav,much\n", "no number"),
        ("file,emotion.{first}\na.wav,nan\n", "no number"),
    ],
)
def test_other_tables_are_refused_by_row_and_column(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, complaint: str
) -> None:
    target, labels = next(iter(read_bundle(work / "bundle").manifest.labels.items()))
    path = tmp_path / "table.csv"
    path.write_text(table.replace("emotion.{first}", f"{target}.{labels[0]}"))
    command = ["drift", "--reference", str(work / "bundle"), "--current", str(path), "--output", str(tmp_path / "out")]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert "row 1" in said


def test_a_bundle_without_a_reference_says_how_to_add_one(
    work: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["drift", "--reference", str(tiny_bundle), "--current", str(work / "alike.csv"), "--output"]
    assert run([*command, str(tmp_path / "out")]) == 2
    assert "emotions drift reference" in capsys.readouterr().err


def test_a_recording_that_is_not_there_is_named(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["drift", "--reference", str(work / "bundle"), "--current", str(work / "alike.csv")]
    assert run([*command, "--recordings", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "000.wav is not in" in capsys.readouterr().err


def test_what_is_missing_of_the_command_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drift"]) == 2
    assert "--reference" in capsys.readouterr().err
