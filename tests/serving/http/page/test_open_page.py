"""Opening the page: once the service is ready, and never after it has ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from serving.http.page.open_page import open_page


class Starting(BaseHTTPRequestHandler):
    """Says 503 twice, then that it is ready."""

    asked = 0

    def do_GET(self) -> None:
        Starting.asked += 1
        self.send_response(200 if Starting.asked > 2 else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Starting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_it_is_opened_once_the_service_is_ready(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert open_page(url, os.getppid())
    assert opened == [url]
    assert Starting.asked == 3


def test_it_is_not_opened_where_the_service_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert not open_page("http://127.0.0.1:9", os.getppid() + 1)
    assert opened == []
