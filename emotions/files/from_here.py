"""Paths as they are printed."""

from __future__ import annotations

from pathlib import Path


def from_here(path: Path) -> Path:
    """A path as every command prints it: below the working directory from there, elsewhere in full."""
    here, whole = Path.cwd(), Path.cwd() / path
    return whole.relative_to(here) if whole.is_relative_to(here) else whole
