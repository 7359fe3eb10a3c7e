"""Uploads where the temporary folder cannot take them."""

from __future__ import annotations

import base64
import json
import logging
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.conftest import Service, error_of

LARGE = bytes(3 << 20)


@pytest.fixture(params=["no room", "no folder"])
def full(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A temporary folder that takes small files alone, or none; its file is not of the log's folder."""
    if request.param == "no folder":
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "removed"))
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("full")
def test_a_full_temporary_folder_is_told_without_a_traceback(
    service: Service, clip: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    text = json.dumps({"audio": base64.b64encode(LARGE).decode()})
    with caplog.at_level(logging.WARNING):
        responses = [
            service.post(LARGE),
            service.request("POST", "/v1/predict", files={"file": ("a.wav", LARGE)}),
            service.request("POST", "/v1/predict/batch", files=[("file", ("a.wav", LARGE))] * 2),
            service.post(text, headers={"content-type": "application/json"}),
        ]
        infer = service.post(LARGE, "/v2/models/tiny/infer", headers={"inference-header-content-length": "0"})
    for response in responses:
        assert error_of(response) == (507, "no_space")
        assert "retry-after" in response.headers
    assert infer.status_code == 507
    assert "temporary folder" in caplog.text
    assert "Traceback" not in caplog.text
    assert service.post(clip).status_code == 200
