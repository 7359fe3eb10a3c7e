"""The protocol of Label Studio's ML backends, before a real service in process."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from emotions.cli import run
from emotions.client.client import Client
from serving.batch.label import recordings as recordings_module
from serving.batch.label.backend import MAX_TASKS, backend
from serving.batch.label.recordings import TaskRecordings
from tests.conftest import TINY_TARGETS
from tests.serving.conftest import Service

MakeBackend = Callable[..., TestClient]


@pytest.fixture
def folder(tmp_path: Path, clip: bytes) -> Path:
    (tmp_path / "data" / "day 1").mkdir(parents=True)
    (tmp_path / "data" / "day 1" / "ü.wav").write_bytes(clip)
    (tmp_path / "data" / "text.wav").write_bytes(b"no audio")
    (tmp_path / "secret.wav").write_bytes(clip)
    return tmp_path / "data"


@pytest.fixture
def make(service: Service, folder: Path) -> Iterator[MakeBackend]:
    def passed_on(request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        answer = service.request(request.method, request.url.path, content=request.read(), headers=headers)
        return httpx.Response(answer.status_code, content=answer.content, headers={"content-type": "application/json"})

    client = Client("http://service", transport=httpx.MockTransport(passed_on), retries=0)
    yield lambda login="", **known: TestClient(backend(client, TaskRecordings(folder, **known), login))
    client.close()


def task(url: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"audio": url}}


def predicted(backend: TestClient, *tasks: Any, config: str = "") -> list[dict[str, Any]]:
    answer = backend.post("/predict", json={"tasks": tasks, "label_config": config, "project": "1"})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_it_is_healthy_and_set_up_with_the_version_of_the_bundle(make: MakeBackend) -> None:
    told = make().get("/health").json()
    assert told["status"] == "UP"
    assert told["model_version"].startswith("tiny@")
    setup = {"project": "1.2", "schema": "<View/>", "hostname": "http://elsewhere", "access_token": "x"}
    assert make().post("/setup", json=setup).json()["model_version"] == told["model_version"]
    assert make().post("/webhook", json={"action": "ANNOTATION_CREATED"}).status_code == 200


@pytest.mark.parametrize("url", ["/data/local-files/?d=day%201/%C3%BC.wav", "day 1/ü.wav"])
def test_a_task_is_given_a_choice_for_each_control_of_the_page(make: MakeBackend, url: str) -> None:
    (found,) = predicted(make(), task(url))
    assert [each["from_name"] for each in found["result"]] == [*TINY_TARGETS]
    for each in found["result"]:
        assert each["value"]["choices"][0] in TINY_TARGETS[each["from_name"]]
        assert 0 < each["score"] <= 1
    first = next(iter(TINY_TARGETS))
    (shown,) = predicted(make(), task(url), config=f'<View><Choices name="{first}" toName="audio"/></View>')
    assert [each["from_name"] for each in shown["result"]] == [first]


@pytest.mark.parametrize(
    "url",
    [
        "/data/local-files/?d=../secret.wav",
        "../secret.wav",
        "/etc/passwd",
        "http://169.254.169.254/latest",
        "//host/x.wav",
        "file:///etc/passwd",
        "missing.wav",
        "text.wav",
        "",
        None,
        7,
        "a" * 10_000,
        "/data/upload/1/x.wav",
    ],
)
def test_a_recording_that_may_not_or_cannot_be_read_has_no_prediction_and_others_have(
    make: MakeBackend, url: Any
) -> None:
    bad, good = predicted(make(), task(url), task("day 1/ü.wav"))
    assert bad["result"] == []
    assert good["result"]


def test_a_link_out_of_the_folder_is_not_followed(make: MakeBackend, folder: Path) -> None:
    (folder / "link.wav").symlink_to(folder.parent / "secret.wav")
    assert predicted(make(), task("link.wav"))[0]["result"] == []


def test_a_large_recording_is_not_read_whole(make: MakeBackend, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings_module, "MAX_BYTES", 100)
    assert predicted(make(), task("day 1/ü.wav"))[0]["result"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"\xff", b"[]", b'{"tasks": 1}', b'{"tasks": [1]}', b"[" * 100_000, b" " * (5 << 20)],
    ids=lambda body: f"{len(body)} bytes",
)
def test_other_bodies_are_refused(make: MakeBackend, body: bytes) -> None:
    assert make().post("/predict", content=body).status_code == 400


def test_too_many_tasks_are_refused(make: MakeBackend) -> None:
    assert make().post("/predict", json={"tasks": [{}] * (MAX_TASKS + 1)}).status_code == 400


def test_without_the_service_it_is_unavailable(folder: Path) -> None:
    def gone(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("gone")

    with Client("http://service", transport=httpx.MockTransport(gone), retries=0) as client:
        there = TestClient(backend(client, TaskRecordings(folder)))
        assert there.get("/health").status_code == 503
        assert there.post("/predict", json={"tasks": [task("day 1/ü.wav")]}).status_code == 503


def test_with_a_login_nobody_else_is_answered(make: MakeBackend) -> None:
    locked = make("ann:secret")
    sent = [{}, {"authorization": "Basic !"}, {"authorization": "Basic " + base64.b64encode(b"ann:other").decode()}]
    for headers in sent:
        assert locked.post("/predict", json={"tasks": []}, headers=headers).status_code == 401
        assert locked.get("/health", headers=headers).status_code == 401
    assert locked.post("/predict", json={"tasks": []}, auth=("ann", "secret")).status_code == 200


def test_beyond_this_machine_a_login_is_needed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("EMOTIONS_LABEL_LOGIN", raising=False)
    assert run(["label", "backend", "--url", "http://127.0.0.1:1", "--host", "192.0.2.1"]) == 2
    assert "EMOTIONS_LABEL_LOGIN" in capsys.readouterr().err
