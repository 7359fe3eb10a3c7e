"""What made a report: the command, and the versions of the packages that decide on figures."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("torch", "onnxruntime", "numpy")


def made_by(toolkit: str) -> dict[str, Any]:
    """What every report of an evaluation says first, as JSON: when it was made, by which versions and command.

    Args:
        toolkit: its version.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "toolkit_version": toolkit,
        "versions": versions(),
        "command": command_line(),
    }


def command_line() -> str:
    """The command that is running, as it can be typed again."""
    return shlex.join(["emotions", *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Name -> version: Python, and the packages that are installed of those that compute."""
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # the service needs no torch
            continue
    return found
