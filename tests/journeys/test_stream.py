"""Live streams of a real ``bentoml serve``."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from tests.servers import running
from tests.serving.http.stream.conftest import Talk, read_all, s16, update

pytestmark = pytest.mark.slow
SECOND = s16(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))


def test_sigterm_ends_streams_with_what_is_known(tiny_bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle)) as server:
        url, talk = server.url.replace("http", "ws", 1) + "/v1/stream", Talk()
        with connect(url, proxy=None) as socket, connect(url, proxy=None) as silent:
            socket.send(update(vad=False))
            socket.send(SECOND * 3)
            talk.messages += [json.loads(socket.recv()) for _ in range(3)]
            os.killpg(server.process.pid, signal.SIGTERM)
            read_all(socket, talk)
            read_all(silent, other := Talk())
        assert (talk.code, talk.errors, len(talk.closed["segments"])) == (1001, [], 6)
        assert (other.code, other.closed["segments"]) == (1001, [])
        assert server.process.wait(15) in (0, -signal.SIGTERM)
        assert "Traceback" not in server.log.read_text()
