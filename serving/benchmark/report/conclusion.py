"""What a benchmark says, in one sentence for whoever decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def conclusion(report: Mapping[str, Any]) -> str:
    """One sentence: how many requests a second within which time, or else how fast recordings are classified.

    Args:
        report: content of ``report.json``.
    """
    parts = [*_served(report.get("scenarios", {})), *_folder(report)]
    told = "; ".join(parts) or "nothing was measured"
    return f"{told[0].upper()}{told[1:]}."


def _served(scenarios: Mapping[str, Any]) -> Iterator[str]:
    """What the search found, which is the rate to plan with; without it what one request takes."""
    search, single = scenarios.get("search"), scenarios.get("single_stream")
    if search:
        limit = f"within {search['limit_ms']:g} ms"
        if search["rate_per_sec"]:
            low, high = search["interval"]
            yield f"This machine answers {_rate(search['rate_per_sec'])} requests/s, 99 of 100 {limit}"
            yield f"between {_rate(low)} and {_rate(high)} with 95 % confidence"
        else:
            yield f"This machine does not answer 99 of 100 requests {limit} at any rate that was tried"
    if single and single.get("latency_ms"):
        yield f"a request alone takes {single['latency_ms']['p50']['median']:.0f} ms"


def _folder(report: Mapping[str, Any]) -> Iterator[str]:
    """The fastest way to classify many recordings that was measured."""
    layers = report.get("layers", {})
    for name, words in (("folder", "a folder is classified"), (report.get("best_session"), "the model alone works")):
        if name in layers:
            speed = layers[name]["audio_sec_per_sec"]["median"]
            yield f"{words} {_rate(speed)} times faster than it sounds"
            return


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"
