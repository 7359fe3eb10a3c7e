from __future__ import annotations

import base64
import json
import textwrap
import time
from typing import Any

import httpx
import pytest

from serving.http.body.bounded_json import parse_bounded
from serving.http.errors import RequestError
from tests.serving.conftest import Service, StartService, error_of

JSON = {"content-type": "application/json"}


def b64(clip: bytes) -> str:
    return base64.b64encode(clip).decode()


WRITTEN = {
    "base64": b64,
    "lines": lambda clip: "\r\n".join(textwrap.wrap(b64(clip), 76)),
    "for URLs, no padding": lambda clip: base64.urlsafe_b64encode(clip).decode().rstrip("="),
    "data URI": lambda clip: f"data:audio/wav;base64,{b64(clip)}",
    "data URI of no type": lambda clip: f"data:;base64,{b64(clip)}",
    "data URI with codecs": lambda clip: f'data:audio/webm; codecs="opus,vorbis";base64,{b64(clip)}',
    "data URI in capitals": lambda clip: f"DATA:audio/wav;BASE64,{b64(clip)}",
    "data URI in percents": lambda clip: "data:audio/wav," + "".join(f"%{byte:02x}" for byte in clip[:4044]),
}


@pytest.fixture
def wav(clip: bytes) -> bytes:
    """A clip of odd length, so that its base64 is padded."""
    return clip + b"\0" * (1 + (1 - len(clip)) % 3)


def form(text: str | bytes, disposition: str = 'name="file"', headers: str = "") -> tuple[bytes, dict[str, str]]:
    content = text.encode() if isinstance(text, str) else text
    head = f"--q\r\nContent-Disposition: form-data; {disposition}\r\n{headers}\r\n".encode()
    return head + content + b"\r\n--q--\r\n", {"content-type": "multipart/form-data; boundary=q"}


def assert_same(service: Service, response: httpx.Response, clip: bytes) -> None:
    assert response.status_code == 200, response.text
    assert response.json()["probabilities"] == service.post(clip).json()["probabilities"]


@pytest.mark.parametrize("written", [name for name in WRITTEN if name != "data URI in percents"])
def test_a_recording_in_text_is_read_wherever_it_stands(service: Service, wav: bytes, written: str) -> None:
    text = WRITTEN[written](wav)
    assert_same(service, service.post(json.dumps({"audio": text}), headers=JSON), wav)
    assert_same(service, service.post(text, headers={"content-type": "text/plain; charset=utf-8"}), wav)
    content, headers = form(text)
    assert_same(service, service.post(content, headers=headers), wav)
    batch = service.post(content, "/v1/predict/batch", headers=headers).json()["results"][0]
    assert batch["probabilities"] == service.post(wav).json()["probabilities"]


def test_a_data_uri_is_known_by_its_start(service: Service, wav: bytes, clip: bytes) -> None:
    text = WRITTEN["data URI"](wav)
    assert_same(service, service.post(text), wav)
    assert_same(service, service.request("POST", "/v1/predict", files={"file": ("a.wav", text.encode())}), wav)
    percents = "data:audio/wav," + "".join(f"%{byte:02x}" for byte in clip)
    assert_same(service, service.post(percents), clip)


def test_json_is_known_by_its_type_or_its_start(service: Service, wav: bytes) -> None:
    content = json.dumps({"audio": b64(wav)})
    for kind in ("application/json", "application/json; charset=utf-8", "application/vnd.api+json", ""):
        assert_same(service, service.post(content, headers={"content-type": kind}), wav)
    assert_same(service, service.post(b"\xef\xbb\xbf" + content.encode(), headers=JSON), wav)
    assert_same(service, service.post("\n" + json.dumps({"audio": b64(wav)}, indent=2)), wav)


@pytest.mark.parametrize(
    "disposition",
    [
        "name=\"file\"; filename*=UTF-8''%C3%BCber.wav",
        "filename*=UTF-8''a.wav; name=file",
        'name="file"; FileName=a.wav',
        'name="file"; filename=""',
        "name=\"file\"; filename=a.wav; filename*=UTF-8''b.wav",
    ],
)
def test_a_file_whose_name_is_written_otherwise_is_a_file(service: Service, clip: bytes, disposition: str) -> None:
    content, headers = form(clip, disposition)
    assert_same(service, service.post(content, headers=headers), clip)
    assert service.post(content, "/v1/predict/batch", headers=headers).json()["errors"] == 0


def test_a_part_in_base64_is_read(service: Service, wav: bytes) -> None:
    content, headers = form(b64(wav), 'name="file"; filename="a.wav"', "Content-Transfer-Encoding: base64\r\n")
    assert_same(service, service.post(content, headers=headers), wav)


@pytest.mark.parametrize("text", ["clip.wav", "@clip.wav", "null", "über", b"\xff\xfe", "data:audio/wav;base64,???"])
def test_a_field_of_other_text_is_told_what_it_lacks(service: Service, text: Any) -> None:
    content, headers = form(text)
    for path in ("/v1/predict", "/v1/predict/batch"):
        response = service.post(content, path, headers=headers)
        assert error_of(response) == (400, "bad_request")
        assert "is text: give it a file name" in response.json()["error"]["message"]


def test_one_bad_text_in_a_file_of_a_batch_fails_alone(service: Service, clip: bytes) -> None:
    files = [("file", ("a.wav", clip)), ("file", ("b.json", b'{"label": "angry"}'))]
    body = service.request("POST", "/v1/predict/batch", files=files).json()
    assert body["errors"] == 1
    assert (body["results"][1]["error"]["status"], body["results"][1]["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"RIFF", "is not JSON"),
        (b'"UklGRg=="', '{"audio": "<base64>"}'),
        (b"[]", '{"audio": "<base64>"}'),
        (b"{}", '{"audio": "<base64>"}'),
        (b'{"audio": null}', '{"audio": "<base64>"}'),
        (b'{"audio": ["UklGRg=="]}', '{"audio": "<base64>"}'),
        (b'{"audio": "UklGRg==", "windows": true}', "no other key"),
        (b'{"audio": "?"}', "neither base64 nor a data URI"),
        ('{"audio": "ü"}'.encode(), "neither base64 nor a data URI"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"audio": ' + b"[" * 3 + b"]" * 3 + b"}", '{"audio": "<base64>"}'),
        (b'{"a":' * 30_000, "not JSON"),
        (b'{"audio": "' + b'x", "' * 1000 + b'"}', "not JSON"),
    ],
)
def test_json_of_another_kind_is_told(service: Service, body: bytes, reason: str) -> None:
    response = service.post(body, headers=JSON)
    assert error_of(response) == (400, "bad_request")
    assert reason in response.json()["error"]["message"]


def test_plain_words_are_told(service: Service) -> None:
    response = service.post("Which label, please?", headers={"content-type": "text/plain"})
    assert error_of(response) == (400, "bad_request")
    assert "the body is neither base64 nor a data URI" in response.text


def test_the_limit_is_of_the_recording_not_of_its_text(start: StartService, wav: bytes) -> None:
    enough, short = start(max_bytes=len(wav)), start(max_bytes=len(wav) - 1)
    text = b64(wav)
    content, headers = form(text)
    for service, status in ((enough, 200), (short, 413)):
        assert service.post(json.dumps({"audio": text}), headers=JSON).status_code == status
        assert service.post(content, headers=headers).status_code == status
    small = start(max_bytes=1000)
    assert error_of(small.post(json.dumps({"audio": "A" * 200_000}), headers=JSON)) == (413, "too_large")


def test_json_of_many_parts_is_refused_before_it_is_parsed() -> None:
    body = b"[" + b"{}," * 4_000_000 + b"{}]"
    started = time.process_time()
    with pytest.raises(RequestError, match="more than 4 times"):
        parse_bounded(body, 1 << 20, {b"{": 4, b'"': 64})
    assert time.process_time() - started < 0.2


def test_a_string_is_the_same_however_json_writes_it(service: Service, wav: bytes) -> None:
    expected = service.post(wav).json()["probabilities"]
    text = b64(wav)
    urn = f"data:audio/wav;base64,{text}"
    written = [
        text.replace("/", "\\/"),  # PHP
        text.replace("+", "\\u002B"),  # .NET
        "\\r\\n".join(textwrap.wrap(text, 76)),
        "".join(f"\\u{ord(character):04x}" for character in text),
        urn.replace("/", "\\/"),
    ]
    for each in written:
        assert service.post(f'{{"audio": "{each}"}}', headers=JSON).json()["probabilities"] == expected
        tensor = f'{{"inputs": [{{"name": "audio", "datatype": "BYTES", "shape": [1], "data": ["{each}"]}}]}}'
        response = service.post(tensor, "/v2/models/tiny/infer")
        assert response.status_code == 200, response.text


def test_only_a_recording_may_be_long(service: Service, wav: bytes) -> None:
    for body, status in (
        ({"audio": b64(wav), "x" * 100_000: 1}, 400),
        ({"x" * 100_000: b64(wav)}, 400),
        ({"audio": b64(wav), "note": ["x" * 100_000]}, 400),
    ):
        assert service.post(json.dumps(body), headers=JSON).status_code == status
    long = {"name": "audio", "datatype": "BYTES", "shape": [1], "data": [b64(wav)]}
    for infer in ({"id": "x" * 100_000, "inputs": [long]}, {"inputs": [{**long, "name": "x" * 100_000}]}):
        assert service.post(json.dumps(infer), "/v2/models/tiny/infer").status_code == 400


@pytest.mark.parametrize("path", ["/v1/predict", "/v2/models/tiny/infer"])
def test_json_beside_recordings_is_short(start: StartService, wav: bytes, path: str) -> None:
    long = {"name": "audio", "datatype": "BYTES", "shape": [1], "data": [b64(wav)]}
    body = json.dumps({"inputs": [long]} if "infer" in path else {"audio": b64(wav)}).encode()
    service = start(max_json_bytes=1000)
    assert service.post(body, path, headers=JSON).status_code == 200
    assert service.post(b" " * 1000 + body, path, headers=JSON).status_code == 413
    assert start(max_json_bytes=2000).post(b" " * 1000 + body, path, headers=JSON).status_code == 200


@pytest.mark.parametrize(
    "tail", [b'"' * 30_000_000, b"\\" * 30_000_000, b'\\"' * 15_000_000, b"[" * 30_000_000, b" " * 30_000_000]
)
def test_hostile_json_is_refused_at_once(tail: bytes) -> None:
    for body in (b'{"audio": ' + tail, b'{"audio": "' + tail):
        started = time.process_time()
        with pytest.raises(RequestError):
            parse_bounded(body, 1 << 20, {b"{": 4, b"[": 4, b'"': 64})
        assert time.process_time() - started < 0.2
