"""``Client.stream`` against the real route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.audio.windows import FloatArray
from emotions.client.client import AsyncClient, Client
from emotions.errors import AudioError, ServiceError
from serving.http.api_keys import add_key
from tests.serving.http.stream.conftest import Json, Server, ServeStreams, eventually

SOUND: FloatArray = np.random.default_rng(0).uniform(-0.5, 0.5, 24_000).astype(np.float32)


def http(server: Server) -> str:
    return f"http://127.0.0.1:{server.address[1]}"


def streamed(server: Server, audio: Any, **options: Any) -> list[Json]:
    with Client(http(server)) as client:
        return [*client.stream(audio, vad=False, **options)]


def segments(messages: list[Json]) -> list[Json]:
    found: list[Json] = messages[-1]["segments"]
    return found


@pytest.mark.parametrize("encoding", ["pcm_s16le", "pcm_f32le"])
def test_arrays_and_bytes_say_the_same(serve: ServeStreams, encoding: str) -> None:
    server = serve()
    integers = np.round(SOUND * 32_767).astype(np.int16)
    blocks = [SOUND[:7_001], SOUND[7_001:]]
    first = streamed(server, blocks, encoding=encoding)
    assert [message["type"] for message in first[:3]] == ["session.created", "session.updated", "measurement"]
    assert len(segments(first)) == 3
    for audio in ([integers], [integers.tobytes()] if encoding == "pcm_s16le" else [SOUND.astype("<f4").tobytes()]):
        for ours, theirs in zip(segments(streamed(server, audio, encoding=encoding)), segments(first), strict=True):
            assert ours["probabilities"]["emotion"] == pytest.approx(theirs["probabilities"]["emotion"], abs=1e-3)


def test_a_coroutine_gets_the_same(serve: ServeStreams) -> None:
    server = serve()

    async def blocks() -> AsyncIterator[FloatArray]:
        for part in np.array_split(SOUND, 5):
            await asyncio.sleep(0)
            yield part

    async def read(audio: Any) -> list[Json]:
        async with AsyncClient(http(server)) as client:
            return [message async for message in client.stream(audio, vad=False)]

    expected = segments(streamed(server, [SOUND]))
    assert segments(asyncio.run(read(blocks()))) == expected
    assert segments(asyncio.run(read([SOUND]))) == expected


def test_two_channels(serve: ServeStreams) -> None:
    found = segments(streamed(serve(), [np.stack([SOUND, SOUND], axis=1)], channels=2))
    assert [segment["channel"] for segment in found] == [0, 1] * 3


def test_what_is_no_audio(serve: ServeStreams) -> None:
    server = serve()
    for wrong in (np.zeros((10, 2), np.float32), np.zeros(10, np.int64), np.zeros((2, 2, 2), np.float32)):
        with pytest.raises(AudioError):
            streamed(server, [wrong])
    with pytest.raises(AudioError):
        streamed(server, [SOUND], channels=2)

    def broken() -> Iterator[FloatArray]:
        yield SOUND
        raise KeyError("the microphone")

    with pytest.raises(KeyError, match="the microphone"):
        streamed(server, broken())

    async def read() -> list[Json]:
        async with AsyncClient(http(server)) as client:
            return [message async for message in client.stream(broken(), vad=False)]

    with pytest.raises(KeyError, match="the microphone"):
        asyncio.run(read())
    eventually(lambda: not server.open_streams())


def test_an_error_of_the_stream_is_raised_behind_its_messages(serve: ServeStreams) -> None:
    server = serve(stream_sec=1)
    read: list[Json] = []
    with pytest.raises(ServiceError) as caught, Client(http(server)) as client:
        read.extend(client.stream(iter(np.array_split(SOUND, 6)), vad=False))
    assert caught.value.code == "limit"
    with pytest.raises(ServiceError) as caught:
        streamed(server, [SOUND], rate=1)
    assert caught.value.code == "config_invalid"


def test_a_refusal_and_a_service_that_is_not_there(serve: ServeStreams, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "us")
    server = serve(api_keys_file=tmp_path / "keys")
    with pytest.raises(ServiceError) as caught, Client(http(server), "wrong") as client:
        [*client.stream([SOUND])]
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    assert caught.value.request_id
    with Client(http(server), key) as client:
        assert [*client.stream([SOUND], vad=False)][-1]["type"] == "session.closed"
    with pytest.raises(ServiceError) as caught, Client("http://127.0.0.1:9") as client:
        [*client.stream([SOUND])]
    assert caught.value.code == "unreachable"


def test_a_reader_that_stops_ends_the_stream(serve: ServeStreams) -> None:
    server = serve()

    def endless() -> Iterator[FloatArray]:
        while True:
            yield SOUND

    with Client(http(server)) as client:
        for message in client.stream(endless(), vad=False):
            if message["type"] == "measurement":
                break
    eventually(lambda: not server.open_streams())
