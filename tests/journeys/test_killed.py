"""Commands that are killed or stopped at moments drawn by a seed, or find the disk full, and are then run again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from emotions.files.json_text import read_json, write_json
from tests.commands import Command, Commands
from tests.training.conftest import build_step, make_corpus
from training.run_folder.read import read_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
EPOCHS = 8
"""So many that a training does not end while a busy machine lets nobody see that it has begun."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[..., Path]) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), write_wav)


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def write_config(data: Path, path: Path, kind: str = "train", run: str = "run", **changes: Any) -> Path:
    """A pipeline of one training into ``run`` beside the file, or of an evaluation by two folds."""
    step = build_step(data, Path(run), learn_params__max_epoch=EPOCHS).model_dump(mode="json", exclude_unset=True)
    step |= {"type": kind, **changes}
    if kind == "evaluate":
        step |= {"protocol": "group_kfold", "folds": 2, "output": run}
        step["learn_params"]["max_epoch"] = 2
    write_json(path, {"pipeline": [step], "load_dataset_workers_num": 0, "seed": 0})
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(run / "last.ckpt")["state_dict"]
    return state


def assert_same_run(one: Path, other: Path) -> None:
    """Two run folders hold the same weights, figures and files, and nothing else."""
    expected, found = weights(one), weights(other)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert read_json(one / "metrics.json") == read_json(other / "metrics.json")
    assert files(one) == files(other)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def epochs(run: Path) -> int:
    try:
        return int(read_checkpoint(run / "last.ckpt")["epoch"]) + 1
    except Exception:  # noqa: BLE001 - it is not there yet
        return 0


def begins(run: Path, epoch: int) -> Callable[[], bool]:
    """Whether a training has completed so many epochs; before the first, whether it has written its record."""
    return (lambda: epochs(run) >= epoch) if epoch else (run / "training.json").exists


def goes_on(run: Path) -> Callable[[], bool]:
    """Whether a training has done what the one before it had not: a record or one more epoch."""
    return begins(run, epochs(run) + 1) if (run / "training.json").exists() else begins(run, 0)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    Commands(folder).run("train", "--config-file", str(write_config(data, folder / "config.json")))
    return folder / "run"


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_training_goes_on_by_the_same_command(
    sent: signal.Signals, data: Path, whole: Path, commands: Commands
) -> None:
    config, run = write_config(data, commands.folder / "config.json"), commands.folder / "run"
    moments = random.Random(sent.value)
    for _ in range(5):
        going_on = goes_on(run)  # asked before: a signal that comes while the process starts tells nothing
        command = commands.start("train", "--config-file", str(config))
        command.until(going_on, moments.uniform(0, 0.15))
        code, told = command.ended(sent)
        assert "Traceback" not in told
        if (run / "run.json").exists():  # it was finished before the signal was acted on
            assert code in (0, -sent.value, 128 + sent.value), told
            (run / "run.lock").unlink(missing_ok=True)  # of one that was killed on its last line
            break
        assert code == (-sent.value if sent == signal.SIGKILL else 128 + sent.value), told
        if sent != signal.SIGKILL:
            done = epochs(run)
            kept = f"{done} of {EPOCHS} epochs are kept in {run}" if done else f"nothing is kept in {run}"
            assert f"{kept}; go on with: emotions train --config-file {config}\n" in told
    else:
        told = commands.run("train", "--config-file", str(config))
        assert f"of {EPOCHS} epochs are kept in {run}" in told
    assert_same_run(whole, run)


def test_what_a_run_named_by_the_time_leaves_goes_on_by_the_command_named_and_can_be_exported(
    data: Path, whole: Path, commands: Commands
) -> None:
    config = write_config(data, commands.folder / "config.json", run="runs/$$DATETIME$$")
    command = commands.start("train", "--config-file", str(config))
    command.until(lambda: any(epochs(run) >= 2 for run in commands.folder.glob("runs/*")))
    code, told = command.ended(signal.SIGTERM)
    [run] = commands.folder.glob("runs/*")
    assert code == 143, told
    assert f"epochs are kept in {run}; go on with: emotions train --resume {run}\n" in told
    for name, source in (("folder", ["--run", str(run)]), ("file", ["--checkpoint", str(run / "last.ckpt")])):
        told = commands.run("export", *source, "--output", name)
        assert f"{run}: its training was stopped after {epochs(run)} of {EPOCHS} epochs" in told
        assert read_json(commands.folder / name / "manifest.json")["extra"]["unfinished"]["of"] == EPOCHS
        assert "its training was stopped after" in (commands.folder / name / "README.md").read_text()
    shutil.move(run, commands.folder / "moved")
    commands.run("train", "--resume", str(commands.folder / "moved"))
    assert_same_run(whole, commands.folder / "moved")


def test_another_training_in_the_folder_of_an_interrupted_one_is_refused_or_begins_anew(
    data: Path, whole: Path, commands: Commands
) -> None:
    run = commands.folder / "run"
    other = write_config(data, commands.folder / "other.json", name="other")
    write_json(other, json.loads(other.read_text()) | {"seed": 1})
    command = commands.start("train", "--config-file", str(other))
    command.until(begins(run, 1))
    command.ended(signal.SIGKILL)
    config = write_config(data, commands.folder / "config.json")
    code, told = commands.start("train", "--config-file", str(config)).ended()
    assert code == 2, told
    assert f"{run}: holds an interrupted training with other settings: seed was 1, now 0; " in told
    assert "begin anew with --fresh, or name another saved_checkpoints_path" in told
    commands.run("train", "--config-file", str(config), "--fresh")
    assert_same_run(whole, run)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a file system of a size, such as ``300k``."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / f"disk{len(mounted)}"
        place.mkdir()
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, check=False
        )
        if made.returncode:
            pytest.skip("file systems cannot be mounted here")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def grow(place: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)


def told_of_a_full_disk(command: Command) -> str:
    """The one line that a command ends with, with exit code 2, where the disk is full."""
    code, told = command.ended()
    assert code == 2, told
    assert "Traceback" not in told
    [line] = [line for line in told.splitlines() if line.startswith("error: ")]
    assert "the disk is full" in line
    return line


@pytest.mark.parametrize(("size", "kept"), [("64k", False), ("3m", True)])
def test_a_training_on_a_full_disk_says_what_is_kept_and_goes_on(
    size: str, kept: bool, data: Path, whole: Path, commands: Commands, small_disk: Callable[[str], Path]
) -> None:
    place = small_disk(size)
    run = place / "run"
    config = write_config(data, commands.folder / "config.json", run=str(run))
    command = commands.start("train", "--config-file", str(config))
    if kept:
        command.until(begins(run, 1))
        command.until(fills(place))
    line = told_of_a_full_disk(command)
    done = epochs(run)
    assert (f"{done} of {EPOCHS} epochs are kept in {run}" if kept else f"nothing is kept in {run}") in line
    assert "make room, then the same command goes on" in line
    assert "last.ckpt" not in line or (run / "last.ckpt").exists()
    (place / "filler").unlink(missing_ok=True)
    grow(place, "50m")
    commands.run("train", "--config-file", str(config))
    assert_same_run(whole, run)


def fill(place: Path) -> None:
    """Leave no room on a disk."""
    with (place / "filler").open("ab") as stream:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while os.write(stream.fileno(), b"x" * size):
                    pass
            except OSError:
                continue


def fills(place: Path) -> Callable[[], bool]:
    """Leaves no room on a disk each time that it is asked: what a command replaces makes room anew."""

    def never() -> bool:
        fill(place)
        return False

    return never


def made_anew(folder: Path, pattern: str) -> Callable[[], bool]:
    """Whether a file of a pattern has been made from now on; what a killed command left does not count."""
    before = times(folder, pattern)
    return lambda: any(before.get(path) != time for path, time in times(folder, pattern).items())


def times(folder: Path, pattern: str) -> dict[Path, int]:
    found = {}
    for path in folder.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def predictions(output: Path) -> dict[str, Any]:
    """What an evaluation has predicted, by file, without the time that it took."""
    found: dict[str, Any] = {}
    for path in sorted((output / "folds").glob("*.npz")):
        with np.load(path) as arrays:
            found |= {f"{path.name} {name}": arrays[name].tolist() for name in arrays.files if name != "about"}
    return found


EVALUATION = [
    "folds/*.part/best*.ckpt",
    "folds/*.part/last.ckpt",
    "folds/*.npz",
    "folds/*.part/last.ckpt",
    "report.json",
]
"""Moments of an evaluation by two folds: what it has just written."""
EXPORT = ["model.onnx", "model.ts", "report.json", "curves.png", "README.md"]
"""Moments of an export: what is there of the bundle that is not whole."""
SIGNALS = pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=lambda sent: sent.name)


def evaluation(data: Path, output: Path, config: Path, jobs: int = 1) -> list[str]:
    return ["evaluate", "--config-file", str(write_config(data, config, "evaluate", str(output), jobs=jobs))]


@pytest.fixture(scope="module")
def evaluated(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation that nothing interrupted."""
    folder = tmp_path_factory.mktemp("evaluated")
    Commands(folder).run(*evaluation(data, folder / "report", folder / "config.json"))
    return folder / "report"


def assert_same_evaluation(one: Path, other: Path) -> None:
    assert predictions(one) == predictions(other)
    assert figures(one) == figures(other)
    assert files(one) == files(other)
    assert files(one / "folds") == files(other / "folds")


def figures(output: Path) -> dict[str, Any]:
    """What the report says of the targets; the rest has times and the folder's name."""
    found: dict[str, Any] = read_json(output / "report.json")["targets"]
    return found


@pytest.mark.parametrize("jobs", [1, 2])
@SIGNALS
def test_an_evaluation_goes_on_by_the_same_command(
    sent: signal.Signals, jobs: int, data: Path, evaluated: Path, commands: Commands
) -> None:
    output, moments = commands.folder / "found", random.Random(sent.value)
    arguments = evaluation(data, output, commands.folder / "config.json", jobs)
    stopped = 0
    for moment in EVALUATION:
        begun = made_anew(output, moment)
        command = commands.start(*arguments)
        command.until(begun, moments.uniform(0, 0.02))
        code, told = command.ended(sent)
        complete = (output / "report.html").exists()  # on a machine so busy that the end came before the signal
        assert code == (-sent if sent == signal.SIGKILL else 130) or (complete and code == 0), told
        assert "Traceback" not in told
        stopped += not complete
        if sent == signal.SIGINT and not complete:
            assert f"folds are kept in {output / 'folds'}; go on with: emotions evaluate" in told
    commands.run(*arguments)
    assert stopped, "no signal came in time"
    assert_same_evaluation(evaluated, output)


def starts_folds(command: int) -> bool:
    """Whether a command has started the process off which those of its folds are forked."""
    with contextlib.suppress(psutil.Error):
        return any("forkserver" in " ".join(each.cmdline()) for each in psutil.Process(command).children())
    return False


def test_ctrl_c_while_the_processes_of_the_folds_start(data: Path, tmp_path: Path) -> None:
    arguments = evaluation(data, tmp_path / "found", tmp_path / "config.json", jobs=2)
    command = [sys.executable, "-m", "emotions.cli", *arguments]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        deadline = time.monotonic() + 240
        while not starts_folds(process.pid):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # it imports what folds need, for seconds
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=240)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert f"0 folds are kept in {tmp_path / 'found' / 'folds'}; go on with: emotions evaluate" in told


def test_an_evaluation_on_a_full_disk_goes_on(
    data: Path, evaluated: Path, commands: Commands, small_disk: Callable[[str], Path]
) -> None:
    place = small_disk("50m")
    arguments = evaluation(data, place / "found", commands.folder / "config.json")
    begun = made_anew(place / "found", "folds/*.part/*.ckpt")
    command = commands.start(*arguments)
    command.until(begun)
    command.until(fills(place))
    line = told_of_a_full_disk(command)
    assert "make room, and run the same command again: what is complete is kept" in line
    (place / "filler").unlink()
    commands.run(*arguments)
    assert_same_evaluation(evaluated, place / "found")


@pytest.fixture(scope="module")
def exported(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that nothing interrupted."""
    folder = tmp_path_factory.mktemp("exported")
    Commands(folder).run(*export(whole, folder / "bundle"))
    return folder / "bundle"


def export(run: Path, bundle: Path) -> list[str]:
    return ["export", "--run", str(run), "--format", "onnx", "--format", "torchscript", "--output", str(bundle)]


def assert_same_bundle(one: Path, other: Path) -> None:
    assert files(one) == files(other)
    for name in ("model.onnx", "probe.npz"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@SIGNALS
def test_an_export_leaves_nothing_half_done(
    sent: signal.Signals, whole: Path, exported: Path, commands: Commands
) -> None:
    place, moments = commands.folder / "bundles", random.Random(sent.value)
    place.mkdir()
    arguments = export(whole, place / "found")
    for moment in EXPORT:
        begun = made_anew(place, f".part-*/{moment}")
        command = commands.start(*arguments)
        command.until(begun, moments.uniform(0, 0.01))
        code, told = command.ended(sent)
        assert "Traceback" not in told
        if moment in EXPORT[1:] and (place / "found").exists():  # it became whole before the signal was acted on
            assert code in (0, -sent if sent == signal.SIGKILL else 130), told
            assert code != 130 or "the bundle bundles/found is whole; go on with: emotions info --bundle" in told
            break
        assert code == (-sent if sent == signal.SIGKILL else 130), told
        assert not (place / "found").exists()
        if sent == signal.SIGINT:
            assert "nothing is kept of a bundle that is not whole; go on with: emotions export" in told
            assert files(place) == set()
    else:
        commands.run(*arguments)
    assert_same_bundle(exported, place / "found")
    assert files(place) == {"found"}, "what the killed ones left is gone"


def test_an_export_on_a_full_disk_leaves_nothing(
    whole: Path, exported: Path, commands: Commands, small_disk: Callable[[str], Path]
) -> None:
    place = small_disk("50m")
    fill(place)
    told_of_a_full_disk(commands.start(*export(whole, place / "found")))
    (place / "filler").unlink()
    assert files(place) == set()
    commands.run(*export(whole, place / "found"))
    assert_same_bundle(exported, place / "found")
