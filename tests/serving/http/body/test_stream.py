from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import AsyncIterator

import pytest

from tests.serving.conftest import Service, StartService, error_of


def deflate(content: bytes) -> bytes:
    return zlib.compress(content)


def two_members(content: bytes) -> bytes:
    middle = len(content) // 2
    return gzip.compress(content[:middle], mtime=0) + gzip.compress(content[middle:])


def padded(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0) + bytes(512)


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        *(("gzip", gzip.compress), ("x-gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", deflate)),
        *(("gzip", two_members), ("gzip", padded), ("identity", bytes), ("identity, gzip", gzip.compress)),
    ],
)
def test_a_compressed_body_is_the_same_recording(service: Service, clip: bytes, coding: str, compress: object) -> None:
    assert callable(compress)
    plain = service.post(clip).json()
    content = compress(clip)

    async def in_small_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100):
            yield content[start : start + 100]

    for body in (content, in_small_chunks()):
        response = service.post(body, headers={"content-encoding": coding})
        assert response.status_code == 200, response.text
        assert response.json()["probabilities"] == plain["probabilities"]


def test_a_compressed_form_is_read(service: Service, clip: bytes) -> None:
    form = b"".join(
        [
            b'--q\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n',
            clip,
            b"\r\n--q--\r\n",
        ]
    )
    headers = {"content-type": "multipart/form-data; boundary=q", "content-encoding": "gzip"}
    for path in ("/v1/predict", "/v1/predict/batch"):
        assert service.post(gzip.compress(form, mtime=0), path, headers=headers).status_code == 200


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "rot13" * 100])
def test_an_unknown_coding_is_named(service: Service, clip: bytes, coding: str) -> None:
    response = service.post(clip, headers={"content-encoding": coding})
    assert error_of(response) == (415, "unsupported_encoding")
    message = response.json()["error"]["message"]
    assert coding[:20] in message
    assert "gzip, deflate" in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"RIFF, no gzip", "is not in that coding"),
        (gzip.compress(bytes(1000), mtime=0)[:-9], "ends before its data does"),
        (b"", "ends before its data does"),
        (gzip.compress(b"x", mtime=0) + b"more", "is not in that coding"),
        (gzip.compress(b"", mtime=0) * 5000, "has more than 4096 members"),
    ],
)
def test_a_body_that_is_not_in_its_coding_is_told(service: Service, content: bytes, reason: str) -> None:
    response = service.post(content, headers={"content-encoding": "gzip"})
    assert error_of(response) == (400, "bad_request")
    assert reason in response.json()["error"]["message"]


def test_a_decompression_bomb_is_refused_at_the_limit(start: StartService) -> None:
    service = start(max_bytes=1 << 20)
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    bomb = b"".join([*(compressor.compress(block) for _ in range(1000)), compressor.flush()])
    assert len(bomb) < 1 << 20  # of 1 GB
    started = time.process_time()
    for path in ("/v1/predict", "/v2/models/tiny/infer"):
        response = service.post(bomb, path, headers={"content-encoding": "gzip"})
        assert response.status_code == 413
        assert "larger than 1048576 bytes" in response.text
    assert time.process_time() - started < 1  # all of it takes several seconds


def test_the_limit_is_of_the_recording_not_of_its_compressed_form(start: StartService, clip: bytes) -> None:
    compressed = gzip.compress(clip, mtime=0)
    headers = {"content-encoding": "gzip"}
    assert len(compressed) < len(clip)
    assert start(max_bytes=len(clip)).post(compressed, headers=headers).status_code == 200
    assert error_of(start(max_bytes=len(clip) - 1).post(compressed, headers=headers)) == (413, "too_large")
