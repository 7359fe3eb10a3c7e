"""Runs that are killed and go on: the table is the same to the byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emotions.errors import ConfigError, EmotionsError, OutputExists
from emotions.inputs.input_file import InputFile
from serving.batch import predict
from serving.batch.checkpoint import check_output, open_checkpoint, partial_folder, signature
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
from tests.conftest import Tone, WriteWav

REPOSITORY = Path(__file__).parents[3]
OUTPUTS = ["t.csv", "t.jsonl", "t.parquet", "t", "t.audformat"]


@pytest.fixture
def clips(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    """Forty clips, one of them broken, one of them long."""
    for index in range(40):
        write_wav(tmp_path / "clips" / f"{index:02}.wav", tone(0.1 + 0.03 * index, 200 + 40 * index))
    (tmp_path / "clips" / "07.wav").write_bytes(b"")
    write_wav(tmp_path / "clips" / "21.wav", tone(65))
    return tmp_path / "clips"


def content(output: Path) -> dict[str, bytes]:
    """A table's bytes by the names of its files."""
    files = output.iterdir() if output.is_dir() else [output]
    return {file.name if output.is_dir() else "": file.read_bytes() for file in files}


Stopped = Callable[[int], None]


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Stopped:
    """``stop_after(results)``: the run is interrupted after so many results; 0 lets it be."""
    genuine = predict.predict_chunks
    left = 0

    def stopping(*arguments: object, **options: object) -> Iterator[object]:
        for number, result in enumerate(genuine(*arguments, **options), 1):  # type: ignore[arg-type]
            yield result
            if number == left:
                raise KeyboardInterrupt

    def after(results: int) -> None:
        nonlocal left
        left = results

    monkeypatch.setattr(predict, "predict_chunks", stopping)
    return after


def options(**given: object) -> Options:
    return Options(device="cpu", threads=1, chunk_files=7, quiet=True, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    tiny_bundle: Path, clips: Path, tmp_path: Path, stop_after: Stopped, name: str
) -> None:
    predict_to_table([clips], tiny_bundle, tmp_path / "whole" / name, options())
    output = tmp_path / "out" / name
    for results in (3, 10, 1, 15):
        stop_after(results)
        with pytest.raises(KeyboardInterrupt):
            predict_to_table([clips], tiny_bundle, output, options(resume=True))
        assert not output.exists()
    stop_after(0)
    totals = predict_to_table([clips], tiny_bundle, output, options(resume=True))
    assert content(output) == content(tmp_path / "whole" / name)
    assert (totals.files, totals.errors, totals.resumed_files) == (40, 1, 21)
    assert len(totals.head) == 8
    assert [*output.parent.iterdir()] == [output]


def test_a_changed_file_is_done_again_and_others_are_not(
    tiny_bundle: Path, clips: Path, tmp_path: Path, stop_after: Stopped, tone: Tone, write_wav: WriteWav
) -> None:
    output = tmp_path / "out" / "t.csv"
    stop_after(30)
    with pytest.raises(KeyboardInterrupt):
        predict_to_table([clips], tiny_bundle, output, options())
    write_wav(clips / "03.wav", tone(1.5, 3000))
    write_wav(clips / "99.wav", tone(0.5, 3000))
    (clips / "38.wav").unlink()
    stop_after(0)
    totals = predict_to_table([clips], tiny_bundle, output, options(resume=True))
    assert totals.resumed_files == 21
    predict_to_table([clips], tiny_bundle, tmp_path / "whole.csv", options())
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_list_that_shrank_leaves_no_old_rows(
    tiny_bundle: Path, clips: Path, tmp_path: Path, stop_after: Stopped
) -> None:
    output = tmp_path / "out" / "t.csv"
    stop_after(35)
    with pytest.raises(KeyboardInterrupt):
        predict_to_table([clips], tiny_bundle, output, options())
    stop_after(0)
    for file in sorted(clips.iterdir())[7:]:
        file.unlink()
    assert predict_to_table([clips], tiny_bundle, output, options(resume=True)).files == 7
    assert output.read_bytes().count(b"\r\n") == 8


def test_what_is_there_is_kept_unless_the_user_says_what_to_do(
    tiny_bundle: Path, clips: Path, tmp_path: Path, stop_after: Stopped, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out" / "t.csv"
    stop_after(10)
    with pytest.raises(KeyboardInterrupt):
        predict_to_table([clips], tiny_bundle, output, options())
    stop_after(0)
    with pytest.raises(OutputExists, match=r"did not finish; --resume continues it, --overwrite starts again"):
        predict_to_table([clips], tiny_bundle, output, options())
    with pytest.raises(ConfigError, match="give one of them"):
        predict_to_table([clips], tiny_bundle, output, options(resume=True, overwrite=True))
    with pytest.raises(OutputExists, match="--windows was off and is on; give --resume"):
        predict_to_table([clips], tiny_bundle, output, options(resume=True, windows=True))
    assert predict_to_table([clips], tiny_bundle, output, options(overwrite=True)).resumed_files == 0
    whole = output.read_bytes()
    with pytest.raises(OutputExists, match=r"--resume to continue a run that was killed or --overwrite to replace"):
        predict_to_table([clips], tiny_bundle, output, options())
    capsys.readouterr()
    predict_to_table([clips], tiny_bundle, output, options(resume=True))
    assert "is complete; there is nothing to resume" in capsys.readouterr().out
    stop_after(10)
    with pytest.raises(KeyboardInterrupt):
        predict_to_table([clips], tiny_bundle, output, options(overwrite=True))
    assert output.read_bytes() == whole


def test_two_runs_on_one_output_are_told_apart(tmp_path: Path) -> None:
    output = tmp_path / "t.csv"
    for overwrite, resume in ((False, False), (True, False), (False, True)):
        with open_checkpoint(output, {"file": str}, {}), pytest.raises(OutputExists, match="another run is writing it"):
            check_output(output, overwrite=overwrite, resume=resume)
    with (
        open_checkpoint(output, {"file": str}, {}),
        pytest.raises(OutputExists, match="another run is writing it"),
        open_checkpoint(output, {"file": str}, {}, resume=True),
    ):
        pass


def test_a_journal_that_a_kill_cut_off_keeps_its_whole_lines(tmp_path: Path) -> None:
    output = tmp_path / "t.csv"
    clip = tmp_path / "a.wav"
    clip.touch()
    files = [InputFile(clip, "a.wav")]
    with open_checkpoint(output, {"file": str}, {"bundle": "a"}) as checkpoint:
        for index in range(2):
            checkpoint.part(index).write_text(f"{index}\r\n")
            checkpoint.record(index, signature(files), {})
    file = partial_folder(output) / "journal.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    with open_checkpoint(output, {"file": str}, {"bundle": "a"}, resume=True) as checkpoint:
        assert checkpoint.pending([files, files]) == [1]
        checkpoint.record(1, signature(files), {})
        checkpoint.part(0).write_text("cut off")
    with open_checkpoint(output, {"file": str}, {"bundle": "a"}, resume=True) as checkpoint:
        assert checkpoint.pending([files, files]) == [0]
    with (
        pytest.raises(EmotionsError, match="--bundle was a and is b; give --resume"),
        open_checkpoint(output, {"file": str}, {"bundle": "b"}, resume=True),
    ):
        pass


def test_a_run_does_not_go_on_with_another_variant(
    small_bundle: Path, tiny_bundle: Path, clips: Path, tmp_path: Path, stop_after: Stopped
) -> None:
    """As on a machine where ``auto`` is another one."""
    output = tmp_path / "out" / "t.csv"
    stop_after(10)
    with pytest.raises(KeyboardInterrupt):
        predict_to_table([clips], small_bundle, output, options())
    with pytest.raises(OutputExists, match="--variant was int8 and is fp32; give --resume"):
        predict_to_table([clips], small_bundle, output, options(variant="fp32", resume=True))
    with pytest.raises(OutputExists, match="--variant was int8 and is fp32; give --resume"):
        predict_to_table([clips], tiny_bundle, output, options(resume=True))
    stop_after(0)
    assert predict_to_table([clips], small_bundle, output, options(variant="int8", resume=True)).resumed_files == 7


def test_a_full_disk_is_one_line_and_what_is_done_is_kept(tiny_bundle: Path, clips: Path, tmp_path: Path) -> None:
    """The table of the first run is larger than a file may be; the second run has room."""
    output = tmp_path / "t.jsonl"
    limited = (
        f"ulimit -f 8; trap '' XFSZ; exec {sys.executable} -m emotions.cli predict clips --chunk 7 --threads 1 --quiet"
    )
    command = f"{limited} --bundle {tiny_bundle} --output t.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "File too large" in done.stderr
    totals = predict_to_table([clips], tiny_bundle, output, options(resume=True))
    assert totals.resumed_files > 0
    assert len(output.read_text().splitlines()) == 40


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that has room for a few chunks."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, check=False) if shutil.which("mount") else None
    if mounted is None or mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full_is_one_line_and_the_run_goes_on_when_there_is_room(
    tiny_bundle: Path, clips: Path, tmp_path: Path, small_disk: Path
) -> None:
    predict_to_table([clips], tiny_bundle, tmp_path / "whole.jsonl", options())
    command = [sys.executable, "-m", "emotions.cli", "predict", "clips", "--bundle", str(tiny_bundle), "--quiet"]
    command += ["--chunk", "7", "--device", "cpu", "--threads", "1", "--output", str(small_disk / "t.jsonl")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "the disk is full; make room" in done.stderr
    subprocess.run(["mount", "-o", "remount,size=1m", str(small_disk)], check=True)
    totals = predict_to_table([clips], tiny_bundle, small_disk / "t.jsonl", options(resume=True))
    assert 0 < totals.resumed_files < totals.files == 40
    assert (small_disk / "t.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize(("name", "asked"), [("t.csv", []), ("t.audformat", ["--windows"])])
def test_killed_at_random_moments_the_table_is_the_same_to_the_byte(
    tiny_bundle: Path, clips: Path, tmp_path: Path, name: str, asked: list[str]
) -> None:
    for number in range(40, 240):  # so that no run ends before it is killed, where this process has to wait for a core
        (clips / f"{number}.wav").hardlink_to(clips / "30.wav")
    arguments = [sys.executable, "-m", "emotions.cli", "predict", "clips", "--bundle", str(tiny_bundle), "--quiet"]
    arguments += ["--chunk", "1", "--device", "cpu", "--threads", "1", *asked, "--output"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([*arguments, f"whole{name}"], cwd=tmp_path, env=environment, check=False, capture_output=True)
    moments = random.Random(7)
    checkpoint = partial_folder(tmp_path / name) / "journal.jsonl"
    killed = 0
    for _ in range(5):
        done = checkpoint.read_bytes().count(b"\n") if checkpoint.exists() else 0
        run = subprocess.Popen([*arguments, name, "--resume"], cwd=tmp_path, env=environment)
        while run.poll() is None and (not checkpoint.exists() or checkpoint.read_bytes().count(b"\n") < done + 2):
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.005))
        run.send_signal(signal.SIGKILL)
        killed += run.wait() == -signal.SIGKILL
    assert killed >= 2
    subprocess.run([*arguments, name, "--resume"], cwd=tmp_path, env=environment, check=False, capture_output=True)
    assert content(tmp_path / name) == content(tmp_path / f"whole{name}")
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_other_options_are_named_with_both_values(tiny_bundle: Path, clips: Path, stop_after: Stopped) -> None:
    output = clips.parent / "t.csv"
    stop_after(12)
    with pytest.raises(KeyboardInterrupt):
        predict_to_table([clips], tiny_bundle, output, Options(chunk_files=1, quiet=True))
    stop_after(0)
    with pytest.raises(OutputExists) as raised:
        predict_to_table(
            [clips], tiny_bundle, output, Options(chunk_files=6, windows=True, strict=True, resume=True, quiet=True)
        )
    assert str(raised.value) == (
        f"{output}: was started with other options: --chunk was 1 and is 6, --windows was off and is on, "
        "--strict was off and is on; give --resume with those of then, or --overwrite to start again"
    )
