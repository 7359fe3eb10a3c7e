"""A search as a user runs it: from one pipeline file to a table of answers; killed and resumed; on a cluster."""

from __future__ import annotations

import csv
import gc
import json
import random
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emotions.files.json_text import read_json, write_json
from tests.commands import Commands, finished
from tests.servers import free_port
from tests.training.conftest import make_corpus
from tests.training.tuning.conftest import build_tune
from training.run_folder.read import read_checkpoint
from training.tuning.records import Results

SEED_CONFIG = Path(__file__).parents[1] / "training" / "seed_configs" / "tune.TransformerClassifier.config.json"
REPOSITORY = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_wav: Callable[..., Path]) -> Path:
    return make_corpus(tmp_path_factory.mktemp("journey"), write_wav)


def environment() -> dict[str, str]:
    return {"PYTHONPATH": str(REPOSITORY)}


def run(config: Path, cwd: Path, *options: str) -> str:
    done = finished("train", "--config-file", config, *options, cwd=cwd, **environment())
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_file_tunes_reports_exports_and_predicts(data: Path, tmp_path: Path) -> None:
    document = json.loads(SEED_CONFIG.read_text(encoding="utf-8"))
    document["pipeline"] += [
        {"type": "print_tune_res", "format": "json"},
        {"type": "export", "source": "best_trial", "output": "bundle"},
        {"type": "predict", "inputs": str(data), "output": str(tmp_path / "table.csv")},
    ]
    write_json(tmp_path / "pipeline.json", document)
    values = {
        "dataset": json.dumps({"path": str(data), "speaker": {"column": "speaker"}, "targets": ["emotion", "state"]}),
        "tune.num_samples": "2",
        "tune.max_tune_epochs": "1",
        "learn_params.spectrogram_size": "128",
        "learn_params.padding_sec": "0.5",
    }
    options = [word for key, value in values.items() for word in ("--set", f"pipeline.0.{key}={value}")]
    printed = run(tmp_path / "pipeline.json", tmp_path, *options)
    report = json.JSONDecoder().raw_decode(printed[printed.index('{\n  "folder"') :])[0]
    assert Path(report["folder"]).parent == tmp_path / "tmp" / "tune"
    assert [trial["state"] for trial in report["trials"]] == ["done", "done"]
    assert {"layer_1_size", "patch_transformer_size", "base_lr", "batch_size"} <= {*report["trials"][0]}
    assert [trial["checkpoint"] is not None for trial in report["trials"]] == [True, False]
    manifest = read_json(tmp_path / "bundle" / "manifest.json")
    assert manifest["extra"]["search"]["trials"] == 2
    assert manifest["extra"]["search"]["spaces"]["model_architecture.transformer_depth"] == {"choice": [2, 3, 4]}
    assert {*manifest["metrics"]} == {"protocol", "validation", "test"}
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["emotion"] for row in rows} <= {"calm", "wild"}
    assert any((tmp_path / "logs").rglob("events.out.tfevents.*"))


def write_search(data: Path, root: Path, **tune: Any) -> Path:
    """A pipeline file of a plain search below ``root``."""
    root.mkdir(exist_ok=True)
    step = build_tune(data, root, tune={"num_samples": 4, "max_tune_epochs": 4, **tune})
    raw = step.model_dump(mode="json", exclude_unset=True)
    write_json(root / "config.json", {"pipeline": [{"type": "tune", **raw}], "seed": 3})
    return root / "config.json"


def outcome(root: Path) -> list[tuple[Any, ...]]:
    trials = Results(root / "tune" / "first").trials()
    return [(trial.number, trial.values, trial.state, trial.history) for trial in trials]


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What a search gives that runs by itself to its end."""
    root = tmp_path_factory.mktemp("whole")
    run(write_search(data, root), root)
    return outcome(root)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two Ray nodes of one core each on this machine, beside the driver's without any; started once."""
    from ray.cluster_utils import Cluster

    port = free_port()
    head = {"num_cpus": 0, "include_dashboard": False, "ray_client_server_port": port}
    found: Any
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        # A client's server imports torch before it answers: on a busy machine that takes longer than 30 s.
        patch.setenv("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "120")
        warnings.simplefilter("ignore", ResourceWarning)  # Ray leaves the logs of its client server open
        found = Cluster(initialize_head=True, head_node_args=head)
        gc.collect()
    found.client = f"ray://{found.head_node.node_ip_address}:{port}"
    found.workers = [found.add_node(num_cpus=1) for _ in range(2)]
    found.wait_for_nodes()
    try:
        yield found
    finally:
        found.shutdown()


def test_a_search_killed_three_times_ends_as_one_that_was_not(
    data: Path, tmp_path: Path, whole: list[tuple[Any, ...]], cluster: Any
) -> None:
    config = write_search(data, tmp_path / "killed", ray_address=cluster.address)
    moments, killed = random.Random(0), 0
    commands, results = Commands(tmp_path, **environment()), Results(tmp_path / "killed" / "tune" / "first")
    for _ in range(3):
        command = commands.start("train", "--config-file", str(config))
        command.until(has_trained(results, moments.randint(1, 4)))
        killed += command.ended(signal.SIGKILL)[0] == -signal.SIGKILL
    assert killed
    if results.read_search().state != "finished":
        run(config, tmp_path)
    assert outcome(tmp_path / "killed") == whole
    assert results.read_search().state == "finished"


def test_a_killed_search_that_learns_loses_and_repeats_no_trial(data: Path, tmp_path: Path, cluster: Any) -> None:
    config = write_search(
        data, tmp_path / "killed", num_samples=6, enable_tune_features=True, ray_address=cluster.address
    )
    results = Results(tmp_path / "killed" / "tune" / "first")
    command = Commands(tmp_path, **environment()).start("train", "--config-file", str(config))
    command.until(has_trained(results, 9))
    command.ended(signal.SIGKILL)
    before = {trial.number: trial for trial in results.trials()}
    ended = [trial for trial in before.values() if trial.ended]
    assert ended
    if results.read_search().state != "finished":
        run(config, tmp_path)
    after = results.trials()
    assert [trial.number for trial in after] == list(range(6))
    assert all(trial.ended for trial in after)
    for trial in after:
        earlier = before.get(trial.number)
        if earlier is not None:
            assert trial.values == earlier.values
            losses, known = trial.history["val/loss"], earlier.history.get("val/loss", [])
            assert losses[: len(known)] == known  # what was trained once was not trained again
    same = [trial.model_copy(update={"checkpoint": None}) for trial in after]
    assert all(trial.model_copy(update={"checkpoint": None}) in same for trial in ended)
    assert len({trial.values["learn_params.lr.base_lr"] for trial in after}) == 6


def has_trained(results: Results, more: int) -> Callable[[], bool]:
    """Whether the trials have trained ``more`` epochs beyond what is on record."""

    def epochs() -> int:
        return sum(trial.epochs for trial in results.trials())

    wanted = epochs() + more
    return lambda: epochs() >= wanted


def test_ctrl_c_stops_and_reports_and_the_search_goes_on(data: Path, tmp_path: Path, cluster: Any) -> None:
    more = {"num_samples": 2, "max_tune_epochs": 16}  # so that it outlasts the look
    config = write_search(data, tmp_path / "stopped", ray_address=cluster.address, **more)
    results = Results(tmp_path / "stopped" / "tune" / "first")
    command = Commands(tmp_path, **environment()).start("train", "--config-file", str(config))
    command.until(has_trained(results, 1))
    code, told = command.ended(signal.SIGINT)
    assert code == 130, told
    assert "trials ended, interrupted" in told
    assert f"of 2 trials have ended and are kept in {results.folder}; go on with: emotions train --config-file" in told
    assert "Traceback" not in told
    assert results.read_search().state == "interrupted"
    run(config, tmp_path)
    assert [trial.state for trial in results.trials()] == ["done"] * 2


def test_a_full_disk_stops_a_search_and_fails_no_trial(data: Path, tmp_path: Path, cluster: Any) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        config = write_search(data, tmp_path / "search", num_samples=2, ray_address=cluster.address)
        place = ["--set", f'pipeline.0.saving_data_params.tune_results_path=["{disk}"]']
        stopped = finished("train", "--config-file", config, *place, cwd=tmp_path, **environment())
        assert stopped.returncode == 2, stopped.stderr
        [line] = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
        results = Results(disk / "first")
        assert f"the disk is full; 0 of 2 trials have ended and are kept in {results.folder}: make room" in line
        assert not any(trial.ended for trial in results.trials())
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        run(config, tmp_path, *place)
        assert [trial.state for trial in results.trials()] == ["done"] * 2
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_search_outlives_a_node_of_its_cluster(data: Path, tmp_path: Path, cluster: Any) -> None:
    # A trial lasts longer than the other node takes to start a process, which imports torch: else one node runs all.
    long = {"num_samples": 2, "max_tune_epochs": 150}
    run(write_search(data, tmp_path / "alone", **long), tmp_path / "alone")
    config = write_search(data, tmp_path / "spread", ray_address=cluster.address, **long)
    results = Results(tmp_path / "spread" / "tune" / "first")
    both: set[str | None] = set()

    def both_train() -> bool:
        both.clear()
        both.update(trial.worker for trial in results.trials() if trial.epochs and not trial.ended)
        return len(both) == 2

    command = Commands(tmp_path, **environment()).start("train", "--config-file", str(config))
    command.until(both_train)
    cluster.remove_node(cluster.workers.pop(), allow_graceful=False)
    code, told = command.ended()
    cluster.workers.append(cluster.add_node(num_cpus=1))
    assert code == 0, told
    assert len(both) == 2
    assert "2 of 2 trials ended, finished" in told
    assert [trial.state for trial in results.trials()] == ["done"] * 2
    assert outcome(tmp_path / "spread") == outcome(tmp_path / "alone")


def test_nodes_that_share_no_folder_search_through_a_storage(data: Path, tmp_path: Path, cluster: Any) -> None:
    shutil.copytree(data, tmp_path / "far" / "recordings")
    config = write_search(
        Path("recordings"),
        tmp_path / "far",
        num_samples=2,
        max_tune_epochs=1,
        ray_address=cluster.client,
        storage_path=(tmp_path / "storage").as_uri(),
    )
    printed = run(config, tmp_path / "far")
    assert "2 of 2 trials ended, finished" in printed
    results = Results(tmp_path / "far" / "tune" / "first")
    written = read_checkpoint(results.best_run() / "last.ckpt")["callbacks"]
    where = next(state["dirpath"] for name, state in written.items() if name.startswith("BestCheckpoint"))
    assert not Path(where).is_relative_to(tmp_path)
    assert not Path(where).exists()
