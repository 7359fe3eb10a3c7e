"""Sites without a try of the model: the runtime's files are empty, and Node is not found."""

from __future__ import annotations

import pytest

from serving.http.page.static_site.runtime import Runtime


@pytest.fixture
def empty_runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """A runtime of empty files, where no Node is."""
    monkeypatch.setenv("PATH", "")
    return Runtime({"ort.wasm.min.mjs": b"", "ort-wasm-simd-threaded.mjs": b"", "ort-wasm-simd-threaded.wasm": b""})
