"""``emotions predict`` as its users run it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.bundle.folders import hash_files, write_bundle, write_manifest
from emotions.errors import MissingExtra
from emotions.folder.predict_files import open_parallel
from emotions.folder.result import FileResult
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.runner import Context, load_pipeline, run_pipeline
from emotions.runtime.prediction import Prediction
from serving.batch import plot
from serving.batch.checkpoint import open_checkpoint, partial_folder
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
from serving.batch.progress import figures, status
from serving.batch.summary import WIDTH, Totals, summary
from serving.commands import PREDICT
from serving.config import PredictStep
from serving.tables.columns import columns
from serving.tables.writer import rows
from tests.conftest import Tone, WriteWav
from tests.emotions.audio.speech.conftest import between_silences, real_clips, sounds_without_speech
from tests.fake_codecarbon import WATTS, Tracker

REPOSITORY = Path(__file__).parents[3]
BROKEN = {
    "01_empty.wav": "not_audio",
    "02_text.wav": "not_audio",
    "04_nan.wav": "not_finite",
    "05_silent.wav": "silent",
    "06_short.wav": "too_short",
    "07_zip.mp3": "not_audio",
    "08_dangling.wav": "unreadable",
    "09_header.flac": "not_audio",
    '10_no\nsample,"б" 😀.wav': "too_short",
}


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "emotions.cli", "predict", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def good(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    folder = tmp_path / "clips"
    for index in range(12):
        write_wav(folder / f"speaker {index % 3}" / f"{index:02}.wav", tone(0.2 + 0.3 * index, 200 + 150 * index))
    return folder


@pytest.fixture
def mixed(good: Path, tone: Tone, write_wav: WriteWav) -> Path:
    """Good recordings, every kind of broken one, and what is no recording at all."""
    for name in ("01_empty.wav", "notes.txt", "cover.jpg"):
        (good / name).touch()
    (good / "02_text.wav").write_text("no audio " * 100)
    whole = write_wav(good / "03_cut.wav", tone(1.0)).read_bytes()
    (good / "03_cut.wav").write_bytes(whole[:9_000])
    write_wav(good / "04_nan.wav", np.full(9_000, np.nan, np.float32), subtype="FLOAT")
    write_wav(good / "05_silent.wav", np.zeros(9_000))
    write_wav(good / "06_short.wav", tone(0.01))
    (good / "07_zip.mp3").write_bytes(b"PK\3\4" + bytes(2_000))
    (good / "08_dangling.wav").symlink_to(good / "gone.wav")
    (good / "09_header.flac").write_bytes(b"fLaC")
    write_wav(good / '10_no\nsample,"б" 😀.wav', np.zeros(0))
    write_wav(good / "11_folder.wav" / "inside.wav", tone(0.5))
    return good


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_folder_becomes_a_table_of_what_the_library_answers(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    done = run(good, "--bundle", tiny_bundle, "--output", "out/table.csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = read(tmp_path / "out" / "table.csv")
    assert [cells["file"] for cells in rows] == sorted(
        file.relative_to(good).as_posix() for file in good.rglob("*.wav")
    )
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    for cells in rows:
        alone = predictor.predict(good / cells["file"])
        assert (cells["emotion"], cells["state"]) == (alone.labels["emotion"], alone.labels["state"])
        assert float(cells["confidence"]) == pytest.approx(alone.confidence, abs=1e-5)
        assert float(cells["emotion.sad"]) == pytest.approx(alone.probabilities["emotion"]["sad"], abs=1e-5)
        assert float(cells["end"]) == float(cells["duration"]) == alone.duration_sec
        assert (cells["start"], cells["error"]) == ("0.0", "")
    assert "table    out/table.csv (12 files, 0 errors, 0 of other kinds passed over)" in done.stdout
    assert "speaker 0/00.wav" in done.stdout
    assert "... and 4 more" in done.stdout


def test_bad_files_are_rows_in_their_place_and_the_exit_code_says_so(
    tiny_bundle: Path, mixed: Path, tmp_path: Path
) -> None:
    done = run(mixed, "--bundle", tiny_bundle, "--output", "t.csv", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    rows = read(tmp_path / "t.csv")
    assert [cells["file"] for cells in rows][:11] == sorted([*BROKEN, "03_cut.wav", "11_folder.wav/inside.wav"])
    assert {cells["file"]: cells["warning"].partition(":")[0] for cells in rows if cells["warning"]} == {
        "03_cut.wav": "truncated"
    }
    assert {cells["file"]: cells["error"].partition(":")[0] for cells in rows if cells["error"]} == BROKEN
    for cells in rows:
        assert bool(cells["error"]) != bool(cells["emotion"] and cells["emotion.sad"] and cells["duration"])
    assert len(rows) == 10 + 1 + 12
    assert "(23 files, 9 errors, 2 of other kinds passed over)" in done.stdout
    assert "warnings  truncated 1\nerrors    not_audio 4, too_short 2, " in done.stdout
    assert "10_no" not in done.stdout.splitlines()[-1]


def test_strict_refuses_what_is_cut_off(tiny_bundle: Path, mixed: Path, tmp_path: Path) -> None:
    done = run(mixed / "03_cut.wav", "--bundle", tiny_bundle, "--output", "t.csv", "--strict", cwd=tmp_path)
    assert done.returncode == 1
    (cells,) = read(tmp_path / "t.csv")
    assert cells["error"].startswith("truncated: is cut off: ")
    assert (cells["warning"], cells["emotion"]) == ("", "")


def test_only_speech_is_classified_where_asked(tiny_bundle: Path, tmp_path: Path, write_wav: WriteWav) -> None:
    for name, samples in sounds_without_speech().items():
        write_wav(tmp_path / "sounds" / f"{name}.wav", samples, rate=16_000)
    write_wav(tmp_path / "sounds" / "a talk.wav", between_silences(real_clips()), rate=16_000)
    command = ("sounds", "--bundle", tiny_bundle, "--output", "t.csv", "--segments", "speech", "--windows")
    assert run(*command, cwd=tmp_path).returncode == 1
    first, *others = read(tmp_path / "t.csv")
    talk = [cells for cells in (first, *others) if cells["file"] == "a talk.wav"]
    assert all(float(each["speech.start"]) <= float(each["start"]) < float(each["speech.end"]) for each in talk)
    assert 5 < float(first["speech.duration"]) < float(first["duration"]) - 5
    silent = [cells for cells in others if cells["file"] != "a talk.wav"]
    assert len(silent) == len(sounds_without_speech())
    assert all(cells["error"].startswith("no_speech: no speech in its ") for cells in silent)
    shown = run("sounds/a talk.wav", "--bundle", tiny_bundle, "--segments", "speech", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr


def test_other_segments_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    done = run("a.wav", "--bundle", tiny_bundle, "--segments", "music", cwd=tmp_path)
    assert done.returncode == 2
    assert "is not one of" in done.stderr


def test_a_table_that_an_earlier_release_began_is_finished_with_its_columns(
    tiny_bundle: Path, good: Path, tmp_path: Path
) -> None:
    command = (good, "--bundle", tiny_bundle, "--output", "t.csv", "--chunk", "5", "--quiet")
    assert run(*command, cwd=tmp_path).returncode == 0
    whole = read(tmp_path / "t.csv")
    bundle = read_bundle(tiny_bundle)
    names = {name: kind for name, kind in columns(bundle.manifest.targets).items() if name != "warning"}
    session = emotions.load(tiny_bundle, device="cpu").session
    settings = {
        "bundle": bundle.id,
        "variant": session.variant,
        "device": session.device,
        "batches_at_once": str(len(open_parallel(tiny_bundle)[1])),
        "chunk_files": 5,
        "windows": False,
    }
    (tmp_path / "t.csv").unlink()
    with open_checkpoint(tmp_path / "t.csv", names, settings):
        pass
    journal = partial_folder(tmp_path / "t.csv") / "journal.jsonl"
    assert "strict" not in journal.read_text()
    assert "warning" not in journal.read_text()
    assert run(*command, "--resume", "--strict", cwd=tmp_path).returncode == 2, "another setting"
    done = run(*command, "--resume", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert read(tmp_path / "t.csv") == [{k: v for k, v in cells.items() if k != "warning"} for cells in whole]


def test_files_named_one_by_one_and_other_formats(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    files = sorted(good.rglob("*.wav"))[:2]
    done = run(*files, "--bundle", tiny_bundle, "--output", "t.jsonl", "--threads", "1", cwd=tmp_path)
    assert done.returncode == 0
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["file"] for line in lines] == [file.name for file in files]
    assert json.loads(lines[0])["error"] is None


def test_mistakes_are_told_in_one_line_before_anything_is_computed(
    tiny_bundle: Path, good: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("mine")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").touch()
    mistakes = {
        (good, "--bundle", tiny_bundle, "--output", "t.csv"): "t.csv: is there already; name another output, or give",
        (
            good,
            "--bundle",
            tiny_bundle,
            "--output",
            "t.xlsx",
        ): "t.xlsx: a table ends with .csv, .jsonl, .parquet, .audformat, or",
        (tmp_path / "none", "--bundle", tiny_bundle, "--output", "u.csv"): "none: no such file or folder",
        (
            tmp_path / "bare",
            "--bundle",
            tiny_bundle,
            "--output",
            "u.csv",
        ): "no recording found (1 files of other kinds)",
        (good, "--bundle", tmp_path / "bare", "--output", "u.csv"): "bare: is not a bundle",
        (good, "--output", "u.csv"): "bundles: holds no bundle",
        ("--bundle", tiny_bundle, "--output", "u.csv"): "name an INPUT, or a --list of them",
    }
    for arguments, message in mistakes.items():
        done = run(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert (tmp_path / "t.csv").read_text() == "mine"
    assert not (tmp_path / "u.csv").exists()
    replaced = run(good, "--bundle", tiny_bundle, "--output", "t.csv", "--overwrite", cwd=tmp_path)
    assert replaced.returncode == 0
    assert len(read(tmp_path / "t.csv")) == 12


def test_a_step_takes_the_bundle_that_was_just_exported_and_survives_bad_files(
    tiny_bundle: Path, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = PredictStep(inputs="clips", output=["out", "table.jsonl"])  # type: ignore[arg-type]  # a string is a list of one
    context = Context(tmp_path, 0, 0, {}, last_bundle=tiny_bundle, quiet=True)
    PREDICT.run(step, context)
    assert len((tmp_path / "out" / "table.jsonl").read_text(encoding="utf-8").splitlines()) == 23
    assert "9 errors" in capsys.readouterr().out


def test_a_pipeline_predicts_with_the_newest_bundle(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "mine").symlink_to(tiny_bundle)
    file = tmp_path / "pipeline.json"
    document = {"pipeline": [{"type": "predict", "inputs": ["clips"], "output": "$$ROOT_DIR$$/t.csv"}]}
    file.write_text(json.dumps(document))
    run_pipeline(load_pipeline(file, root=tmp_path))
    assert len(read(tmp_path / "t.csv")) == 12


def test_the_summary_fits_and_steers_no_terminal() -> None:
    totals = Totals(skipped=3, wall_sec=2.0)
    scores = {"emotion": {"гнев": 0.75, "радость": 0.25}}
    totals.add(FileResult("\x1b[31m" + "длинное имя 😀 [bold]" * 9 + ".wav", Prediction(scores, (), 5.0)))
    totals.add(FileResult("б.wav", None, "is empty", "not_audio"))
    text = summary(Path("t.csv"), totals, ["emotion"], {"bundle": "b@1", "variant": "int8", "device": "cpu"})
    assert "\x1b" not in text
    assert r"\x1b[31mдлинное имя 😀 [bold]" in text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "5.0 s in 2.0 s, 2.5 times real time" in text
    assert "model    b@1, int8 on cpu\nemotion  гнев 1\nerrors   not_audio 1" in text


def test_energy_is_in_the_summary_for_people_and_for_programs(
    tiny_bundle: Path, good: Path, tmp_path: Path, codecarbon: type[Tracker], capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(quiet=True, device="cpu", threads=1, energy=EnergyConfig(country="DEU"))
    totals = predict_to_table([good], tiny_bundle, tmp_path / "t.csv", options)
    assert totals.energy is not None
    printed = capsys.readouterr().out
    assert "\nenergy   " in printed
    assert "g CO2e, estimated\n" in printed
    assert "grid 400 g/kWh, Germany 2023" in printed
    predict_to_table([good], tiny_bundle, tmp_path / "u.csv", replace(options, log_format="json"))
    energy = json.loads(capsys.readouterr().out)["energy"]
    assert energy["joules"] == pytest.approx(WATTS * energy["seconds"], rel=0.05)
    codecarbon.faults.add("flush")
    assert predict_to_table([good], tiny_bundle, tmp_path / "v.csv", options).energy is None
    assert len(read(tmp_path / "v.csv")) == 12


@pytest.mark.parametrize("wrong", [("--energy", "DEX"), ("--energy", "DEU"), ("--cpu-watts", "5")])
def test_energy_that_cannot_be_measured_is_one_line(
    tiny_bundle: Path, good: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    done = run(good, "--bundle", tiny_bundle, "--output", "t.csv", *wrong, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.glob("t.csv*")]


def test_progress_in_words() -> None:
    totals = Totals(files=50, audio_sec=200.0)
    totals.codes["not_audio"] = 2
    assert status(totals, 1000, 10.0) == "50/1000 files, 5.0 files/s, 20x real time, 2 errors, 3:10 left"


def test_what_was_resumed_does_not_count_as_speed() -> None:
    totals = Totals(files=50, audio_sec=200.0, resumed_files=40, resumed_sec=190.0)
    assert status(totals, 60, 10.0) == "50/60 files, 1.0 files/s, 1x real time, 0 errors, 0:10 left"
    assert figures(Totals(files=5, resumed_files=5), 10, 1.0)["left_sec"] == 0.0


def test_machines_are_told_in_json(tiny_bundle: Path, mixed: Path, tmp_path: Path) -> None:
    done = run(mixed, "--bundle", tiny_bundle, "--output", "t.csv", "--log-format", "json", cwd=tmp_path)
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert told[0]["event"] == "progress"
    assert set(told[0]) > {"files", "total", "files_per_sec", "times_real_time", "errors", "left_sec"}
    (closing,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (closing["event"], closing["files"], closing["errors"], closing["skipped"]) == ("done", 23, 9, 2)
    assert closing["codes"] == {"not_audio": 4, "too_short": 2, "not_finite": 1, "silent": 1, "unreadable": 1}
    assert closing["warnings"] == {"truncated": 1}
    assert sum(closing["labels"]["emotion"].values()) == 14
    assert "wav" not in done.stdout + done.stderr


def test_windows_and_a_picture(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    arguments = ("--bundle", tiny_bundle, "--output", "t.csv", "--windows", "--plot", "summary.png")
    assert run(good / "*" / "1*.wav", *arguments, cwd=tmp_path).returncode == 0
    rows = read(tmp_path / "t.csv")
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    for file in ("speaker 1/10.wav", "speaker 2/11.wav"):
        alone = predictor.predict(good / file)
        spans = [(float(cells["start"]), float(cells["end"])) for cells in rows if cells["file"] == file]
        assert spans == [(window.start, window.end) for window in alone.windows]
    assert (tmp_path / "summary.png").read_bytes().startswith(b"\x89PNG")
    wrong = run(good, *arguments[:-1], "summary.jpg", "--overwrite", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (2, "error: summary.jpg: a picture of the summary ends with .png\n")


def test_a_picture_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="'plot'"):
        plot.check_plot(tmp_path / "summary.png")


def test_a_picture_of_nothing_but_errors_is_drawn(tmp_path: Path) -> None:
    totals = Totals()
    totals.add(FileResult("a.wav", None, "is empty", "not_audio"))
    plot.plot_summary(tmp_path / "summary.png", totals, {"emotion": 2})
    assert (tmp_path / "summary.png").stat().st_size > 5_000


def test_a_list_on_standard_input_and_a_table_of_segments(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    (good / "segments.csv").write_text("file,start,end\nspeaker 2/11.wav,1,2\nspeaker 2/11.wav,0.5,\n")
    arguments = ("--bundle", tiny_bundle, "--output", "t.jsonl", "--quiet")
    assert run(good / "segments.csv", *arguments, cwd=tmp_path).returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [(cells["start"], cells["end"], cells["duration"]) for cells in rows] == [(1.0, 2.0, 1.0), (0.5, 3.5, 3.0)]
    (tmp_path / "files").write_text(f"{good}/speaker 2/11.wav\nnone.wav\n")
    assert run("--list", "files", *arguments, "--overwrite", cwd=tmp_path).returncode == 1
    assert [json.loads(line)["file"] for line in (tmp_path / "t.jsonl").read_text().splitlines()][1] == "none.wav"


def test_a_segment_past_the_end_of_its_recording_is_marked_or_refused(
    tiny_bundle: Path, good: Path, tmp_path: Path
) -> None:
    clip = "speaker 2/11.wav"
    (good / "segments.csv").write_text(f"file,start,end\n{clip},1,3.54\n{clip},3,9\n{clip},0,2\n")
    arguments = ("--bundle", tiny_bundle, "--output", "t.jsonl", "--quiet", "--overwrite")
    assert run(good / "segments.csv", *arguments, cwd=tmp_path).returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [cells["duration"] for cells in rows] == [2.5, 0.5, 2.0]
    marks = [cells["warning"] for cells in rows]
    assert marks == [None, "truncated: the recording ends 5.50 s before the segment does", None]
    assert run(good / "segments.csv", *arguments, "--strict", cwd=tmp_path).returncode == 1
    errors = [json.loads(line)["error"] for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert errors == [None, "truncated: the recording ends 5.50 s before the segment does", None]


@pytest.fixture
def hearing_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The tiny bundle with an embedding: the energy in its bands."""
    import onnx

    opened = read_bundle(tiny_bundle)
    with write_bundle(tmp_path / "hearing") as folder:
        shutil.copy(tiny_bundle / "probe.npz", folder)
        model = onnx.load(tiny_bundle / "model.onnx")
        model.graph.node.append(onnx.helper.make_node("Identity", ["scaled"], ["embedding"]))
        model.graph.output.append(onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, ["batch", 8]))
        onnx.save(model, folder / "model.onnx")
        files = hash_files(folder)
        fp32 = opened.manifest.variants["fp32"].model_copy(update={"sha256": files["model.onnx"]})
        described = {"name": "embedding", "dtype": "float32", "shape": ["batch", 8]}
        update = {"files": files, "variants": {"fp32": fp32}, "extra": {"embedding": described}}
        write_manifest(folder, opened.manifest.model_copy(update=update))
    return tmp_path / "hearing"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_embeddings_are_a_column(hearing_bundle: Path, good: Path, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"t.{ending}"
    for windows in (False, True):
        options = Options(embeddings=True, windows=windows, quiet=True, device="cpu", threads=1, overwrite=True)
        predict_to_table([good / "speaker 2" / "11.wav"], hearing_bundle, output, options)
        frame = {"csv": pandas.read_csv, "jsonl": partial(pandas.read_json, lines=True), "parquet": pandas.read_parquet}
        cells = frame[ending](output)["embedding"]
        inputs = np.stack([np.asarray(json.loads(each) if ending == "csv" else each) for each in cells])
        (result,) = emotions.load(hearing_bundle, device="cpu", threads=1, embedding=True).predict_folder(
            good / "speaker 2" / "11.wav"
        )
        expected = result.embedding if windows else result.embedding.mean(axis=0)[None]
        np.testing.assert_allclose(inputs, expected, rtol=1e-4, atol=1e-9)
    assert len(inputs) == 7


def test_a_bundle_without_an_embedding_says_so(tiny_bundle: Path, good: Path, tmp_path: Path) -> None:
    done = run(good, "--bundle", tiny_bundle, "--output", "t.csv", "--embeddings", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {tiny_bundle}: answers no embedding; export it anew with one\n"


def test_python_yields_the_rows_of_the_table(tiny_bundle: Path, mixed: Path, tmp_path: Path) -> None:
    options = Options(quiet=True, device="cpu", threads=1)
    predict_to_table([mixed], tiny_bundle, tmp_path / "t.jsonl", options)
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    template = dict.fromkeys(columns(predictor.manifest.targets))
    expected = [cells for result in predictor.predict_folder(mixed) for cells in rows(result, template)]
    assert [json.loads(line) for line in lines] == expected
