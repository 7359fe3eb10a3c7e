"""Requests to the service: recordings in every envelope that it takes, and JSON with and without tensors in binary."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

from tests.security.fuzz.mutate import NUMBERS, lengths, mutated, mutated_text, mutated_tree, odd_text
from tests.security.fuzz.seeds import recordings

PREDICT, BATCH, INFER = "/v1/predict", "/v1/predict/batch", "/v2/models/tiny/infer"
JSON_TYPE, TEXT_TYPE = "application/json", "text/plain"
_BOUNDARY = "fuzzed"


@dataclass(frozen=True)
class Request:
    """A POST: path, further headers, body."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def raw(self) -> bytes:
        """As it is sent."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: service", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def recording(random: Random) -> bytes:
    """A recording that is broken in some way."""
    seeds = [*recordings().values()]
    return mutated(random, random.choice(seeds), seeds)


def recording_request(random: Random) -> Request:
    """Broken recordings as they are sent: most often as they are, else in one of the envelopes."""
    content = recording(random)
    made = Request(PREDICT, content) if random.random() < 0.6 else random.choice(_ENVELOPES)(random, content)
    if random.random() < 0.1:
        body = mutated(random, made.body, [*recordings().values()])
        return Request(made.path, body, made.headers)
    return made


def json_request(random: Random) -> Request:
    """A JSON body of ``/v1/predict`` or ``/infer``: its tree, its text or its tensors in binary are broken."""
    return random.choice((_json_audio, _infer_json, _infer_json, _infer_binary, _infer_binary))(random)


def _form(random: Random, content: bytes) -> Request:
    parts = [content] if random.random() < 0.5 else [recording(random) for _ in range(random.choice((1, 2, 5, 70)))]
    body = b"".join(_part(random, part) for part in parts) + f"--{_BOUNDARY}--\r\n".encode()
    path = PREDICT if len(parts) == 1 and random.random() < 0.7 else BATCH
    return Request(path, body, (("Content-Type", f"multipart/form-data; boundary={_BOUNDARY}"),))


def _part(random: Random, content: bytes) -> bytes:
    name = random.choice(("file", "file", "file", "File", "", odd_text(random)))
    file_name = random.choice(
        ('; filename="a.wav"', "; filename*=UTF-8''a", "", '; filename="../../x"', "; filename=\\")
    )
    extra = random.choice(("", "", "Content-Type: audio/wav\r\n", "Content-Transfer-Encoding: base64\r\n", ": x\r\n"))
    if extra.startswith("Content-Transfer") and random.random() < 0.8:
        content = base64.encodebytes(content)
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file_name}\r\n{extra}\r\n'
    return head.encode("utf-8", "surrogatepass") + content + b"\r\n"


def _base64(random: Random, content: bytes) -> Request:
    encode = random.choice((base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes))
    return Request(PREDICT, mutated_text(random, encode(content)), (("Content-Type", TEXT_TYPE),))


def _data_uri(random: Random, content: bytes) -> Request:
    kind = random.choice(("audio/wav", "", "audio/ogg;codecs=opus", "x" * 300, ",", ";base64,"))
    in_base64 = random.random() < 0.6
    text = base64.b64encode(content) if in_base64 else quote_from_bytes(content[:8000]).encode()
    body = f"data:{kind}{';base64' if in_base64 else ''},".encode() + text
    return Request(PREDICT, mutated_text(random, body), (("Content-Type", random.choice((TEXT_TYPE, "audio/wav"))),))


def _in_json(random: Random, content: bytes) -> Request:
    body = {"audio": base64.b64encode(content).decode()}
    return Request(PREDICT, mutated_text(random, _text(body)), (("Content-Type", JSON_TYPE),))


def _gzip(random: Random, content: bytes) -> Request:
    members = [gzip.compress(content, 1)] * random.choice((1, 1, 1, 2, 30))
    body = b"".join(members) + random.choice((b"", b"", bytes(100), b"x"))
    if random.random() < 0.4:
        body = mutated(random, body, [gzip.compress(bytes(1 << 20), 1), body])
    encoding = random.choice(("gzip", "gzip", "gzip", "x-gzip", "gzip, gzip", "identity", "deflate", "br"))
    return Request(PREDICT, body, (("Content-Encoding", encoding),))


def _raw_infer(random: Random, content: bytes) -> Request:
    return Request(INFER, content, (("Inference-Header-Content-Length", "0"),))


def _bytes_tensor(random: Random, content: bytes) -> Request:
    parts = [content] * random.choice((1, 1, 2, 65))
    data = lengths(random, parts)
    size = len(data) if random.random() < 0.8 else random.choice(NUMBERS)
    tensor = {"name": "audio", "datatype": "BYTES", "shape": [len(parts)], "parameters": {"binary_data_size": size}}
    return _binary_request(random, {"inputs": [tensor]}, data)


_ENVELOPES: Sequence[Callable[[Random, bytes], Request]] = (
    _form, _form, _base64, _data_uri, _in_json, _gzip, _raw_infer, _bytes_tensor,
)  # fmt: skip


def _text(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _broken(random: Random, document: Any) -> bytes:
    """A document as text: as it is, with a changed tree, or with changed text."""
    odds = random.choice((0, 0, 0, 0.02, 0.05, 0.15))
    in_text = random.random() < 0.2
    text = _text(mutated_tree(random, document, odds) if odds else document)
    return mutated_text(random, text) if in_text else text


def _json_audio(random: Random) -> Request:
    body: Any = {"audio": base64.b64encode(recording(random)[:3000]).decode(), "windows": True}
    return Request(PREDICT, _broken(random, body), (("Content-Type", JSON_TYPE),))


def _document(random: Random) -> dict[str, Any]:
    rows, samples = random.choice((1, 1, 2, 64)), random.choice((400, 500, 8000, 8000, 3))
    if random.random() < 0.3:
        data: list[Any] = [base64.b64encode(recording(random)[:3000]).decode() for _ in range(min(rows, 2))]
        inputs: list[Any] = [{"name": "audio", "datatype": "BYTES", "shape": [len(data)], "data": data}]
    else:
        samples = min(samples, 20_000 // rows)
        values = [random.choice((0.1, -0.2, 0, 1)) for _ in range(40)]
        row = (values * (1 + samples // 40))[:samples]
        row[0] = random.choice((0.3, 0.3, 0.3, 0.3, 1e7, 3e38, 1e308))
        nested = random.random() < 0.5
        waveform = {
            "name": "waveform",
            "datatype": "FP32",
            "shape": [rows, samples],
            "data": [row] * rows if nested else row * rows,
        }
        length = {"name": "length", "datatype": "INT64", "shape": [rows], "data": [samples] * rows}
        inputs = [waveform, *([length] if random.random() < 0.5 else [])]
    outputs = [{"name": "emotion", "parameters": {"binary_data": random.random() < 0.5}}, {"name": "state"}]
    return {
        "id": "a",
        "inputs": inputs,
        "outputs": outputs,
        "parameters": {"binary_data_output": random.random() < 0.3},
    }


def _infer_json(random: Random) -> Request:
    return Request(INFER, _broken(random, _document(random)), (("Content-Type", JSON_TYPE),))


def _infer_binary(random: Random) -> Request:
    rows, samples = random.choice((1, 2, 64, 65)), random.choice((0, 399, 400, 8000, 8000))
    samples = min(samples, 60_000 // rows)
    waveform = struct.pack("<f", random.choice((0.1, 0.1, 0.1, 1e38, float("nan"), float("inf"), 1e-40))) * (
        rows * samples
    )
    length = struct.pack("<q", random.choice((samples, samples, samples, samples + 1, -1, 0, 1 << 62))) * rows
    tensors = [("waveform", "FP32", [rows, samples], waveform), ("length", "INT64", [rows], length)]
    chosen = tensors[: random.choice((1, 2, 2))]
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, kind, shape, data in chosen
    ]
    document = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    return _binary_request(random, document, b"".join(data for *_, data in chosen))


def _binary_request(random: Random, document: Any, data: bytes) -> Request:
    text = _broken(random, document)
    size: Any = len(text) if random.random() < 0.85 else random.choice((*NUMBERS, "x", "", "+5", "1e3", "0x10", " 7 "))
    if random.random() < 0.1:
        data = data[: random.randrange(len(data) + 1)] + random.choice((b"", b"x"))
    return Request(INFER, text + data, (("Inference-Header-Content-Length", str(size)),))
