"""The sentence that the report of a benchmark opens with."""

from __future__ import annotations

from typing import Any

from serving.benchmark.report.conclusion import conclusion

SINGLE = {"latency_ms": {"p50": {"median": 4.2}}}


def search(rate: float) -> dict[str, Any]:
    return {"limit_ms": 100.0, "rate_per_sec": rate, "interval": [0.9 * rate, 1.1 * rate]}


def test_a_rate_that_was_searched() -> None:
    assert conclusion({"scenarios": {"search": search(200.0), "single_stream": SINGLE}}) == (
        "This machine answers 200 requests/s, 99 of 100 within 100 ms; between 180 and 220 with 95 % confidence; a "
        "request alone takes 4 ms."
    )


def test_no_rate_is_fast_enough() -> None:
    assert "does not answer 99 of 100 requests within 100 ms at any rate" in conclusion(
        {"scenarios": {"search": search(0.0)}}
    )


def test_a_folder_or_the_model_alone() -> None:
    layers = {name: {"audio_sec_per_sec": {"median": speed}} for name, speed in (("b 8", 900.4), ("folder", 3.14))}
    assert conclusion({"layers": layers, "best_session": "b 8"}) == (
        "A folder is classified 3.1 times faster than it sounds."
    )
    del layers["folder"]
    assert conclusion({"layers": layers, "best_session": "b 8"}) == (
        "The model alone works 900 times faster than it sounds."
    )


def test_nothing() -> None:
    assert conclusion({"layers": {}, "best_session": "x"}) == "Nothing was measured."
