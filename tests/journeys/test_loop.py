"""After going live: drift, tasks for people, training on their answers, shadow, swap, and no drift any more."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.cli import run
from emotions.files.json_text import read_json
from tests.journeys.test_drift import telephone
from tests.journeys.test_versions import load, until
from tests.servers import Server, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SPEAKERS = ("03", "08", "09", "10", "11", "12")
WINDOW = "150"


@pytest.fixture(scope="module")
def recordings(emodb4: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The recordings of six speakers, and the same over a telephone, under names of their own."""
    folder = tmp_path_factory.mktemp("recordings")
    for path in sorted(emodb4.glob("*/*.wav")):
        if path.name[:2] in SPEAKERS:
            samples, _ = soundfile.read(path, dtype="float32")
            name = Path(path.parent.name) / path.name
            for place, heard in ((folder / "plain" / name, samples), (folder / "calls" / name, telephone(samples))):
                place.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(place, np.clip(heard, -1, 1), SAMPLE_RATE)
    return folder / "plain", folder / "calls"


def ok(*arguments: str | Path) -> None:
    assert run([str(each) for each in arguments]) == 0


def trained(folder: Path, name: str, dataset: dict[str, object]) -> Path:
    """Train a small classifier, and export it; its bundle."""
    step = {
        "type": "train",
        "model": "FunctionalsClassifier",
        "model_architecture": {"members": 2, "layer_1_size": 32, "input_dropout": 0.3},
        "learn_params": {"max_epoch": 25, "batch_size": 16, "padding_sec": 3, "lr": {"base_lr": 0.003}},
        "dataset": dataset,
        "saving_data_params": {"saved_checkpoints_path": f"runs/{name}"},
    }
    config = folder / f"{name}.json"
    config.write_text(json.dumps({"pipeline": [step], "seed": 0, "load_dataset_workers_num": 0}))
    ok("train", "--config-file", config, "--root", folder)
    ok("export", "--run", folder / "runs" / name, "--output", folder / "bundles" / name)
    return folder / "bundles" / name


def answered_by_people(tasks: Path, export: Path) -> None:
    """An export of Label Studio in which somebody has given each task the class of its folder."""
    exported = []
    for number, task in enumerate(read_json(tasks)):
        (label,) = re.findall(r"(Angry|Happy|Neutral|Sad)/", json.dumps(task["data"]))[:1]
        choice = {"from_name": "emotion", "to_name": "audio", "type": "choices", "value": {"choices": [label]}}
        exported.append({**task, "id": number, "annotations": [{"completed_by": 1, "result": [choice]}]})
    export.write_text(json.dumps(exported))


def furthest(server: Server, paths: Iterable[Path], bundle: str = "") -> float:
    """Let the service hear recordings: how far the statistic is that has drifted furthest, of its limit."""
    with httpx.Client(timeout=30) as client:
        for path in paths:
            assert client.post(f"{server.url}/v1/predict", content=path.read_bytes()).status_code == 200
        time.sleep(0.3)  # metrics are written a moment later
        found = re.findall(
            rf'emotions_drift_ratio{{bundle="{bundle}[^}}]*}} ([\d.e+-]+)', client.get(f"{server.url}/metrics").text
        )
    return max(map(float, found))


def of(folder: Path) -> Sequence[Path]:
    found = sorted(folder.glob("*/*.wav"))
    return [found[at] for at in np.random.default_rng(0).permutation(len(found))][: int(WINDOW)]


def test_the_loop_from_drift_to_a_model_that_knows_the_telephone(recordings: tuple[Path, Path], tmp_path: Path) -> None:
    plain, calls = recordings
    speaker = {"pattern": r"^[^/]+/(\d\d)"}
    old = trained(tmp_path, "old", {"path": str(plain), "speaker": speaker, "split": {"val": 0.2, "test": 0.2}})
    ok("drift", "reference", old, "--data", plain)

    link = tmp_path / "live"
    link.symlink_to(old)
    settings = {"EMOTIONS_BUNDLE": str(link), "EMOTIONS_DRIFT_WINDOW": WINDOW}
    with running(tmp_path, **settings) as server:
        assert furthest(server, of(plain)) < 1
        assert furthest(server, of(calls)) > 1

    ok("predict", calls, "--bundle", old, "--output", tmp_path / "answers.csv")
    tasks, export = tmp_path / "tasks.json", tmp_path / "export.json"
    ok("label", "tasks", tmp_path / "answers.csv", "--reference", old, "--output", tasks, "--count", "120")
    answered_by_people(tasks, export)
    ok("data", "import", export, "--output", tmp_path / "labels.csv")
    name_speakers(tmp_path / "labels.csv")
    joined = tmp_path / "joined.csv"
    merge = ["label", "merge", tmp_path / "labels.csv", "--run", tmp_path / "runs" / "old"]
    ok(*merge, "--recordings", calls, "--output", joined)
    rated = {"emotion": {"raters": "rater"}}
    new = trained(tmp_path, "new", {"path": str(joined), "targets": rated, "split": {"by": "split"}})
    ok("label", "report", "--before", old, "--after", new, "--data", joined, "--output", tmp_path / "changes")
    assert (tmp_path / "changes" / "report.html").is_file()
    ok("drift", "reference", new, "--data", calls, "--what", "calls of the last week")

    settings |= {"EMOTIONS_SHADOW": str(new), "EMOTIONS_RELOAD_SEC": "0.2"}
    with running(tmp_path, **settings) as server:
        assert furthest(server, of(calls)) > 1
        compared = r'emotions_shadow_recordings_total\{outcome="compared"\} [1-9]'
        until(lambda: bool(re.search(compared, httpx.get(f"{server.url}/metrics").text)))
        clip = of(calls)[0].read_bytes()
        with load(server, clip, 4) as answers:
            until(lambda: len(answers) > 20)
            (tmp_path / "next").symlink_to(new)
            (tmp_path / "next").replace(link)
            until(lambda: answers[-1][1] != answers[0][1])
        assert {status for status, _ in answers} == {200}
        (swapped,) = {bundle for _, bundle in answers} - {answers[0][1]}  # the last answer may be of the old one
        # They are compared each 25: so many more, and none of the window is of the load.
        assert furthest(server, [*of(calls), *of(calls)[:25]], swapped) < 1


def name_speakers(table: Path) -> None:
    """Add the column of the speaker to a table of labels."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "speaker"])
        writer.writeheader()
        writer.writerows({**row, "speaker": Path(row["path"]).name[:2]} for row in rows)
