"""Who may open a stream, and how one ends."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from emotions.runtime.batch_shape import Probabilities
from serving.http.api_keys import add_key
from tests.serving.http.stream.conftest import (
    CLOSE,
    Server,
    ServeStreams,
    Talk,
    converse,
    eventually,
    read_all,
    s16,
    update,
)

SECOND = s16(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))


def refused(server: Server, **options: Any) -> tuple[int, str]:
    """Status and code of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as caught:
        server.connect(**options)
    response = caught.value.response
    body = json.loads(response.body or b"{}")
    assert body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["error"]["code"]


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[]",
        '{"type": "session.updat"}',
        '{"type": "session.update"}',
        '{"type": "session.update", "session": {}, "other": 1}',
        *(
            update(**session)
            for session in (
                {"rate": 999},
                {"rate": 16000.5},
                {"rate": "16000"},
                {"rate": True},
                {"encoding": "mp3"},
                {"channels": 0},
                {"channels": 9},
                {"interval_ms": 1},
                {"vad": 1},
                {"targets": []},
                {"targets": ["nothing"]},
                {"volume": 11},
            )
        ),
        "[" * 50_000,
        json.dumps({"type": "flush", "more": "x" * 70_000}),
    ],
)
def test_a_configuration_that_is_none(serve: ServeStreams, message: str) -> None:
    talk = converse(serve(), [message])
    assert talk.errors == ["config_invalid"]
    assert (talk.code, talk.closed["segments"], talk.closed["audio_ms"]) == (1008, [], 0)


def test_audio_before_the_configuration(serve: ServeStreams) -> None:
    talk = converse(serve(), [b"\0\0", update(vad=False), SECOND, CLOSE])
    assert (talk.errors, talk.code) == (["invalid_audio_frame"], 1000)
    assert len(talk.closed["segments"]) == 2


def test_a_second_configuration(serve: ServeStreams) -> None:
    talk = converse(serve(), [update(vad=False), SECOND, update(vad=False)])
    assert (talk.errors, talk.code) == (["config_invalid"], 1008)
    assert len(talk.closed["segments"]) == 2


def test_a_frame_without_sense_leaves_the_session_alive(serve: ServeStreams) -> None:
    config = update(vad=False, encoding="pcm_f32le")
    bad, good = np.full(100, np.inf, "<f4").tobytes(), np.full(8_000, 0.25, "<f4").tobytes()
    talk = converse(serve(), [config, good, bad, good, CLOSE])
    assert (talk.errors, talk.code) == (["invalid_audio_frame"], 1000)
    assert [each["audio_end_ms"] for each in talk.closed["segments"]] == [500, 1000]


@pytest.mark.parametrize("message", [bytes((1 << 20) + 1), "x" * ((1 << 20) + 1)])
def test_a_message_that_is_too_large(serve: ServeStreams, message: str | bytes) -> None:
    talk = converse(serve(), [update(vad=False), SECOND, message])
    assert (talk.errors, talk.code) == (["message_too_large"], 1009)
    assert len(talk.closed["segments"]) == 2


def test_the_largest_message(serve: ServeStreams) -> None:
    talk = converse(serve(), [update(vad=False), SECOND * 32 + bytes((1 << 20) - 32 * 32_000), CLOSE])
    assert (talk.errors, talk.code) == ([], 1000)


def test_too_fast(serve: ServeStreams) -> None:
    talk = converse(serve(stream_ahead_sec=25), [update(vad=False), *[SECOND * 10] * 4])
    assert (talk.errors, talk.code, talk.closed["audio_ms"]) == (["too_fast"], 1008, 20_000)


def test_too_many_messages_at_once(serve: ServeStreams) -> None:
    server, talk = serve(), Talk()
    with server.connect() as socket:
        socket.send(update(vad=False))
        frames = b"\x82\x80\0\0\0\0" * 20_000  # empty, masked by zeros
        socket.socket.sendall(frames)
        read_all(socket, talk)
    assert talk.errors == ["too_fast"]


def test_idle(serve: ServeStreams) -> None:
    server = serve(stream_idle_sec=2)
    assert converse(server, []).errors == ["idle"]
    talk = converse(server, [update(vad=False), SECOND])
    assert (talk.errors, talk.code, len(talk.closed["segments"])) == (["idle"], 1008, 2)
    alive, silent = json.dumps({"type": "keep_alive"}), Talk()
    with server.connect() as socket:
        socket.send(update(vad=False))
        for _ in range(8):
            time.sleep(0.3)
            socket.send(alive)
        socket.send(CLOSE)
        read_all(socket, silent)
    assert (silent.errors, silent.code) == ([], 1000)
    with server.connect() as socket:  # what it wants must be said in time
        for _ in range(3):
            socket.send(alive)
            time.sleep(0.1)
        read_all(socket, unsaid := Talk())
    assert unsaid.errors == ["idle"]


def test_seconds_of_a_stream(serve: ServeStreams) -> None:
    talk = converse(serve(stream_sec=2.5), [update(vad=False), *[SECOND] * 3])
    assert (talk.errors, talk.closed["audio_ms"], len(talk.closed["segments"])) == (["limit"], 2000, 4)
    talk = converse(serve(stream_sec=0.4), [update(vad=False)])
    assert talk.errors == ["limit"]


def test_streams_at_once(serve: ServeStreams) -> None:
    server = serve(max_streams=1)
    with server.connect() as first:
        first.send(update(vad=False))
        first.recv(), first.recv()
        assert converse(server, [update(vad=False)]).errors == ["limit"]
    eventually(lambda: not server.open_streams())
    with server.connect():  # has not said what it wants
        assert refused(server) == (429, "too_many_requests")
    eventually(lambda: not server.open_streams())
    assert converse(server, [update(vad=False), CLOSE]).code == 1000


def test_shutdown_tells_what_is_known(serve: ServeStreams) -> None:
    server, talk = serve(), Talk()
    with server.connect() as socket, server.connect() as unconfigured:
        socket.send(update(vad=False))
        socket.send(SECOND)
        talk.messages += [json.loads(socket.recv()) for _ in range(3)]  # a measurement: the audio is there
        server.begin_shutdown()
        read_all(socket, talk)
        read_all(unconfigured, other := Talk())
    assert (talk.errors, talk.code, len(talk.closed["segments"])) == ([], 1001, 2)
    assert (other.code, other.closed["segments"]) == (1001, [])
    assert refused(server) == (503, "shutting_down")


def test_keys(serve: ServeStreams, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "us")
    server = serve(api_keys_file=tmp_path / "keys")
    config = {"type": "session.update", "session": {"vad": False}}
    for options in (
        {"additional_headers": {"Authorization": f"Bearer {key}"}},
        {"additional_headers": {"X-API-Key": key}},
        {"subprotocols": ["emotions.v1", f"emotions.key.{key}"]},
    ):
        assert converse(server, [json.dumps(config), CLOSE], **options).code == 1000
    assert converse(server, [json.dumps({**config, "key": key}), CLOSE]).code == 1000
    for wrong in ({}, {"key": ""}, {"key": "emo_wrong"}):
        talk = converse(server, [json.dumps({**config, **wrong}), CLOSE])
        assert (talk.errors, talk.code) == (["unauthorized"], 1008)
    assert refused(server, additional_headers={"X-API-Key": "wrong"}) == (401, "unauthorized")
    assert refused(server, subprotocols=["emotions.v1", "emotions.key.wrong"]) == (401, "unauthorized")
    with server.connect(subprotocols=["emotions.v1", f"emotions.key.{key}"]) as socket:
        assert socket.subprotocol == "emotions.v1"


def test_pages_of_other_sites(serve: ServeStreams) -> None:
    server = serve()
    host = f"127.0.0.1:{server.address[1]}"
    assert refused(server, origin="https://elsewhere.example") == (403, "forbidden_origin")
    assert refused(server, origin="null") == (403, "forbidden_origin")
    assert converse(server, [CLOSE], origin=f"http://{host}").code == 1000
    allowed = serve(cors_origins=("https://elsewhere.example",))
    assert converse(allowed, [CLOSE], origin="https://elsewhere.example").code == 1000
    assert refused(allowed, origin="https://other.example") == (403, "forbidden_origin")
    assert converse(serve(cors_origins=("*",)), [CLOSE], origin="https://other.example").code == 1000


def test_other_paths_and_plain_requests(serve: ServeStreams) -> None:
    server = serve()
    with pytest.raises(InvalidStatus) as caught:
        connect(f"{server.url}/other", proxy=None)
    assert caught.value.response.status_code == 404
    response = httpx.get(f"http://127.0.0.1:{server.address[1]}/v1/stream")
    assert (response.status_code, response.json()["error"]["code"]) == (426, "upgrade_required")


def test_a_model_that_fails_ends_the_stream(serve: ServeStreams) -> None:
    def fails(waveform: Any, length: Any) -> Probabilities:
        raise RuntimeError("broken")

    talk = converse(serve(run=fails), [update(vad=False), SECOND, CLOSE])
    assert (talk.errors, talk.code) == (["internal"], 1011)


def test_a_slow_model_stops_reading(serve: ServeStreams) -> None:
    """Audio that is sent faster than it is classified stays with the client."""
    release = threading.Event()

    def waits(waveform: Any, length: Any) -> Probabilities:
        release.wait(20)
        return {
            "emotion": np.full((len(length), 3), 1 / 3, np.float32),
            "state": np.full((len(length), 2), 0.5, np.float32),
        }

    server, sent, talk = serve(run=waits), 0, Talk()
    with server.connect() as socket:
        socket.send(update(vad=False))

        def push() -> None:
            nonlocal sent
            for _ in range(800):
                socket.send(SECOND)
                sent += 1
            socket.send(CLOSE)

        pusher = threading.Thread(target=push)
        pusher.start()
        before = -1
        while before != sent:
            before = sent
            time.sleep(0.5)
        assert sent < 600
        assert server.service.metric("emotions_stream_audio_seconds_total") < 20
        release.set()
        read_all(socket, talk)
        pusher.join()
    assert (talk.code, talk.closed["audio_ms"]) == (1000, 800_000)
    assert len(talk.closed["segments"]) == 1_600


def test_the_metrics(serve: ServeStreams) -> None:
    server = serve()
    converse(server, [update(vad=False), SECOND, CLOSE])
    route = {"route": "/v1/stream", "method": "GET", "status": "101"}
    eventually(lambda: server.service.metric("emotions_requests_total", **route) == 1)  # what is counted last
    assert server.service.metric("emotions_stream_sessions_total", reason="closed") == 1
    assert server.service.metric("emotions_stream_audio_seconds_total") == 1
    assert server.service.metric("emotions_stream_lag_seconds_count") == 1
    assert server.open_streams() == 0
