"""Hostile inputs, built by code: what a client may send to the service.

``python -m tests.security.corpus NAME PORT SECONDS`` attacks a service on this machine with one case, from a process of
its own, and prints the statuses that came back, a line of JSON. ``bodies`` makes a case of a
request that is sent over and over.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests import hostile_audio

Address = tuple[str, int]
Attack = Callable[[Address, float], Counter[str]]
"""Called with the address and seconds, from when its requests are built; how often each status came back."""
Build = Callable[[], bytes]

INFER = "/v2/models/tiny/infer"
PREDICT = "/v1/predict"

MEDIA: list[tuple[str, Build]] = [
    ("M4A that claims 85 million samples", lambda: hostile_audio.m4a_that_claims(85_000_000)),
    ("M4A that claims 2 billion samples", lambda: hostile_audio.m4a_that_claims((1 << 31) - 1)),
    ("M4A of 24 MB that claims 24 million samples", lambda: hostile_audio.m4a_that_claims(24_000_000, 24_000_000)),
    ("MP4 whose fragment claims 85 million samples", lambda: hostile_audio.fragments_that_claim(85_000_000)),
    ("CAF that claims 2**40 packets", lambda: hostile_audio.caf_that_claims(1 << 40)),
    ("WAV that claims 4 GB", lambda: hostile_audio.wav_that_claims(0xFFFFFFF0)),
    ("Vorbis of 64 channels, 300 s of silence", lambda: hostile_audio.vorbis_silence(64, 192_000, 300.0)),
    ("Vorbis of 2 channels, 599 s of silence", lambda: hostile_audio.vorbis_silence(2, 192_000, 599.0)),
    ("Vorbis of 255 channels", lambda: hostile_audio.vorbis_silence(255, 48_000, 100.0)),
    ("Opus of 8 channels, 3,000 s of silence", lambda: hostile_audio.opus_silence(3000.0)),
    ("Opus of 8 channels, 590 s of silence", lambda: hostile_audio.opus_silence(590.0)),
    ("FLAC of 8 channels, 60 s of silence", lambda: hostile_audio.flac_silence(8, 192_000, 60.0)),
    ("FLAC of 1 channel, 599 s of silence", lambda: hostile_audio.flac_silence(1, 192_000, 599.0)),
    ("FLAC of 2 channels, 290 s of silence", lambda: hostile_audio.flac_silence(2, 192_000, 290.0)),
    ("WAV of 8 bits, 170 s at 192 kHz", lambda: hostile_audio.wav_of_bytes(192_000, 170.0)),
    ("Matroska of unknown length", lambda: hostile_audio.matroska_silence(60.0)),
    ("WavPack with a block of 1 GB", hostile_audio.wavpack),
]
"""Hostile recordings, name and builder: each is posted to ``/v1/predict`` as it is."""


def request(path: str, body: bytes = b"", *headers: str, method: str = "POST") -> bytes:
    """A whole request.

    Args:
        path: of the URL.
        body: sent with its length.
        headers: further lines.
        method: of HTTP.
    """
    lines = [f"{method} {path} HTTP/1.1", "Host: service", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_text(body: object) -> bytes:
    """Compact JSON."""
    return json.dumps(body, separators=(",", ":")).encode()


def binary(described: object, data: bytes) -> bytes:
    """A request with tensors in binary."""
    text = json_text(described)
    return request(INFER, text + data, f"Inference-Header-Content-Length: {len(text)}")


def _shape(*shape: int) -> Build:
    tensor = {"name": "waveform", "datatype": "FP32", "shape": shape, "data": []}
    return lambda: request(INFER, json_text({"inputs": [tensor]}))


def _infer(text: Callable[[], bytes]) -> Build:
    return lambda: request(INFER, text())


def _form(parts: Callable[[], bytes], path: str = PREDICT) -> Build:
    def build() -> bytes:
        return request(path, parts(), "Content-Type: multipart/form-data; boundary=bound")

    return build


def _part(content: bytes, headers: bytes = b"") -> bytes:
    disposition = b'Content-Disposition: form-data; name="file"; filename="a"\r\n'
    return b"--bound\r\n" + disposition + headers + b"\r\n" + content + b"\r\n"


def _connect(address: Address) -> socket.socket:
    connection = socket.create_connection(address, timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _status(connection: socket.socket) -> str:
    """The status of a response; ``none`` where the connection was closed without one."""
    with contextlib.suppress(OSError):
        if line := connection.recv(4096)[:12]:
            return line.decode("latin-1").rpartition(" ")[2]
    return "none"


def bodies(build: Build, connections: int = 4) -> Attack:
    """Send a request over and over, on some connections at a time.

    Args:
        build: makes the request, once.
        connections: how many at a time.
    """

    def attack(address: Address, seconds: float) -> Counter[str]:
        content = build()
        until = time.monotonic() + seconds

        def send(_: int) -> Counter[str]:
            seen: Counter[str] = Counter()
            while time.monotonic() < until:
                with contextlib.suppress(OSError), _connect(address) as connection:
                    with contextlib.suppress(OSError):
                        connection.settimeout(20)
                        connection.sendall(content)
                    seen[_status(connection)] += 1
            return seen

        with ThreadPoolExecutor(connections) as pool:
            return sum(pool.map(send, range(connections)), Counter())

    return attack


def endless(head: bytes, block: bytes, most_bytes: int = 200 << 20, connections: int = 2) -> Attack:
    """Send a beginning, and then a block over and over, as fast as it is taken.

    Args:
        head: what is sent first.
        block: what follows for ever.
        most_bytes: end of it for one connection.
        connections: how many at a time.
    """

    def attack(address: Address, seconds: float) -> Counter[str]:
        content = block * max(1, (64 << 10) // len(block))
        until = time.monotonic() + seconds

        def send(_: int) -> Counter[str]:
            seen: Counter[str] = Counter()
            while time.monotonic() < until:
                with contextlib.suppress(OSError), _connect(address) as connection:
                    sent = 0
                    with contextlib.suppress(OSError):
                        connection.sendall(head)
                        while sent < most_bytes and time.monotonic() < until:
                            connection.sendall(content)
                            sent += len(content)
                    seen[_status(connection)] += 1
            return seen

        with ThreadPoolExecutor(connections) as pool:
            return sum(pool.map(send, range(connections)), Counter())

    return attack


class _Slow:
    """A connection that sends a little from time to time, and is opened anew when it is closed."""

    def __init__(self, head: bytes, drip: bytes) -> None:
        self._head, self._drip = head, drip
        self._connection: socket.socket | None = None

    def go_on(self, address: Address) -> str:
        """Send a little; the status of a response, ``closed``, or nothing."""
        try:
            connection = self._connection or self._open(address)
            connection.send(self._drip)
            found = connection.recv(64, socket.MSG_PEEK)[9:12].decode("latin-1") or "closed"
        except BlockingIOError:
            return ""
        except OSError:
            found = "closed"
        if found != "100":
            self.close()
        return found

    def _open(self, address: Address) -> socket.socket:
        self._connection = _connect(address)
        self._connection.sendall(self._head)
        self._connection.settimeout(0)
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def slow(head: bytes, drip: bytes = b"x", count: int = 300) -> Attack:
    """Many connections that send a little each second.

    Args:
        head: what is sent first.
        drip: what follows from time to time.
        count: connections.
    """

    def attack(address: Address, seconds: float) -> Counter[str]:
        until = time.monotonic() + seconds
        seen: Counter[str] = Counter()
        connections = [_Slow(head, drip) for _ in range(count)]
        while time.monotonic() < until:
            seen.update(status for each in connections if (status := each.go_on(address)))
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
        for each in connections:
            each.close()
        return seen

    return attack


def held(content: bytes, count: int) -> Attack:
    """Connections that send something once, and then neither send nor read.

    Args:
        content: what is sent.
        count: connections.
    """

    def attack(address: Address, seconds: float) -> Counter[str]:
        until = time.monotonic() + seconds
        with contextlib.ExitStack() as opened:
            for _ in range(count):
                opened.enter_context(_connect(address)).sendall(content)
            time.sleep(max(0.0, until - time.monotonic()))
        return Counter({"opened": count})

    return attack


def _disconnecting(address: Address, seconds: float) -> Counter[str]:
    until = time.monotonic() + seconds
    head = request(PREDICT, bytes(100_000))[:60_000]
    seen: Counter[str] = Counter()
    while time.monotonic() < until:
        with contextlib.suppress(OSError), _connect(address) as connection:
            connection.sendall(head)
            seen["left"] += 1
        time.sleep(0.002)
    return seen


_WAVE = {"name": "waveform", "datatype": "FP32"}
_AUDIO = {"name": "audio", "datatype": "BYTES"}
_HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: service\r\n"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_JSON = "Content-Type: application/json"
_GZIP = "Content-Encoding: gzip"
_M = 1 << 20


def _http() -> Iterator[tuple[str, Attack]]:
    """Heads, connections and bodies that come in an unusual way."""
    yield "header lines without end", endless(_HEAD, b"X-Filler: y\r\n")
    yield "one header without end", endless(_HEAD + b"X-Filler: ", b"y")
    yield "a header's name without end", endless(_HEAD, b"x")
    yield "a URL without end", endless(b"GET /", b"u")
    yield "empty lines without end", endless(b"", b"\r\n")
    yield "trailers without end", endless(_CHUNKED + b"1\r\nx\r\n0\r\n", b"X-Filler: y\r\n")
    yield "one trailer without end", endless(_CHUNKED + b"0\r\nX-Filler: ", b"y")
    yield "a chunk extension without end", endless(_CHUNKED + b"1;x=", b"y")
    yield "chunk extensions without end", endless(_CHUNKED, b"1;" + b"y" * 1000 + b"\r\nx\r\n")
    yield "chunks of a byte", endless(_CHUNKED, b"1\r\nx\r\n")
    yield "a body without end", endless(_CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n")
    yield (
        "a body where none is read",
        endless(b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n", b"x"),
    )
    yield (
        "99 headers",
        bodies(lambda: request("/livez", b"", *[f"X-{i}: {'y' * 250}" for i in range(97)], method="GET")),
    )
    yield "a query of many fields", bodies(lambda: request(f"{PREDICT}?{'a&' * 4000}windows=1", b"x"))
    yield "pipelined probes", endless(b"", request("/livez", method="GET"), connections=8)
    yield "pipelined predictions", endless(b"", request(PREDICT, b"x"), connections=8)
    yield "half-sent headers", slow(_HEAD, b"X-A: b\r\n")
    yield "a byte a second", slow(_HEAD + b"Content-Length: 100000\r\n\r\n")
    yield "a byte a second, chunked", slow(_CHUNKED, b"1\r\nx\r\n")
    yield (
        "a byte a second of a form",
        slow(_HEAD + b"Content-Length: 100000\r\nContent-Type: multipart/form-data; boundary=bound\r\n\r\n"),
    )
    yield "much, and then a byte a second", slow(_HEAD + b"Content-Length: 33554432\r\n\r\n" + bytes(_M), count=100)
    yield (
        "Expect: 100-continue, and then nothing",
        slow(_HEAD + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n", b""),
    )
    yield "idle connections", held(b"", 900)
    yield "clients that leave", _disconnecting
    yield "clients that do not read", held(request("/docs.json", method="GET") * 30, 100)
    yield "documents", bodies(lambda: request("/docs.json", method="GET"), 8)
    yield "metrics", bodies(lambda: request("/metrics", method="GET"), 8)
    yield "no HTTP", bodies(lambda: b"\x16\x03\x01" + bytes(range(256)) * 100)
    yield "an upgrade to WebSocket", bodies(
        lambda: request(
            PREDICT, b"", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", method="GET",
        )
    )  # fmt: skip


def _large() -> Iterator[tuple[str, Attack]]:
    """Bodies of many bytes, as they are sent or once they are decompressed."""
    yield "40 bodies of 32 MB at a time", bodies(lambda: request(PREDICT, bytes(32 * _M)), 40)
    yield (
        "40 tensors of 32 MB at a time",
        bodies(
            lambda: binary(
                {"inputs": [{**_WAVE, "shape": [1, 8_000_000], "parameters": {"binary_data_size": 32_000_000}}]},
                bytes(32_000_000),
            ),
            40,
        ),
    )
    yield (
        "a batch of 64 x 1.9 MB",
        bodies(_form(lambda: _part(bytes(1_900_000)) * 64 + b"--bound--\r\n", "/v1/predict/batch"), 4),
    )
    yield "a gzip bomb", bodies(lambda: request(PREDICT, gzip.compress(bytes(300 * _M), 6), _GZIP))
    yield (
        "a gzip bomb of JSON",
        bodies(lambda: request(INFER, gzip.compress(b'{"inputs":[' + b"{}," * (10 * _M), 6), _GZIP)),
    )
    yield "a form of half boundaries", bodies(_form(lambda: _part(b"\r\n--boun" * (2 * _M)) + b"--bound--\r\n"))
    yield "a form of line ends", bodies(_form(lambda: _part(b"\r\n" * (8 * _M)) + b"--bound--\r\n"))
    yield (
        "a form of 100,000 parts",
        bodies(_form(lambda: _part(b"x") * 100_000 + b"--bound--\r\n", "/v1/predict/batch")),
    )
    yield "a part with a long header", bodies(_form(lambda: _part(b"x", b"X-A: " + b"y" * (30 * _M) + b"\r\n")))
    yield "a part with many headers", bodies(_form(lambda: _part(b"x", b"X-A: y\r\n" * (3 * _M))))
    yield "bytes before the first boundary", bodies(_form(lambda: b"\r" * (16 * _M) + _part(b"x") + b"--bound--\r\n"))


def _json() -> Iterator[tuple[str, Attack]]:
    """JSON and tensors."""
    for shape in ((60_000_000, 0), (10_000_000, 0), (2**40, 0), (64, 2**62)):
        yield f"shape {list(shape)}", bodies(_shape(*shape))
    yield "3 MB of empty inputs", bodies(_infer(lambda: b'{"inputs":[' + b"{}," * _M + b"{}]}"))
    yield "32 MB of empty inputs", bodies(_infer(lambda: b'{"inputs":[' + b"{}," * (10 * _M) + b"{}]}"))
    yield (
        "300,000 outputs",
        bodies(
            _infer(
                lambda: json_text(
                    {"inputs": [{**_AUDIO, "shape": [1], "data": ["x"]}], "outputs": [{"name": "emotion"}] * 300_000}
                )
            )
        ),
    )
    yield (
        "a shape of 500,000 numbers",
        bodies(_infer(lambda: json_text({"inputs": [{**_WAVE, "shape": [1] * 500_000, "data": []}]}))),
    )
    yield (
        "a shape of 200,000 nulls",
        bodies(_infer(lambda: json_text({"inputs": [{**_WAVE, "shape": [None] * 200_000, "data": []}]}))),
    )
    yield (
        "500,000 numbers",
        bodies(_infer(lambda: json_text({"inputs": [{**_WAVE, "shape": [1, 500_000], "data": [1] * 500_000}]})), 8),
    )
    yield "300,000 exponents", bodies(
        _infer(lambda: b'{"inputs":[{"name":"waveform","datatype":"FP32","shape":[1,200000],"data":['
               + b"1e99," * 199_999 + b"1]}]}"), 8
    )  # fmt: skip
    yield (
        "10 million numbers",
        bodies(_infer(lambda: json_text({"inputs": [{**_WAVE, "shape": [1, 10_000_000], "data": [1] * 10_000_000}]}))),
    )
    yield "a number of a million digits", bodies(_infer(lambda: b'{"inputs":[' + b"9" * 1_000_000 + b"]}"))
    yield "brackets", bodies(_infer(lambda: b"[" * (30 * _M)))
    yield "quotes", bodies(_infer(lambda: b'"' * (30 * _M)))
    yield "backslashes", bodies(_infer(lambda: b'"' + b"\\" * (30 * _M)))
    yield "escaped quotes", bodies(_infer(lambda: b'"' + b'\\"' * (15 * _M)))
    yield "keys", bodies(_infer(lambda: b"{" + b'"a":0,' * (5 * _M)))
    yield "a key of 30 MB", bodies(_infer(lambda: b'{"' + b"k" * (30 * _M) + b'":0}'))
    yield (
        "a recording of 30 MB of base64 in a tensor",
        bodies(_infer(lambda: json_text({"inputs": [{**_AUDIO, "shape": [1], "data": ["A" * (30 * _M)]}]})), 8),
    )
    yield (
        "a recording of 40 MB of base64",
        bodies(lambda: request(PREDICT, json_text({"audio": "A" * (40 * _M)}), _JSON), 8),
    )
    yield (
        "a recording of 40 MB of escapes",
        bodies(lambda: request(PREDICT, b'{"audio":"' + b"\\u0041" * (7 * _M) + b'"}', _JSON)),
    )
    yield (
        "a recording of 40 MB in percents",
        bodies(lambda: request(PREDICT, b"data:audio/wav," + b"%00" * (13 * _M), "Content-Type: text/plain")),
    )
    yield (
        "a recording of 40 MB of spaces",
        bodies(lambda: request(PREDICT, json_text({"audio": " " * (40 * _M)}), _JSON)),
    )
    yield (
        "8 million strings in a tensor",
        bodies(
            lambda: binary(
                {"inputs": [{**_AUDIO, "shape": [8_000_000], "parameters": {"binary_data_size": 32_000_000}}]},
                bytes(32_000_000),
            )
        ),
    )
    yield (
        "64 rows of nothing",
        bodies(
            lambda: binary({"inputs": [{**_AUDIO, "shape": [64], "parameters": {"binary_data_size": 256}}]}, bytes(256))
        ),
    )
    yield (
        "huge samples",
        bodies(_infer(lambda: json_text({"inputs": [{**_WAVE, "shape": [1, 500], "data": [3e38] * 500}]}))),
    )


def _media() -> Iterator[tuple[str, Attack]]:
    for name, build in MEDIA:
        yield name, bodies(lambda build=build: request(PREDICT, build()))  # type: ignore[misc]


CASES: dict[str, Attack] = dict([*_http(), *_large(), *_json(), *_media()])


def main(arguments: Sequence[str]) -> None:
    """Attack with one case."""
    name, port, seconds = arguments
    seen = CASES[name](("127.0.0.1", int(port)), float(seconds))
    print(json.dumps(seen))


if __name__ == "__main__":
    main(sys.argv[1:])
