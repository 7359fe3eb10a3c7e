"""Opens the page in a browser once its service is ready: ``python -m serving.http.page.open_page URL PID``."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
import webbrowser

_LIMIT_SEC, _PAUSE_SEC = 120.0, 0.3


def open_page(url: str, server: int) -> bool:
    """Wait until a service is ready, and open its page; where there is no browser, its address stays on the terminal.

    Args:
        url: of the page.
        server: process id of the service; once that has ended, nothing is opened.

    Returns:
        Whether the service became ready.
    """
    ends = time.monotonic() + _LIMIT_SEC
    while time.monotonic() < ends and os.getppid() == server:
        if _is_ready(f"{url}/readyz"):
            print(f"the page is open: {url}  (Ctrl-C ends it)", flush=True)
            webbrowser.open(url)
            return True
        time.sleep(_PAUSE_SEC)
    return False


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own service's
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    sys.exit(not open_page(sys.argv[1], int(sys.argv[2])))
