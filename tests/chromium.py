"""Debian's Chromium, driven by Playwright: tabs that share nothing, what they complained of, and whom they asked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, WebSocket, expect, sync_playwright

from tests.conftest import needs

FAKE_MICROPHONE = "--use-fake-device-for-media-stream"
"""Option of Chromium's command line; a tab may hear it that is given the permission ``microphone``."""
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_NARROW = 600
expect.set_options(timeout=30_000)  # a busy machine may take longer than the five seconds that are Playwright's


@dataclass
class Tab:
    """A page, and what it did.

    Attributes:
        page: Playwright's.
    """

    page: Page
    _asked: list[str] = field(default_factory=list)
    _failed: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Lines of the console, exceptions that nothing caught, and requests that failed."""
        told = [f"{each.type}: {each.text}" for each in self.page.console_messages(filter="all")]
        return [*told, *map(str, self.page.page_errors(filter="all")), *self._failed]

    def hosts(self) -> list[str]:
        """Hosts and ports of its requests and WebSockets."""
        urls = map(urlsplit, self._asked)
        return [each.netloc for each in urls if each.scheme in ("http", "https", "ws", "wss")]

    def _watch(self) -> None:
        def asked(each: Request | WebSocket) -> None:
            self._asked.append(each.url)

        def failed(request: Request) -> None:
            self._failed.append(f"{request.url}: {request.failure}")

        self.page.on("request", asked)
        self.page.on("websocket", asked)
        self.page.on("requestfailed", failed)


@contextmanager
def launched(*options: str) -> Iterator[Browser]:
    """A headless Chromium, which ends with the block, as Playwright's own process does.

    There is one at a time in a thread, and no event loop beside it.

    Args:
        options: further ones of its command line.
    """
    found = next((path for name in _NAMES if (path := shutil.which(name))), "")
    needs(bool(found), "Chromium is needed as a command")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=options, chromium_sandbox=os.geteuid() != 0)
        with browser:
            yield browser


@contextmanager
def opened(
    browser: Browser,
    *,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    permissions: Sequence[str] = (),
) -> Iterator[Tab]:
    """An empty tab that shares nothing with others: no cache, no storage, no service worker.

    Args:
        browser: where it is opened.
        width: in pixels; a narrow one is that of a phone.
        scheme: of colours.
        permissions: what it may do without asking; anything else is refused.
    """
    screen = {"width": width, "height": 1000}
    with browser.new_context(
        viewport=screen, color_scheme=scheme, is_mobile=width < _NARROW, permissions=[*permissions]
    ) as context:
        tab = Tab(context.new_page())
        tab._watch()
        yield tab
