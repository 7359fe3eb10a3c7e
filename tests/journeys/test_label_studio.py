"""Corrections with a real Label Studio, in an environment of its own: tasks, predictions by the backend, labels."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from emotions.cli import run
from tests.conftest import TINY_TARGETS, WriteWav
from tests.servers import Server, free_port, running, start

VERSION = "1.23.2"
TOKEN = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - of a server that lives as long as the test
BIN = Path(sys.executable).parent
WAIT_SEC = 900


@contextmanager
def stopped(process: subprocess.Popen[bytes], is_up: Callable[[], bool], log: Path) -> Iterator[None]:
    """Wait until a server is up; end it afterwards."""
    try:
        until = time.monotonic() + WAIT_SEC
        while not is_up():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(1)
        yield
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> Callable[[], bool]:
    def is_up() -> bool:
        try:
            return httpx.get(url, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    return is_up


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, write_wav: WriteWav) -> Path:
    """A document root with a folder of recordings."""
    root, random = tmp_path_factory.mktemp("root"), np.random.default_rng(0)
    for at in range(8):
        write_wav(root / "calls" / f"{at}.wav", (0.1 * random.standard_normal(16_000)).astype(np.float32))
    return root


@pytest.fixture(scope="module")
def label_studio(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder, port = tmp_path_factory.mktemp("label_studio"), free_port()
    subprocess.run([BIN / "uv", "venv", "-q", "--python", sys.executable, folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    install = [BIN / "uv", "pip", "install", "-q", "--python", python, f"label-studio=={VERSION}"]
    subprocess.run(install, check=True, timeout=900)
    command = [str(folder / "env" / "bin" / "label-studio"), "start", "--no-browser", "--port", str(port)]
    command += ["--username", "a@example.org", "--password", "password", "--user-token", TOKEN]
    settings = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(root),
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "0",
    }
    url, log = f"http://localhost:{port}", folder / "log"
    with (
        stopped(start(command, folder, log, **settings), answers(f"{url}/health"), log),
        httpx.Client(base_url=url, headers={"authorization": f"Token {TOKEN}"}, timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("served"), EMOTIONS_BUNDLE=str(tiny_bundle)) as started:
        yield started


@pytest.fixture(scope="module")
def backend(server: Server, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("backend"), free_port()
    command = [str(BIN / "emotions"), "label", "backend", "--url", server.url, "--recordings", str(root)]
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    with stopped(start([*command, "--port", str(port)], folder, log), answers(f"{url}/health"), log):
        yield url


def posted(client: httpx.Client, path: str, content: object) -> dict[str, object]:
    answer = client.post(path, json=content)
    assert answer.is_success, answer.text
    found: dict[str, object] = answer.json()
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_tasks_are_played_predicted_labelled_and_come_back(
    label_studio: httpx.Client, backend: str, root: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    table, tasks = tmp_path / "answers.csv", tmp_path / "tasks.json"
    recordings = str(root / "calls")
    assert run(["predict", recordings, "--bundle", str(tiny_bundle), "--output", str(table), "--quiet"]) == 0
    prefix = "/data/local-files/?d=calls/"
    assert run(["label", "tasks", str(table), "--output", str(tasks), "--prefix", prefix]) == 0

    page = tasks.with_suffix(".xml").read_text()
    project = posted(label_studio, "/api/projects", {"title": "calls", "label_config": page})["id"]
    storage = {"project": project, "path": recordings, "use_blob_urls": True, "title": "calls"}
    posted(label_studio, "/api/storages/localfiles", storage)
    told = posted(label_studio, "/api/ml", {"project": project, "url": backend, "title": "emotions"})
    assert told["state"] == "CO"
    assert str(told["model_version"]).startswith("tiny@")
    made = posted(label_studio, f"/api/projects/{project}/import", json.loads(tasks.read_text()))
    assert (made["task_count"], made["prediction_count"]) == (8, 8)

    everything = {"selectedItems": {"all": True, "excluded": []}}
    posted(label_studio, f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}", everything)
    listed = label_studio.get("/api/tasks", params={"project": project, "fields": "all"}).json()["tasks"]
    target, labels = next(iter(TINY_TARGETS.items()))
    for each in listed:
        assert label_studio.get(each["data"]["audio"]).content[:4] == b"RIFF"
        task = label_studio.get(f"/api/tasks/{each['id']}").json()
        (predicted,) = [one for one in task["predictions"] if one["model_version"] == told["model_version"]]
        assert [result["from_name"] for result in predicted["result"]] == [*TINY_TARGETS]
        choice = {"from_name": target, "to_name": "audio", "type": "choices", "value": {"choices": [labels[1]]}}
        posted(label_studio, f"/api/tasks/{each['id']}/annotations", {"result": [choice]})

    export = label_studio.get(f"/api/projects/{project}/export", params={"exportType": "JSON"})
    (tmp_path / "export.json").write_bytes(export.content)
    back = tmp_path / "labels.csv"
    assert run(["data", "import", str(tmp_path / "export.json"), "--output", str(back)]) == 0
    rows = [*csv.DictReader(back.read_text(encoding="utf-8").splitlines())]
    assert {row["path"] for row in rows} == {f"calls/{at}.wav" for at in range(8)}
    assert {row["label"] for row in rows} == {labels[1]}
    assert len({row["rater"] for row in rows}) == 1
