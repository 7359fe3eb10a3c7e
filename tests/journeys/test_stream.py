"""Live streams of a real ``bentoml serve``."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from serving.http.api_keys import add_key
from tests.chromium import launched, opened
from tests.conftest import needs
from tests.servers import Server, running
from tests.serving.http.stream.conftest import Talk, read_all, s16, update

pytestmark = pytest.mark.slow
SECOND = s16(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))
PAGE = """<!doctype html><title>page</title><script>
const [service, key] = [%s, %s];
function stream(protocols) {
  return new Promise((done) => {
    const socket = new WebSocket(service.replace("http", "ws") + "/v1/stream", protocols), messages = [];
    socket.onopen = () => {
      const session = {rate: 48000, encoding: "pcm_f32le", channels: 1, interval_ms: 500, vad: false};
      socket.send(JSON.stringify({type: "session.update", session}));
      const samples = Float32Array.from({length: 48000}, (_, at) => 0.3 * Math.sin(at / 20));
      for (let at = 0; at < samples.length; at += 4800) socket.send(samples.slice(at, at + 4800));
      socket.send(JSON.stringify({type: "session.close"}));
    };
    socket.onmessage = (event) => messages.push(JSON.parse(event.data));
    socket.onclose = (event) => done({code: event.code, protocol: socket.protocol, messages});
  });
}
const found = (async () => {
  const keyed = await stream(["emotions.v1", "emotions.key." + key]);
  return {keyed, keyless: await stream([])};
})();
</script>"""


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
        assert server.process.wait(60) in (0, -signal.SIGTERM)
        assert "Traceback" not in server.log.read_text()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address of another site, and the folder of its pages."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_port}", folder
        pages.shutdown()


def _browse(url: str) -> dict[str, Any]:
    with launched() as browser, opened(browser) as tab:
        tab.page.goto(url)
        return dict(tab.page.evaluate("found"))


def test_a_page_streams_with_a_key(tiny_bundle: Path, tmp_path: Path, site: tuple[str, Path]) -> None:
    key = add_key(tmp_path / "keys", "page")
    settings = {"EMOTIONS_API_KEYS_FILE": str(tmp_path / "keys"), "EMOTIONS_CORS_ORIGINS": site[0]}
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), **settings) as server:
        (site[1] / "page.html").write_text(PAGE % (json.dumps(server.url), json.dumps(key)))
        found = _browse(f"{site[0]}/page.html")
        refused = _browse(f"{site[0].replace('127.0.0.1', 'localhost')}/page.html")  # an origin that is not named
        _assert_no_key_in_the_log(server, key)
    keyed, keyless = found["keyed"], found["keyless"]
    assert (keyed["code"], keyed["protocol"]) == (1000, "emotions.v1")
    assert [message["type"] for message in keyed["messages"]].count("measurement") == 2
    assert len(keyed["messages"][-1]["segments"]) == 2
    assert (keyless["code"], keyless["messages"][-2]["code"]) == (1008, "unauthorized")
    assert refused["keyed"] == {"code": 1006, "protocol": "", "messages": []}


def _assert_no_key_in_the_log(server: Server, key: str) -> None:
    log = server.log.read_text()
    assert "route=/v1/stream" in log
    assert key not in log


def test_wscat_talks_to_it(tiny_bundle: Path, tmp_path: Path) -> None:
    needs(bool(shutil.which("npm") and shutil.which("node")), "npm and node are needed")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    install = ["npm", "install", *options, "--prefix", str(tmp_path), "wscat@6.1.0"]
    installed = subprocess.run(install, capture_output=True, check=False)
    needs(installed.returncode == 0, "the npm registry cannot be reached")
    said = [update(vad=False), '{"type": "keep_alive"}', '{"type": "flush"}', '{"type": "session.close"}']
    keyboard, typist = os.pipe()  # wscat leaves where its input ends
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle)) as server:
        url = server.url.replace("http", "ws", 1) + "/v1/stream"
        commands = [part for each in said for part in ("-x", each)]
        wscat = [str(tmp_path / "node_modules" / ".bin" / "wscat"), "--no-color", "-w", "-1", "-c", url, *commands]
        done = subprocess.run(wscat, capture_output=True, text=True, timeout=60, check=True, stdin=keyboard)
    os.close(typist)
    os.close(keyboard)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [message["type"] for message in told] == ["session.created", "session.updated", "session.closed"]
    assert told[-1]["segments"] == []
