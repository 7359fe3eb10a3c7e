"""A folder on a Ray cluster: the same table as on one machine, whatever dies on the way."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from emotions.errors import DeviceError, EmotionsError
from emotions.inputs.input_file import InputFile
from serving.batch import ray_pool
from serving.batch.checkpoint import partial_folder
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
from serving.batch.ray_pool import agreed, heaviest_first
from serving.batch.ray_worker import Task
from tests import hostile_audio
from tests.conftest import Tone, WriteWav

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
HOOK = """
import os, signal, sys, time

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".wav"):
        if str(arguments[0]).endswith("poison.wav"):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.2)

if any("default_worker" in part for part in sys.argv) or "default_worker" in open("/proc/self/cmdline").read():
    sys.addaudithook(hook)
"""


@pytest.fixture
def slow_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers take their time to open a recording, and die of one that is called poison."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'hook'}:{REPOSITORY}")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture
def clips(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    for index in range(60):
        write_wav(tmp_path / "clips" / f"{index:02}.wav", tone(0.2 + 0.02 * index, 200 + 40 * index))
    (tmp_path / "clips" / "33.wav").write_bytes(b"")
    return tmp_path / "clips"


def options(**given: object) -> Options:
    return Options(device="cpu", threads=1, chunk_files=5, quiet=True, **given)  # type: ignore[arg-type]


def test_nodes_that_would_run_different_variants_are_refused() -> None:
    assert agreed(agreed("", "int8 on cpu"), "int8 on cpu") == "int8 on cpu"
    with pytest.raises(DeviceError, match=r"run int8 on cpu and fp16 on cuda; say which with --device and --variant"):
        agreed("int8 on cpu", "fp16 on cuda")


@pytest.mark.usefixtures("slow_workers")
@pytest.mark.timeout(600)
def test_a_node_that_dies_midway_costs_no_row(
    tiny_bundle: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.cluster_utils import Cluster

    predict_to_table([clips], tiny_bundle, tmp_path / "whole.csv", options())
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        doomed = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, configure_logging=False, log_to_driver=False)
        checkpoint = partial_folder(tmp_path / "t.csv") / "journal.jsonl"

        def kill() -> None:
            while not checkpoint.exists() or checkpoint.read_bytes().count(b"\n") < 5:
                time.sleep(0.01)
            cluster.remove_node(doomed, allow_graceful=False)

        failures = []
        failed = ray_pool._Pool._failed
        monkeypatch.setattr(ray_pool._Pool, "_failed", lambda *given: failures.append(given) or failed(*given))
        killer = threading.Thread(target=kill)
        killer.start()
        totals = predict_to_table([clips], tiny_bundle, tmp_path / "t.csv", options(ray_address="auto"))
        killer.join()
        assert (totals.files, totals.errors) == (60, 1)
        assert failures
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.usefixtures("slow_workers")
@pytest.mark.timeout(600)
def test_a_poisoned_file_is_a_row_of_its_own(tiny_bundle: Path, clips: Path, tmp_path: Path) -> None:
    for file in sorted(clips.iterdir())[12:]:
        file.unlink()
    (clips / "07.wav").write_bytes(b"")
    predict_to_table([clips], tiny_bundle, tmp_path / "whole.csv", options())
    (clips / "03.wav").rename(clips / "03 poison.wav")
    command = [sys.executable, "-m", "emotions.cli", "predict", "clips", "--bundle", str(tiny_bundle), "--quiet"]
    command += ["--output", "t.csv", "--chunk", "2", "--ray-address", "local", "--device", "cpu", "--threads", "1"]
    done = subprocess.run(
        [*command, "--log-format", "json"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["codes"] == {"crashed": 1, "not_audio": 1}
    rows = {cells["file"]: cells for cells in read(tmp_path / "t.csv")}
    assert rows.pop("03 poison.wav")["error"] == "crashed: the process that classified it died"
    whole = {cells["file"]: cells for cells in read(tmp_path / "whole.csv")}
    del whole["03.wav"]
    assert {name: cells["emotion"] for name, cells in rows.items()} == {
        name: cells["emotion"] for name, cells in whole.items()
    }


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_cluster_that_is_not_there_is_one_line(tiny_bundle: Path, clips: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "emotions.cli", "predict", "clips", "--bundle", str(tiny_bundle), "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "RAY_gcs_rpc_server_reconnect_timeout_s": "1"}
    done = subprocess.run(
        [*command, "--output", "t.csv", "--ray-address", "127.0.0.1:9"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "no Ray cluster at 127.0.0.1:9" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "t.csv").exists()


def test_a_chunk_that_fails_is_tried_again_and_then_halved() -> None:
    (again,) = Task(3, 0, 5).after_failure()
    assert again.after_failure() == [Task(3, 0, 2, 1), Task(3, 2, 5, 1)]
    assert Task(3, 0, 2, 1).after_failure() == [Task(3, 0, 1), Task(3, 1, 2)]
    assert Task(3, 1, 2).after_failure() == [Task(3, 1, 2, 1)]
    assert Task(3, 1, 2, 1).after_failure() == []


def test_the_heaviest_chunks_go_first(tmp_path: Path) -> None:
    chunks = []
    for index, size in enumerate((10, 30, 20)):
        (tmp_path / f"{index}.wav").write_bytes(bytes(size))
        chunks.append([InputFile(tmp_path / f"{index}.wav", "a"), InputFile(tmp_path / "gone.wav", "b")])
    assert heaviest_first([0, 1, 2], chunks) == [1, 2, 0]


def test_ray_is_an_extra(tiny_bundle: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serving.batch import options as batch_options

    monkeypatch.setattr(batch_options, "find_spec", lambda _: None)
    with pytest.raises(EmotionsError, match="'ray'"):
        predict_to_table([clips], tiny_bundle, tmp_path / "t.csv", options(ray_address="local"))


def test_a_file_that_kills_its_decoder_is_the_same_row_as_on_one_machine(
    tiny_bundle: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("EMOTIONS_DECODER_MEMORY", str(1 << 20))
    (clips / "dear.flac").write_bytes(hostile_audio.flac_silence(8, 192_000, 3.0))
    here, there = tmp_path / "here.csv", tmp_path / "there.csv"
    predict_to_table([clips], tiny_bundle, here, options())
    predict_to_table([clips], tiny_bundle, there, options(ray_address="local"))
    assert here.read_bytes() == there.read_bytes()
    with there.open(encoding="utf-8") as file:
        errors = {row["file"]: row["error"] for row in csv.DictReader(file)}
    assert errors["dear.flac"].startswith("crashed: ")
    assert sum(bool(error) for error in errors.values()) == 2
