"""Fixtures of the tests of importers."""

from __future__ import annotations

from tests.export.huggingface.conftest import classifier

__all__ = ["classifier"]
