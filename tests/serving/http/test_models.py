"""Several models behind the routes of one worker."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from emotions.predictor import Predictor
from serving.http.api_keys import read_auth
from serving.http.middleware import RequestMiddleware
from serving.http.route_table import application, find_route
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from serving.worker.loading import declared_models, load_model
from serving.worker.shared import Shared
from serving.worker.startup import open_predictor
from serving.worker.state import Drain, WorkerState
from tests.serving.conftest import Service, error_of


class Several(Service):
    """The routes of one worker with several models."""

    def __init__(self, settings: Settings) -> None:
        self.registry = CollectorRegistry()
        self.worker = WorkerState(Metrics(self.registry), Drain(1, 0))
        self.worker.shared = Shared.of(settings)
        self.worker.models = declared_models(settings)
        for served in self.worker.models:
            load_model(served, self.worker, settings, 0, open_predictor)
        assert self.worker.engine is not None
        self.engine = self.worker.engine
        routes = application(self.worker)
        self.app = RequestMiddleware(routes, self.worker, read_auth(settings), routes)

    def close(self) -> None:
        for engine in self.worker.models.engines:
            engine.close()
        assert self.worker.shared is not None
        self.worker.shared.decoder.close()


@pytest.fixture
def broken(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A bundle whose model was altered."""
    path = tmp_path / "broken"
    shutil.copytree(tiny_bundle, path)
    with (path / "model.onnx").open("r+b") as file:
        file.seek(20)
        file.write(b"\0\0\0\0")
    return path


@pytest.fixture
def several(tiny_bundle: Path, affect_bundle: Path, broken: Path) -> Iterator[Several]:
    bundles = {"old": tiny_bundle, "affect": affect_bundle, "third": broken}
    service = Several(Settings(bundles=bundles, device="cpu", threads=1))  # type: ignore[arg-type]  # as a file has it
    yield service
    service.close()


def test_each_model_answers_below_its_name_and_the_first_without_one(
    several: Several, predictor: Predictor, clip: bytes
) -> None:
    plain, old, affect = (
        several.post(clip, f"/v1/{path}predict").json() for path in ("", "models/old/", "models/affect/")
    )
    expected = predictor.predict(clip).probabilities
    for body in (plain, old):
        assert body["probabilities"]["emotion"] == pytest.approx(expected["emotion"])
    assert [*affect["values"]["affect"]] == ["arousal", "valence"]
    assert several.request("GET", "/v1/models/affect").json()["dimensions"]
    batch = several.request("POST", "/v1/models/affect/predict/batch", files=[("file", clip), ("file", clip)]).json()
    assert [each["values"] for each in batch["results"]] == [affect["values"]] * 2
    for name, count in (("old", 2), ("affect", 3)):
        assert several.metric("emotions_model_recordings_total", model=name) == count
        assert several.metric("emotions_model_ready", model=name) == 1


def test_a_broken_third_is_unready_with_its_reason_and_the_two_answer(
    several: Several, broken: Path, clip: bytes
) -> None:
    listed = {each["name"]: each for each in several.request("GET", "/v1/models").json()["models"]}
    assert {name: (each["ready"], each["default"]) for name, each in listed.items()} == {
        "old": (True, True),
        "affect": (True, False),
        "third": (False, False),
    }
    assert "model.onnx" in listed["third"]["reason"]
    assert str(broken.parent) not in listed["third"]["reason"]
    for path in ("/v1/models/third/predict", "/v1/models/third/predict/batch"):
        refused = several.post(clip, path)
        assert error_of(refused) == (503, "not_ready")
        assert listed["third"]["reason"] in refused.json()["error"]["message"]
    assert error_of(several.request("GET", "/v1/models/third")) == (503, "not_ready")
    assert several.request("GET", "/v2/models/third/ready").status_code == 503
    assert several.metric("emotions_model_ready", model="third") == 0
    assert several.worker.ready
    assert several.post(clip, "/v1/models/old/predict").status_code == 200
    assert several.request("GET", "/v2/models/affect/ready").json() == {"name": "affect", "ready": True}


def test_the_protocol_names_models_as_the_settings_do(several: Several) -> None:
    data: dict[str, Any] = {"name": "waveform", "datatype": "FP32", "shape": [1, 8000], "data": [0.25, -0.25] * 4000}
    answer = several.request("POST", "/v2/models/affect/infer", json={"inputs": [data]}).json()
    assert answer["model_name"] == "affect"
    assert {each["name"] for each in answer["outputs"]} == {"emotion", "affect"}
    assert several.request("GET", "/v2/models/tiny").json()["name"] == "old"  # the bundle's own name, as before


@pytest.mark.parametrize("name", ["fourth", "OLD", "%2e%2e%2fold"])
def test_another_name_is_not_found(several: Several, clip: bytes, name: str) -> None:
    assert several.post(clip, f"/v1/models/{name}/predict").status_code == 404
    assert several.request("GET", f"/v2/models/{name}/ready").status_code == 404
    assert several.metric("emotions_in_flight") == 0


def test_a_full_model_refuses_and_the_others_answer(tiny_bundle: Path, clip: bytes) -> None:
    settings = Settings(bundles=(("a", tiny_bundle), ("b", tiny_bundle)), device="cpu", threads=1, max_in_flight=1)
    service = Several(settings)
    try:
        service.engine.admit("somebody")
        assert error_of(service.post(clip, "/v1/models/a/predict")) == (429, "too_many_requests")
        assert service.post(clip, "/v1/models/b/predict").status_code == 200
        assert service.metric("emotions_in_flight") == 1
        service.engine.release("somebody")
    finally:
        service.close()


def test_all_models_share_the_decoders_and_the_bytes_that_are_held(several: Several) -> None:
    first, second = several.worker.models.engines
    assert first.arrivals is second.arrivals
    assert first._shared.decoder is second._shared.decoder


def test_a_bundle_beside_named_ones_stays_the_default(tiny_bundle: Path, affect_bundle: Path, clip: bytes) -> None:
    service = Several(Settings(bundle=tiny_bundle, bundles=(("affect", affect_bundle),), device="cpu", threads=1))
    try:
        listed = service.request("GET", "/v1/models").json()["models"]
        assert [(each["name"], each["default"]) for each in listed] == [("tiny", True), ("affect", False)]
        assert "values" not in service.post(clip).json()
        assert "values" in service.post(clip, "/v1/models/affect/predict").json()
    finally:
        service.close()


def test_requests_are_counted_as_users_of_their_model_until_they_are_answered(several: Several, clip: bytes) -> None:
    async def check() -> None:
        async with several.client() as client:
            await asyncio.gather(*(client.post("/v1/models/affect/predict", content=clip) for _ in range(4)))

    asyncio.run(check())
    assert [engine.users for engine in several.worker.models.engines] == [0, 0]


def test_paths_name_models_only_where_there_are_any() -> None:
    paths = ("/v1/predict", "/v1/models", "/v1/models/a", "/v2/models/b/infer")
    assert [find_route(path)[1].get("name", "") for path in paths] == ["", "", "a", "b"]
    assert find_route("/v1/models/a/predict")[0].path == "/v1/models/{name}/predict"
    assert find_route("/v1/models/a/b/c")[0].path == "other"
