"""Figures agree with two libraries, and intervals hold the truth as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from training.metrics.classification import Array, confusions, figures, score
from training.metrics.intervals import intervals

CLASSES = 4
DRAWS = 1_000


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn_and_torchmetrics(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, said = random.integers(0, CLASSES, 200), random.integers(0, CLASSES, 200)
    counts = confusions(truth, said[None], CLASSES, random.integers(0, 7, 200)).sum(axis=0)
    mine = {name: values[0] for name, values in figures(counts).items()}
    scores = score(truth.tolist(), said.tolist(), "abcd")
    a, b = torch.from_numpy(said), torch.from_numpy(truth)
    macro = {"num_classes": CLASSES, "average": "macro"}
    theirs = {
        "uar": multiclass_accuracy(a, b, **macro),
        "wa": multiclass_accuracy(a, b, CLASSES, average="micro"),
        "macro_f1": multiclass_f1_score(a, b, **macro),
    }
    sklearn = {
        "uar": recall_score(truth, said, average="macro"),
        "wa": accuracy_score(truth, said),
        "macro_f1": f1_score(truth, said, average="macro"),
    }
    for name, value in theirs.items():
        assert mine[name] == scores[name] == pytest.approx(sklearn[name], abs=1e-12)
        assert mine[name] == pytest.approx(float(value), abs=1e-6)
    per_class = {"num_classes": CLASSES, "average": None}
    np.testing.assert_allclose(mine["recall"], multiclass_recall(a, b, **per_class), atol=1e-6)
    np.testing.assert_allclose(mine["precision"], multiclass_precision(a, b, **per_class), atol=1e-6)
    assert counts[0].tolist() == scores["confusion"] == multiclass_confusion_matrix(a, b, CLASSES).tolist()
    assert mine["recall"].tolist() == pytest.approx([row["recall"] for row in scores["per_class"].values()])


def test_a_class_that_never_occurs_counts_for_nothing() -> None:
    found = figures(np.array([[3.0, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert found["uar"] == pytest.approx((0.75 + 1) / 2)
    assert np.isnan(found["recall"][2])
    assert np.isnan(found["precision"][2])


def simulated(random: np.random.Generator, speakers: int, truth: float, spread: float, *, unequal: bool) -> Array:
    """Confusion matrices of speakers, (speakers, 1, 4, 4), whose own accuracies scatter around ``truth``."""
    clips = random.integers(2, 21, (speakers, CLASSES)) if unequal else np.full((speakers, CLASSES), 8)
    concentration = truth * (1 - truth) / spread**2 - 1
    own = random.beta(truth * concentration, (1 - truth) * concentration, speakers)
    right = random.binomial(clips, own[:, None])
    counts = np.zeros((speakers, 1, CLASSES, CLASSES))
    for label in range(CLASSES):
        counts[:, 0, label, label] = right[:, label]
        counts[:, 0, label, (label + 1) % CLASSES] = clips[:, label] - right[:, label]
    return counts


TRUTHS = [(0.85, 0.05, False), pytest.param(0.7, 0.1, True, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("truth", "spread", "unequal"), TRUTHS)
def test_intervals_hold_the_truth_in_92_to_98_percent_of_the_draws(
    truth: float, spread: float, unequal: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, covered = [], {}
    for speakers in (10, 20, 60):
        random = np.random.default_rng(speakers)
        held, width = 0, 0.0
        for _ in range(DRAWS):
            bounds = intervals(simulated(random, speakers, truth, spread, unequal=unequal))["uar"]
            assert bounds is not None
            held += bounds[0] <= truth <= bounds[1]
            width += bounds[1] - bounds[0]
        covered[speakers] = held / DRAWS
        lines.append(
            f"{truth:.2f}  {spread:.2f}  {unequal!s:>7}  {speakers:>8}  {held / DRAWS:.3f}  {width / DRAWS:.3f}"
        )
    with capsys.disabled():
        print("\ntruth spread unequal speakers covered width", *lines, sep="\n")
    assert all(0.92 <= share <= 0.98 for share in covered.values())


def test_two_speakers_have_no_interval() -> None:
    counts = simulated(np.random.default_rng(0), 2, 0.8, 0.05, unequal=False)
    assert set(intervals(counts).values()) == {None}


def test_a_figure_of_one_is_not_certain() -> None:
    counts = np.zeros((5, 1, 2, 2))
    counts[:, 0, 0, 0] = counts[:, 0, 1, 1] = 3
    bounds = intervals(counts)["uar"]
    assert bounds is not None
    assert bounds[1] == 1
    assert 0.5 < bounds[0] < 0.95


def test_an_interval_is_the_same_every_time() -> None:
    counts = simulated(np.random.default_rng(1), 12, 0.8, 0.05, unequal=True)
    assert intervals(counts) == intervals(counts)


def test_speakers_who_agree_do_not_make_a_figure_certain() -> None:
    counts = np.zeros((10, 1, 2, 2))
    counts[:, 0, 0] = 1  # each speaker is right once in two
    bounds = intervals(counts)["recall.0"]
    assert bounds is not None
    assert bounds == pytest.approx((0.3, 0.7), abs=0.02)  # as twenty independent clips have it (Wilson: 0.299 to 0.701)
    alike = np.concatenate([counts] * 4)
    assert intervals(alike)["recall.0"] == pytest.approx((0.39, 0.61), abs=0.01)


def test_at_one_an_interval_is_that_of_the_rule_of_three() -> None:
    counts = np.zeros((100, 1, 2, 2))
    counts[:, 0, 0, 0] = counts[:, 0, 1, 1] = 1
    bounds = intervals(counts)["recall.0"]
    assert bounds is not None
    assert 1 - bounds[0] == pytest.approx(3.5 / 100, abs=0.005)
    assert bounds[1] == 1


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.5, 0.85])
def test_intervals_of_independent_clips_hold_the_truth(truth: float, capsys: pytest.CaptureFixture[str]) -> None:
    for speakers in (5, 10, 20, 60):
        random, held, certain = np.random.default_rng(speakers), 0, 0
        for _ in range(DRAWS // 2):
            right = random.binomial(2, truth, (speakers, CLASSES))
            counts = np.zeros((speakers, 1, CLASSES, CLASSES))
            for label in range(CLASSES):
                counts[:, 0, label, label] = right[:, label]
                counts[:, 0, label, (label + 1) % CLASSES] = 2 - right[:, label]
            found = intervals(counts)
            overall, of_class = found["uar"], found["recall.0"]
            assert overall is not None
            assert of_class is not None
            held += overall[0] <= truth <= overall[1]
            certain += of_class[1] - of_class[0] < 0.01
        with capsys.disabled():
            print(f"\n{truth}, {speakers} speakers of 2 clips a class: {held / (DRAWS // 2):.3f}")
        assert 0.93 <= held / (DRAWS // 2) <= 0.995
        assert certain == 0
