"""What a benchmark makes of the messages of live streams."""

from __future__ import annotations

import pytest

from serving.benchmark.driver.stream_clients import Received, StreamRecord
from serving.benchmark.scenarios.streams import paced_figures


def test_delays_count_from_when_it_was_spoken() -> None:
    received = [
        Received("speech.started", "", 1.0, 0.0, 1.6),
        Received("measurement", "interval", 1.0, 2.0, 2.1),
        Received("measurement", "interval", 1.0, 3.0, 3.3),
        Received("speech.stopped", "", 1.0, 3.4, 3.8),
        Received("measurement", "speech_stopped", 1.0, 3.4, 3.9),
    ]
    found = paced_figures([StreamRecord(received, 5.0, 1, [0.001] * 50), StreamRecord(error="idle")])
    assert found["lag_ms"]["p50"] == pytest.approx(200)
    assert found["lag_ms"]["max"] == pytest.approx(300)
    assert found["started_to_measurement_ms"]["p99"] == pytest.approx(1100)
    assert found["stopped_to_measurement_ms"]["p99"] == pytest.approx(500)
    assert (found["measurements"], found["behind"], found["errors"]) == (3, 0, 1)
    assert found["slip_p99_ms"] == pytest.approx(1)


def test_a_stream_whose_lag_stays_long_has_fallen_behind() -> None:
    late = [Received("measurement", "interval", 0.0, at, at + 0.5 * at) for at in range(1, 11)]
    once = [Received("measurement", "interval", 0.0, at, at + (5 if at == 4 else 0.1)) for at in range(1, 11)]
    assert paced_figures([StreamRecord(late), StreamRecord(once)])["behind"] == 1
    assert paced_figures([])["lag_ms"] == {}
