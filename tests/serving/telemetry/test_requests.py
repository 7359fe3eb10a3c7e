from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from serving.http.api_keys import add_key
from serving.telemetry.requests import new_id, record_spans, set_log_format, use_tracer_provider
from tests.serving.conftest import Service, StartService


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What BentoML's logger writes, in JSON."""
    text, logger = io.StringIO(), logging.getLogger("bentoml")
    handler, level = logging.StreamHandler(text), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    formatters = {each: each.formatter for each in logging.getLogger().handlers}
    set_log_format("json")
    yield text
    logger.removeHandler(handler)
    logger.setLevel(level)
    for each, formatter in formatters.items():
        each.setFormatter(formatter)


def lines(text: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.getvalue().splitlines()]


def test_a_request_is_one_line_with_its_id_and_figures(service: Service, clip: bytes, written: io.StringIO) -> None:
    service.post(clip, headers={"x-request-id": "mine"})
    (line,) = lines(written)
    figures = {name: line.pop(name) for name in ("ms", "decode_ms", "queue_ms", "inference_ms", "time")}
    assert line == {
        "level": "info",
        "logger": "bentoml.emotions",
        "event": "request",
        "request_id": "mine",
        "method": "POST",
        "route": "/v1/predict",
        "status": 200,
        "audio_sec": 1.2,
    }
    assert figures["ms"] >= figures["decode_ms"] > 0


def test_a_clients_mistake_is_a_line_without_traceback_path_or_file_name(
    service: Service, written: io.StringIO
) -> None:
    service.request("POST", "/v1/predict", files={"file": ("alice.wav", b"no audio")})
    service.request("GET", "/alice/clip.wav")
    first, second = lines(written)
    assert (first["status"], first["error"]) == (415, "not_audio")
    assert (second["route"], second["error"]) == ("other", "not_found")
    assert "alice" not in written.getvalue()
    assert "Traceback" not in written.getvalue()


def test_our_own_mistake_is_a_traceback_in_one_line(start: StartService, clip: bytes, written: io.StringIO) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("detail")

    start(broken).post(clip, headers={"x-request-id": "mine"})
    mistake, request = lines(written)
    assert mistake["message"] == "request mine failed"
    assert "detail" in mistake["traceback"]
    assert (request["status"], request["error"]) == (500, "internal")


def test_the_name_of_a_key_is_told_and_the_key_is_not(
    start: StartService, clip: bytes, tmp_path: Path, written: io.StringIO
) -> None:
    key = add_key(tmp_path / "keys", "mobile-app")
    start(api_keys_file=tmp_path / "keys").post(clip, headers={"x-api-key": key})
    (line,) = lines(written)
    assert line["key"] == "mobile-app"
    assert key not in written.getvalue()


def test_probes_and_scrapes_that_go_well_are_not_told(service: Service, written: io.StringIO) -> None:
    assert service.request("GET", "/metrics").status_code == 200
    assert lines(written) == []


def test_text_is_left_to_bentoml(service: Service, clip: bytes, caplog: pytest.LogCaptureFixture) -> None:
    set_log_format("text")
    with caplog.at_level(logging.INFO):
        service.post(clip, headers={"x-request-id": "mine"})
    (message,) = [each.getMessage() for each in caplog.records if each.name == "bentoml.emotions"]
    assert message.startswith("request request_id=mine method=POST route=/v1/predict status=200 ms=")


def test_spans_follow_each_other_below_the_requests_own_where_it_is_recorded() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer_provider(provider)
    stages = {"decode": 0.25, "queue": 0.5, "infer": 1.0}
    record_spans(stages, 3.0)
    assert exporter.get_finished_spans() == ()
    with trace.get_tracer("test").start_as_current_span("request") as request:
        record_spans(stages, 3.0)
    infer, queue, decode, _ = exporter.get_finished_spans()
    assert [span.name for span in (decode, queue, infer)] == [*stages]
    assert (decode.end_time, queue.end_time) == (queue.start_time, infer.start_time)
    assert infer.end_time is not None
    assert infer.start_time is not None
    assert infer.end_time - infer.start_time == pytest.approx(1e9)
    assert all(span.parent == request.get_span_context() for span in (decode, queue, infer))
    assert dict(infer.attributes or {}) == {"emotions.audio_sec": 3.0}


def test_a_label_begins_no_line_of_the_log_and_steers_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    set_log_format("text")
    set_log_format("text")
    with caplog.at_level(logging.INFO, "bentoml.emotions"):
        logging.getLogger("bentoml.emotions").info("serving %s", "joy\n2026-01-01 error \x1b[2J")
    assert caplog.messages == [r"serving joy\n2026-01-01 error \x1b[2J"]


def test_ids_differ_in_each_process() -> None:
    ids = {new_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    program = (
        "import os, sys\nfrom serving.telemetry.requests import new_id\n"
        "for _ in range(2):\n    if not os.fork():\n        print(new_id(), flush=True)\n        os._exit(0)\n"
        "    os.wait()\n"
        "print(new_id())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert len({*found.stdout.split()}) == 3
