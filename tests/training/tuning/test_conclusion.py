"""The sentence that the report of a search opens with, and its page."""

from __future__ import annotations

from tests.pages import text_of
from tests.training.tuning.conftest import make_search
from tests.training.tuning.test_records import make_trial
from training.tuning.conclusion import conclusion
from training.tuning.page import search_page

VALUES = {"learn_params.lr.base_lr": 0.001, "learn_params.batch_size": 8}


def test_the_best_trial_with_its_values() -> None:
    trials = [make_trial(number, [value], values=VALUES) for number, value in ((2, 0.71), (0, 0.5), (1, 0.4))]
    told = conclusion(make_search(state="finished"), trials, {"base_lr": 0.8, "batch_size": 0.2})
    assert told == (
        "Trial 2 is the best of 3: it reaches 71 of 100 (val/emotion_uar) on the validation part; its values: base_lr "
        "0.001, batch_size 8; the trial in the middle reaches 50 of 100; base_lr matters most (80% of the differences)."
    )


def test_nothing_yet_and_nothing_but_failures() -> None:
    assert conclusion(make_search(), [], {}) == "No trial has a result yet: 0 of 3 trials ended."
    failed = [make_trial(0, [], state="failed", reason="diverged")]
    assert conclusion(make_search(), failed, {}).endswith("1 of 3 trials ended, 1 of them failed.")


def test_a_search_that_still_runs_says_so() -> None:
    told = conclusion(make_search(state="interrupted"), [make_trial(0, [0.5], values=VALUES)], {})
    assert "not finished: 1 of 3 trials ended" in told
    assert "in the middle" not in told


def test_the_page_of_a_search_in_any_state() -> None:
    assert "No trial has a result yet" in text_of(search_page(make_search(), []))
    failed = make_trial(1, [], state="failed", reason="<b>diverged</b>", values=VALUES)
    page = search_page(make_search(), [make_trial(0, [0.2, 0.5], values=VALUES), failed])
    assert "<b>diverged" not in page
    assert "trial 1 failed" in text_of(page).lower()
    assert page.count("<svg") == 3
    many = [make_trial(number, [0.01 * (number % 90)], values=VALUES) for number in range(3_000)]
    assert len(search_page(make_search(num_samples=3_000), many)) < 900_000
