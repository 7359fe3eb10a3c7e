"""A headless Chromium that is driven over its DevTools protocol, through a pipe."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
"""The command, or an empty text where there is none."""
_OPTIONS = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe"]


@dataclass
class Page:
    """A tab: what it was sent and what it told."""

    _send: IO[bytes]
    _receive: IO[bytes]
    _session: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    told: list[dict[str, Any]] = field(default_factory=list)
    """Events: errors and warnings of the console and of loading among them."""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._send.write(json.dumps(message).encode() + b"\0")
        self._send.flush()
        while (answer := self._next()).get("id") != number:
            self.told.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def open(self, url: str, *, width: int, scheme: str, height: int = 1000) -> None:
        """Load a page for a width in pixels and a colour scheme, ``light`` or ``dark``."""
        self.told.clear()
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        while not any(each.get("method") == "Page.loadEventFired" for each in self.told):
            self.told.append(self._next())

    def value(self, script: str) -> Any:
        """The value of an expression, or of its promise; as if a person had asked, so that sound may play."""
        settings = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        found = self.call("Runtime.evaluate", expression=script, **settings)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def faults(self) -> list[str]:
        """What the console and the loading of the page complained about."""
        methods = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled", "Network.loadingFailed"}
        return [json.dumps(each) for each in self.told if each.get("method") in methods]

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Choose files in an input, as a person does in the dialogue."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(each) for each in files])

    def hosts(self) -> list[str]:
        """Hosts and ports that the page asked since it was opened."""
        asked = [each["params"] for each in self.told if each.get("method") == "Network.requestWillBeSent"]
        urls = [urlsplit(each["request"]["url"]) for each in asked]
        return [each.netloc for each in urls if each.scheme in ("http", "https", "ws", "wss")]

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Write a picture of the page, or of what is seen of it."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _next(self) -> dict[str, Any]:
        content = bytearray()
        while (char := self._receive.read(1)) != b"\0":
            assert char, "Chromium has ended"
            content += char
        return dict(json.loads(content))


@contextmanager
def opened(*options: str) -> Iterator[Page]:
    """A tab of a Chromium of its own, which ends with the block; with further options of its command line."""
    there, send = os.pipe()
    receive, back = os.pipe()
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *_OPTIONS, *options, *root, f"--user-data-dir={profile}", "about:blank"]
        shell = f'exec "$@" 3<&{there} 4>&{back}'
        running = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=(there, back), stderr=subprocess.DEVNULL
        )
        os.close(there)
        os.close(back)
        try:
            with os.fdopen(send, "wb") as writer, os.fdopen(receive, "rb") as reader:
                yield _tab(Page(writer, reader))
        finally:
            running.terminate()
            running.wait(30)


def _tab(page: Page) -> Page:
    made = page.call("Target.createTarget", url="about:blank")
    page._session = page.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)["sessionId"]
    for domain in ("Page", "Runtime", "Log", "Network"):
        page.call(f"{domain}.enable")
    return page
