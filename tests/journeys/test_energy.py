"""CodeCarbon itself: joules of a training, a search, a folder and a benchmark; no network, no trace."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.environments import ROOT, python_with
from training.data.demo import make_demo_corpus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
REQUIREMENT = "codecarbon==3.3.2"
OFFLINE = """
import socket, sys
def refused(*arguments):
    raise AssertionError(f"a connection is made: {arguments[1:]}")
connect = socket.socket.connect
def local_only(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        refused(self, address)
    return connect(self, address)
def looked_up(host, *rest, **named):
    if host not in (None, "127.0.0.1", "::1", "localhost", socket.gethostname()):
        refused(None, host)
    return found(host, *rest, **named)
found, socket.getaddrinfo = socket.getaddrinfo, looked_up
socket.socket.connect = local_only
"""
WORK = """
import json, time
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.grid import check_energy
from emotions.pipeline.energy.meter import measuring
def work(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        sum(range(1000))
found = []
with measuring(EnergyConfig(country="DEU", cpu_watts=100)):
    pass  # what it reads once is read
for seconds in (2.0, 6.0):
    config = EnergyConfig(country="DEU", cpu_watts=100)
    check_energy(config)
    opened = time.process_time()
    with measuring(config) as meter:
        before = time.process_time()
        work(seconds)
        cpu_sec = time.process_time() - before
    found.append({**meter.energy.model_dump(), "cpu_sec": [cpu_sec, time.process_time() - opened]})
with measuring(EnergyConfig(grams_per_kwh=50)) as meter:
    work(2.0)
found.append(meter.energy.model_dump())
print(json.dumps(found))
"""
COMMANDS = """
from emotions.cli import run
import sys
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose settings would have CodeCarbon ask services and write files."""
    (tmp_path / "home").mkdir()
    settings = "[codecarbon]\nsave_to_api=true\nco2_signal_api_token=secret\nsave_to_file=true\nlog_level=debug\n"
    (tmp_path / "home" / ".codecarbon.config").write_text(settings)
    return tmp_path / "home"


def run(code: str, cwd: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program without a network, in which every connection to another machine fails."""
    python = python_with(REQUIREMENT)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODECARBON")}
    variables = {**clean, "PYTHONPATH": str(ROOT), "HOME": str(home), "CODECARBON_SAVE_TO_FILE": "true"}
    command = [str(python), "-c", OFFLINE + code, *arguments]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=600)


def test_joules_grow_with_work_and_nothing_is_asked_written_or_logged(tmp_path: Path, home: Path) -> None:
    (tmp_path / "here").mkdir()
    done = run(WORK, tmp_path / "here", home)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not [*(tmp_path / "here").iterdir()]
    short, long, found = json.loads(done.stdout)
    assert 0 < short["joules"] < long["joules"]
    for each in (short, long):  # power by time: the share of the cores in the watts that were given for all of them
        work, whole = (100 / (os.cpu_count() or 1) * cpu_sec for cpu_sec in each["cpu_sec"])
        # Between the two is what the meter itself takes to begin and to end, more on a busy machine.
        assert 0.8 * work <= each["joules_of"]["cpu"] <= 1.2 * whole
    assert long["grams_co2e"] == pytest.approx(long["joules"] / 3.6e6 * 380.95, rel=0.01)
    assert long["how"]["cpu"] == "estimated: CPU time by 100 W, as given"
    assert long["how"]["memory"].startswith("estimated")
    assert found["how"]["cpu"].startswith(("measured: RAPL", "estimated: CPU time by "))
    for each in (short, long, found):
        assert sum(each["joules_of"].values()) == pytest.approx(each["joules"], rel=0.02)


def test_a_training_a_search_and_a_folder_say_their_joules(tmp_path: Path, home: Path) -> None:
    step = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet"},
        "dataset": {"path": "data"},
        "saving_data_params": {"saved_checkpoints_path": "run", "energy": "FRA"},
        "learn_params": {"max_epoch": 2, "spectrogram_size": 32},
        "accelerator": "cpu",
    }
    search = {**step, "type": "tune", "tune": {"num_samples": 2, "max_tune_epochs": 2}}
    search["learn_params"] = {"spectrogram_size": 32, "lr": {"base_lr": {"choice": [0.001, 0.01]}}}
    search["saving_data_params"] = {"energy": {"grams_per_kwh": 400, "cpu_watts": 50}}
    (tmp_path / "train.json").write_text(json.dumps({"pipeline": [step]}))
    (tmp_path / "tune.json").write_text(
        json.dumps({"pipeline": [search, {"type": "print_tune_res", "format": "json"}]})
    )

    def emotions(*arguments: str) -> str:
        done = run(COMMANDS, tmp_path, home, *arguments)
        assert done.returncode == 0, done.stderr
        assert "codecarbon" not in done.stderr.lower()
        return done.stdout

    make_demo_corpus(tmp_path / "data", takes=4)
    assert "g CO2e, " in emotions("train", "train.json")
    energy = json.loads((tmp_path / "run" / "run.json").read_text())["energy"]
    assert energy["joules"] > 0
    assert re.fullmatch(r"56\.04?\d* g/kWh, France \d{4} by CodeCarbon's table", energy["grid"])
    printed = emotions("train", "tune.json")
    report = json.JSONDecoder().raw_decode(printed[printed.index('{\n  "folder"') :])[0]
    assert all(trial["joules"] > 0 for trial in report["trials"])
    emotions("export", "--run", "run", "--output", "bundle")
    line = emotions(
        "predict",
        "data",
        "--bundle",
        "bundle",
        "--output",
        "t.csv",
        "--energy",
        "400",
        "--log-format",
        "json",
        "--quiet",
    )
    assert json.loads(line)["energy"]["joules"] > 0
    assert "g CO2e" in emotions("predict", "data/angry", "--bundle", "bundle", "--energy", "FRA")
    emotions(
        *("benchmark", "--bundle", "bundle", "--output", "report", "--quick", "--scenario", "session"),
        *("--scenario", "folder", "--energy", "FRA", "--quiet"),
    )
    layers = json.loads((tmp_path / "report" / "report.json").read_text())["energy"]["layers"]
    assert len(layers) > 1
    assert all(layer["joules_per_audio_hour"]["median"] > 0 for layer in layers.values())
    assert not [*tmp_path.rglob("emissions*.csv")]
    refused = run(COMMANDS, tmp_path, home, "predict", "data", "--bundle", "bundle", "--energy", "GER")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "energy: GER" in refused.stderr
