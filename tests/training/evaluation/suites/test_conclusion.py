"""The sentences that the report of a suite opens with."""

from __future__ import annotations

from typing import Any

from training.evaluation.suites.conclusion import suite_conclusion
from training.metrics.classification import score

OVERALL = score([0, 0, 1, 1], [0, 0, 1, 0], ["calm", "loud"])


def report(suite: str, tests: list[dict[str, Any]], protocol: str = "another dataset") -> dict[str, Any]:
    return {"suite": suite, "tests": tests, "protocol": protocol, "overall": OVERALL}


def test_accuracy_alone() -> None:
    assert suite_conclusion(report("accuracy", [])) == [
        "About 75 of 100 recordings of a new speaker are right, each class counted alike; chance is 50; most often it "
        "takes loud for calm (50 of 100)."
    ]


def test_what_it_was_trained_on_is_said() -> None:
    (told,) = suite_conclusion(report("accuracy", [], "its training clips among them: the figures are too good"))
    assert "recordings that it was partly trained on are right" in told


def test_the_change_that_costs_most() -> None:
    tests = [{"name": "hum", "uar_loss": 0.02, "passed": True}, {"name": "telephone", "uar_loss": 0.3, "passed": False}]
    assert suite_conclusion(report("robustness", tests))[0] == (
        "1 of 2 changes of the sound leave it as good as before; the worst, telephone, costs 30 of 100 right answers."
    )
    assert suite_conclusion(report("robustness", tests[:1]))[0].endswith("costs 2 of 100 right answers.")
    harmless = [{"name": "hum", "uar_loss": -0.02, "passed": True}]
    assert suite_conclusion(report("robustness", harmless))[0].endswith("as good as before.")


def test_groups_that_differ_and_groups_too_small() -> None:
    gap = {"name": "sex", "uar_gap": 0.11, "groups": 2, "passed": False}
    few = {"name": "<device>", "uar_gap": 0.0, "groups": 1, "passed": False}
    unsure = {"name": "age", "uar_gap": 0.5, "groups": 2, "verdict": "cannot be told", "passed": False}
    assert suite_conclusion(report("fairness", [gap, few, unsure]))[0] == (
        "0 of 3 comparisons of groups are within the limit; by sex they differ most, 11 of 100; too few recordings to "
        "tell by <device>, age."
    )
    assert "differ most" not in suite_conclusion(report("fairness", [few]))[0]
