"""What a suite says, in sentences for whoever decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from training.metrics.conclusion import conclusion, shortened


def suite_conclusion(report: Mapping[str, Any]) -> list[str]:
    """Sentences for whoever decides: how the tests ended, and how much of the answers is right.

    Args:
        report: content of ``report.json``.
    """
    whose = "that it was partly trained on" if "too good" in report["protocol"] else "of a new speaker"
    return [*_verdict(report), conclusion(report["overall"], whose)]


def _verdict(report: Mapping[str, Any]) -> Iterator[str]:
    tests = report["tests"]
    if not tests:
        return
    passed = sum(test["passed"] for test in tests)
    if report["suite"] == "fairness":
        yield f"{passed} of {len(tests)} comparisons of groups are within the limit{_widest(tests)}."
    else:
        yield f"{passed} of {len(tests)} changes of the sound leave it as good as before{_worst(tests)}."


def _widest(tests: Sequence[Mapping[str, Any]]) -> str:
    unknown = [test["name"] for test in tests if test.get("verdict") == "cannot be told" or test.get("groups", 2) < 2]
    measured = [test for test in tests if test["name"] not in unknown]
    widest = max(measured, key=lambda test: test.get("uar_gap", 0.0), default=None)
    told = f"; by {widest['name']} they differ most, {100 * widest.get('uar_gap', 0.0):.0f} of 100" if widest else ""
    return told + (f"; too few recordings to tell by {', '.join(map(shortened, unknown[:3]))}" if unknown else "")


def _worst(tests: Sequence[Mapping[str, Any]]) -> str:
    worst = max(tests, key=lambda test: test.get("uar_loss", 0.0))
    loss = 100 * worst.get("uar_loss", 0.0)
    return f"; the worst, {worst['name']}, costs {loss:.0f} of 100 right answers" if loss >= 1 else ""
