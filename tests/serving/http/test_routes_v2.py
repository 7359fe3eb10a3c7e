from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from emotions.predictor import Predictor
from tests.conftest import TINY_TARGETS, Tone
from tests.serving.conftest import Service, StartService

INFER = "/v2/models/tiny/infer"


def waveform(*rows: Any, name: str = "waveform") -> dict[str, Any]:
    return {
        "name": name,
        "datatype": "FP32",
        "shape": [len(rows), len(rows[0])],
        "data": [float(value) for row in rows for value in row],
    }


def length(*values: int) -> dict[str, Any]:
    return {"name": "length", "datatype": "INT64", "shape": [len(values)], "data": [*values]}


def audio(*recordings: bytes) -> dict[str, Any]:
    data = [base64.b64encode(recording).decode() for recording in recordings]
    return {"name": "audio", "datatype": "BYTES", "shape": [len(data)], "data": data}


def infer(service: Service, *inputs: Any, path: str = INFER, **rest: Any) -> httpx.Response:
    return service.request("POST", path, json={"inputs": [*inputs], **rest})


def to_request_error(response: httpx.Response) -> tuple[int, str]:
    body = response.json()
    assert set(body) == {"error"}
    assert "x-request-id" in response.headers
    return response.status_code, body["error"]


def assert_same(service: Service, response: httpx.Response, clips: list[Any]) -> None:
    predictor = service.engine.predictor
    outputs = {output["name"]: output for output in response.json()["outputs"]}
    assert [*outputs] == [*TINY_TARGETS]
    for target, labels in TINY_TARGETS.items():
        output = outputs[target]
        assert (output["datatype"], output["shape"]) == ("FP32", [len(clips), len(labels)])
        assert output["parameters"]["labels"] == labels
        expected = [[*predictor.predict(clip).probabilities[target].values()] for clip in clips]
        assert output["data"] == pytest.approx(np.concatenate(expected).tolist(), abs=1e-5)


def test_tensors_answer_as_the_library_with_windows_of_their_own(service: Service, tone: Tone) -> None:
    long, short = tone(1.3, 300), tone(0.4, 900)
    padded = np.zeros_like(long)
    padded[: len(short)] = short
    response = infer(service, waveform(long, padded), length(len(long), len(short)), id="mine")
    assert_same(service, response, [long, short])
    body = response.json()
    assert (body["model_name"], body["id"]) == ("tiny", "mine")
    assert service.engine.predictor.bundle.id == f"tiny@{body['model_version']}"


def test_nested_data_and_recordings_are_taken_as_well(service: Service, tone: Tone, clip: bytes) -> None:
    rows = [tone(0.5, 300), tone(0.5, 900)]
    nested = {**waveform(*rows), "data": [row.tolist() for row in rows]}
    assert_same(service, infer(service, nested), rows)
    assert_same(service, infer(service, audio(clip, clip)), [clip, clip])


def test_outputs_can_be_chosen(service: Service, clip: bytes) -> None:
    response = infer(service, audio(clip), outputs=[{"name": "state"}])
    assert [output["name"] for output in response.json()["outputs"]] == ["state"]


def test_the_server_and_the_model_describe_themselves(service: Service, predictor: Predictor) -> None:
    assert service.request("GET", "/v2").json()["name"] == "emotions-toolkit"
    body = service.request("GET", "/v2/models/tiny").json()
    version = predictor.bundle.id.rpartition("@")[2]
    assert body["versions"] == [version]
    assert [tensor["name"] for tensor in body["inputs"]] == ["waveform", "length", "audio"]
    assert [tensor["name"] for tensor in body["outputs"]] == [*TINY_TARGETS]
    assert service.request("GET", f"/v2/models/tiny/versions/{version}").json() == body
    for path in ("/v2/models/other", "/v2/models/tiny/versions/1", "/v2/models/other/ready"):
        status, message = to_request_error(service.request("GET", path))
        assert (status, "this is 'tiny'" in message) == (404, True)


def test_it_is_ready_when_the_model_is_and_no_longer_at_the_end(service: Service) -> None:
    paths = ("/v2/health/ready", "/v2/models/tiny/ready")
    assert [service.request("GET", path).status_code for path in paths] == [200, 200]
    service.worker.drain._ends = 0.0
    assert [to_request_error(service.request("GET", path))[0] for path in paths] == [503, 503]
    service.worker.engine = None
    assert [to_request_error(service.request("GET", path))[0] for path in paths] == [503, 503]
    assert service.request("GET", "/v2/health/live").status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        ({}, "inputs: field required"),
        ({"inputs": []}, "inputs are 'waveform'"),
        ({"inputs": [waveform([0.1], name="x")]}, "inputs are 'waveform'"),
        ({"inputs": [length(3)]}, "inputs are 'waveform'"),
        ({"inputs": [{**waveform([0.1]), "datatype": "FP16"}]}, "inputs.0.datatype"),
        ({"inputs": [{**waveform([0.1]), "datatype": "INT64"}]}, "'waveform' is FP32 with 2 dimensions"),
        ({"inputs": [{**waveform([0.1]), "shape": [1]}]}, "'waveform' is FP32 with 2 dimensions"),
        ({"inputs": [{**waveform([0.1]), "shape": [1, 10**12]}]}, "its shape says 1000000000000"),
        ({"inputs": [{**waveform([0.1]), "shape": [1, -1]}]}, "inputs.0.shape"),
        ({"inputs": [{**waveform([0.1]), "data": ["a"]}]}, "something else than numbers"),
        ({"inputs": [{**waveform([0.1, 0.2]), "data": [[0.1], [0.2, 0.3]]}]}, "something else than numbers"),
        ({"inputs": [waveform([0.1] * 500), length(501)]}, "how many of its samples"),
        ({"inputs": [waveform([0.1] * 500), length(1, 2)]}, "how many of its samples"),
        ({"inputs": [{**length(1), "data": [10**30]}, waveform([0.1])]}, "something else than numbers"),
        ({"inputs": [{**audio(b"x"), "data": ["?"]}]}, "base64"),
        ({"inputs": [{**audio(b"x"), "data": [1]}]}, "base64"),
        ({"inputs": [{**audio(b"x"), "shape": [2]}]}, "its shape says 2"),
        ({"inputs": [waveform([0.1] * 500)], "outputs": [{"name": "x"}]}, "no output is called 'x'"),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(service: Service, body: Any, reason: str) -> None:
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    status, message = to_request_error(service.request("POST", INFER, **content))
    assert status == 400
    assert reason in message


def test_a_row_that_cannot_be_used_fails_the_request_and_is_named(start: StartService, clip: bytes, tone: Tone) -> None:
    service = start(max_seconds=1, max_items=2, max_bytes=400_000)
    assert to_request_error(infer(service, audio(b"text", clip)))[0] == 415
    silent = np.zeros(16_000)
    assert to_request_error(infer(service, waveform(tone(1.0), silent))) == (
        422,
        to_request_error(infer(service, waveform(tone(1.0), silent)))[1],
    )
    assert "row 1" in to_request_error(infer(service, waveform(tone(1.0), silent)))[1]
    assert to_request_error(infer(service, waveform(tone(1.1))))[0] == 413
    assert to_request_error(infer(service, audio(clip, clip, clip)))[0] == 413
    assert to_request_error(service.post(b"x" * 400_001, INFER))[0] == 413
    nan = {"name": "waveform", "datatype": "FP32", "shape": [1, 500], "data": [0.1] * 499 + [None]}
    assert to_request_error(infer(service, nan))[0] in {400, 422}
    for huge in (3e38, -1.1e6):
        row = {"name": "waveform", "datatype": "FP32", "shape": [1, 8000], "data": [0.1] * 7999 + [huge]}
        status, message = to_request_error(infer(service, row))
        assert (status, "full scale is 1" in message) == (422, True)


def test_a_row_that_was_cut_off_is_marked(service: Service, clip: bytes) -> None:
    assert "parameters" not in infer(service, audio(clip)).json()
    warnings = infer(service, audio(clip, clip[:-100])).json()["parameters"]["warnings"]
    assert warnings[0] == ""
    assert warnings[1].startswith("truncated: is cut off")


def test_errors_of_its_paths_have_its_form(service: Service) -> None:
    assert to_request_error(service.request("GET", "/v2/nothing"))[0] == 404
    assert to_request_error(service.request("GET", INFER))[0] == 405
    service.worker.engine = None
    assert to_request_error(infer(service, waveform([0.1] * 500)))[0] == 503
