"""The page of an evaluation: what it says of calibration is what the report holds."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.report.html import calibration_table
from training.metrics.calibration import calibration_of


def test_the_parts_of_the_brier_score_stand_on_the_page_and_add_up() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (200, 3))
    before, after = (np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (logits, logits / 2))
    truth = np.array([random.choice(3, p=row) for row in after])
    found = calibration_of(before.astype(np.float32), after.astype(np.float32), truth, np.arange(200) % 10)
    table = calibration_table(found)
    assert [row[0] for row in table.rows] == ["before calibration", "after calibration"]
    for row, when in zip(table.rows, ("before", "after"), strict=True):
        cells = dict(zip(table.head[1:], map(float, row[1:]), strict=True))
        parts = cells["reliability"] - cells["resolution"] + cells["uncertainty"] + cells["within bins"]
        assert cells["Brier"] == pytest.approx(found[f"brier_{when}"], abs=1e-3)
        assert parts == pytest.approx(cells["Brier"], abs=3e-3)
        assert cells["NLL"] == pytest.approx(found[f"nll_{when}"], abs=1e-3)
    assert float(table.rows[0][5]) > float(table.rows[1][5])


def test_what_lies_within_bins_has_no_sign_where_it_is_nothing() -> None:
    probabilities = np.full((20, 2), 0.5, np.float32)
    found = calibration_of(probabilities, probabilities, np.arange(20) % 2, np.arange(20) % 10)
    for when in ("before", "after"):
        found[f"brier_parts_{when}"] |= {"within_bin_variance": 0.0, "within_bin_covariance": 1e-5}
    assert [row[-1] for row in calibration_table(found).rows] == ["0.000", "0.000"]
