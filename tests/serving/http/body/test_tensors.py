from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import TINY_TARGETS, Tone
from tests.serving.conftest import Service, StartService

INFER = "/v2/models/tiny/infer"
LENGTH = "inference-header-content-length"


def tensor(name: str, datatype: str, shape: list[int], content: bytes) -> tuple[dict[str, Any], bytes]:
    described = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(content)}}
    return described, content


def waveform(*rows: Any) -> tuple[dict[str, Any], bytes]:
    return tensor("waveform", "FP32", [len(rows), len(rows[0])], np.array(rows, "<f4").tobytes())


def length(*values: int) -> tuple[dict[str, Any], bytes]:
    return tensor("length", "INT64", [len(values)], np.array(values, "<i8").tobytes())


def audio(*recordings: bytes) -> tuple[dict[str, Any], bytes]:
    content = b"".join(struct.pack("<I", len(recording)) + recording for recording in recordings)
    return tensor("audio", "BYTES", [len(recordings)], content)


def infer(service: Service, *inputs: tuple[dict[str, Any], bytes], **rest: Any) -> httpx.Response:
    text = json.dumps({"inputs": [described for described, _ in inputs], **rest}).encode()
    return post(service, text, b"".join(content for _, content in inputs))


def post(service: Service, text: bytes, binary: bytes, size: Any = None, **headers: str) -> httpx.Response:
    sent = {LENGTH: str(len(text) if size is None else size), "content-type": "application/octet-stream"}
    return service.post(text + binary, INFER, headers={**sent, **headers})


def outputs(response: httpx.Response) -> dict[str, Any]:
    """The outputs of a binary response, checked to be all of it."""
    assert response.status_code == 200, response.text
    size = int(response.headers[LENGTH])
    body, rest = json.loads(response.content[:size]), response.content[size:]
    found = {}
    for output in body["outputs"]:
        assert "data" not in output
        count = output["parameters"]["binary_data_size"]
        found[output["name"]] = np.frombuffer(rest[:count], "<f4").reshape(output["shape"])
        rest = rest[count:]
    assert rest == b""
    return found


def assert_same(service: Service, found: dict[str, Any], clips: list[Any]) -> None:
    for target, scores in found.items():
        expected = [[*service.engine.predictor.predict(clip).probabilities[target].values()] for clip in clips]
        np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_binary_tensors_answer_as_the_library(service: Service, tone: Tone, clip: bytes) -> None:
    long, short = tone(1.3, 300), tone(0.4, 900)
    padded = np.zeros_like(long)
    padded[: len(short)] = short
    asked = {"parameters": {"binary_data_output": True}}
    both = infer(service, waveform(long, padded), length(len(long), len(short)), **asked)
    assert both.headers["content-type"] == "application/octet-stream"
    assert both.headers["x-request-id"]
    found = outputs(both)
    assert [*found] == [*TINY_TARGETS]
    assert_same(service, found, [long, short])
    assert_same(service, outputs(infer(service, audio(clip, clip), **asked)), [clip, clip])
    assert infer(service, length(len(long), len(short)), waveform(long, padded)).json()["outputs"][0]["data"]


def test_each_side_chooses_its_own_form(service: Service, tone: Tone) -> None:
    row = tone(0.6)
    in_json = {"name": "waveform", "datatype": "FP32", "shape": [1, len(row)], "data": row.tolist()}
    wanted = [{"name": "state", "parameters": {"binary_data": True}}, {"name": "emotion"}]
    response = service.request("POST", INFER, json={"inputs": [in_json], "outputs": wanted})
    size = int(response.headers[LENGTH])
    state, emotion = json.loads(response.content[:size])["outputs"]
    assert len(response.content) - size == state["parameters"]["binary_data_size"] == 8
    assert len(emotion["data"]) == len(TINY_TARGETS["emotion"])
    chosen = [{"name": "state", "parameters": {"binary_data": False}}]
    plain = infer(service, waveform(row), outputs=chosen, parameters={"binary_data_output": True})
    assert LENGTH not in plain.headers
    assert [*plain.json()["outputs"][0]] == ["name", "datatype", "shape", "parameters", "data"]
    mixed = infer(service, waveform(row), ({"name": "length", "datatype": "INT64", "shape": [1], "data": [9000]}, b""))
    assert mixed.status_code == 200


def test_a_body_without_json_is_a_recording(service: Service, clip: bytes) -> None:
    assert_same(service, outputs(post(service, b"", clip)), [clip])


def test_a_compressed_request_is_measured_decompressed(service: Service, tone: Tone) -> None:
    described, content = waveform(tone(0.6))
    text = json.dumps({"inputs": [described]}).encode()
    headers = {LENGTH: str(len(text)), "content-encoding": "gzip"}
    assert service.post(gzip.compress(text + content), INFER, headers=headers).status_code == 200


def _sized(described: dict[str, Any], size: Any) -> dict[str, Any]:
    return {**described, "parameters": {"binary_data_size": size}}


WAVE, SAMPLES = waveform([0.1] * 500)


@pytest.mark.parametrize(
    ("inputs", "binary", "reason"),
    [
        ([WAVE], SAMPLES[:-4], "has 1996 bytes in binary, not 2000"),
        ([WAVE], SAMPLES + b"more", "4 bytes behind the JSON belong to no input"),
        ([_sized(WAVE, 1999)], SAMPLES[:-1], "no whole FP32 numbers"),
        ([_sized(WAVE, 1996)], SAMPLES[:-4], "has 499 values, its shape says 500"),
        ([_sized(WAVE, -1)], SAMPLES, "binary_data_size"),
        ([_sized(WAVE, 2000.0)], SAMPLES, "binary_data_size"),
        ([_sized(WAVE, True)], SAMPLES, "binary_data_size"),
        ([_sized(WAVE, 2**62)], SAMPLES, "not 4611686018427387904"),
        ([{**WAVE, "data": [0.1] * 500}], SAMPLES, "either data or binary_data_size"),
        ([{**WAVE, "parameters": {}}], b"", "either data or binary_data_size"),
        ([{**WAVE, "shape": [2**40, 500]}], SAMPLES, "rows"),
        ([{**WAVE, "shape": [0, 500]}], SAMPLES, "has no rows"),
        ([{**WAVE, "parameters": {"shared_memory_region": "r"}, "data": []}], b"", "is not supported"),
        ([WAVE, WAVE], SAMPLES * 2, "named twice"),
        ([audio(b"RIFF")[0]], b"\xff\xff\xff\xffRIFF", "1 strings"),
        ([{**audio(b"RIFF")[0], "shape": [2]}], audio(b"RIFF")[1], "2 strings"),
        ([_sized(audio(b"")[0], 3)], b"\0\0\0", "1 strings"),
        ([{**audio(b"ab", b"c")[0], "shape": [1]}], audio(b"ab", b"c")[1], "1 strings"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(
    service: Service, inputs: Any, binary: bytes, reason: str
) -> None:
    response = post(service, json.dumps({"inputs": inputs}).encode(), binary)
    assert response.status_code == (413 if reason == "rows" else 400)
    assert reason in response.json()["error"]


@pytest.mark.parametrize("size", ["x", "-1", "1.0", "²", "1" * 30, "10000000"])
def test_a_length_of_json_that_cannot_be_is_refused(service: Service, size: str) -> None:
    response = post(service, b"{}", b"", size.encode("latin-1"))
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (["0.1"] * 500, "something else than numbers"),
        ([True] * 500, "something else than numbers"),
        ([None] * 500, "something else than numbers"),
        ([[0.1] * 250] * 2, "has rows of another size"),
        ([0.1] * 499 + [[0.1]], "something else than numbers"),
        ([0.1] * 499 + [10**400], "something else than numbers"),
        ([0.1] * 499, "has 499 values, its shape says 500"),
    ],
)
def test_only_numbers_are_numbers(service: Service, values: Any, reason: str) -> None:
    described = {"name": "waveform", "datatype": "FP32", "shape": [1, 500], "data": values}
    response = service.request("POST", INFER, json={"inputs": [described]})
    assert (response.status_code, reason in response.json()["error"]) == (400, True), response.text


@pytest.mark.parametrize("lengths", [[400.0], [400.9], ["400"], [True], [None], [2**63], [-1], [[400]]])
def test_lengths_are_whole_numbers(service: Service, lengths: Any) -> None:
    described = {"name": "waveform", "datatype": "FP32", "shape": [1, 500], "data": [0.1] * 500}
    inputs = [described, {"name": "length", "datatype": "INT64", "shape": [1], "data": lengths}]
    assert service.request("POST", INFER, json={"inputs": inputs}).status_code == 400


@pytest.mark.parametrize("shape", [[True, 500], ["1", 500], [1.0, 500], [1, 500.0], [], [1, 1, 500], [None, 500], 500])
def test_shapes_are_whole_numbers(service: Service, shape: Any) -> None:
    described = {"name": "waveform", "datatype": "FP32", "shape": shape, "data": [0.1] * 500}
    assert service.request("POST", INFER, json={"inputs": [described]}).status_code == 400


def test_names_are_there_once(service: Service) -> None:
    described = {"name": "waveform", "datatype": "FP32", "shape": [1, 500], "data": [0.1] * 500}
    twice: list[dict[str, Any]] = [
        {"inputs": [described, described]},
        {"inputs": [described], "outputs": [{"name": "state"}, {"name": "state"}]},
        {"inputs": [described], "outputs": [{"name": "state"}] * 300_000},
    ]
    for body in twice:
        assert service.request("POST", INFER, json=body).status_code == 400
    top = {"inputs": [described], "outputs": [{"name": "state", "parameters": {"classification": 3}}]}
    assert "'classification' is not supported" in service.request("POST", INFER, json=top).text


@pytest.mark.parametrize("shape", [[60_000_000, 0], [2**40, 0], [2**62, 2**62], [0, 2**62], [2**62, 0], [10**30, 0]])
def test_a_shape_without_data_costs_nothing(service: Service, shape: list[int]) -> None:
    body = {"inputs": [{"name": "waveform", "datatype": "FP32", "shape": shape, "data": []}]}
    binary = {"inputs": [_sized({**WAVE, "shape": shape}, 0)]}
    service.post(b"{}", INFER)  # what the first request imports is no cost of these
    tracemalloc.start()
    try:
        responses = [service.request("POST", INFER, json=body), post(service, json.dumps(binary).encode(), b"")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [response.status_code in {400, 413} for response in responses] == [True, True]
    assert peak < 4 << 20


@pytest.mark.parametrize("body", [b'{"inputs": [' + b"{}," * 1_000_000 + b"{}]}", b'{"inputs": ' + b"[" * 500_000])
def test_json_of_many_parts_costs_next_to_nothing(service: Service, body: bytes) -> None:
    service.post(b"{}", INFER)  # what the first request imports is no cost of these
    tracemalloc.start()
    try:
        response = service.post(body, INFER)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert response.status_code == 400
    assert peak < 8 * len(body)


def test_more_numbers_than_json_is_for_are_refused(start: StartService) -> None:
    service = start()
    described = {"name": "waveform", "datatype": "FP32", "shape": [1, 2**21], "data": [0] * 2**21}
    response = service.request("POST", INFER, json={"inputs": [described]})
    assert response.status_code == 413
    assert "send them in binary" in response.json()["error"]


def test_huge_samples_are_not_finite(service: Service) -> None:
    described = {"name": "waveform", "datatype": "FP32", "shape": [1, 500], "data": [1e39] * 500}
    assert service.request("POST", INFER, json={"inputs": [described]}).status_code == 422


def test_the_server_names_the_extension(service: Service) -> None:
    assert service.request("GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
