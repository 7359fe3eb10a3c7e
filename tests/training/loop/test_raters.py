"""Training on the labels of several raters: the loss, the run folder, and what the report says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from emotions.pipeline.runner import Context
from tests.pages import text_of
from tests.training.conftest import build_step
from training.data.waveforms.dataset import NO_LABEL, shares_key
from training.loop.fit import fit
from training.loop.losses import Objective, total_loss

LOGITS = {"emotion": torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.4, 0.3], [0.0, 1.0, 0.0]])}
SHARES = torch.tensor([[1.0, 0, 0], [0.5, 0.25, 0.25], [0, 0, 0]])
EVEN = {"emotion": torch.ones(3)}


def test_the_loss_is_the_divergence_from_the_raters_but_for_a_constant() -> None:
    truth = {"emotion": torch.tensor([0, 0, NO_LABEL]), shares_key("emotion"): SHARES}
    found = total_loss(LOGITS, truth, EVEN)
    said = LOGITS["emotion"][:2].log_softmax(1)
    divergence = kl_div(said, SHARES[:2], reduction="batchmean")
    entropy = -(SHARES[:2] * SHARES[:2].clamp_min(1e-9).log()).sum() / 2
    assert float(found) == pytest.approx(float(divergence + entropy), abs=1e-5)


@pytest.mark.parametrize("objective", [Objective(), Objective(smoothing=0.1), Objective(gamma=2.0)])
def test_raters_who_agree_give_the_loss_of_labels(objective: Objective) -> None:
    labels = torch.tensor([2, 0, 1])
    weights = EVEN if objective.smoothing else {"emotion": torch.tensor([0.5, 1.0, 2.0])}
    told = {"emotion": labels, shares_key("emotion"): torch.eye(3)[labels]}
    hard, soft = (float(total_loss(LOGITS, each, weights, objective)) for each in ({"emotion": labels}, told))
    assert soft == pytest.approx(hard, rel=1e-5)


def test_a_weight_counts_for_the_recording_and_does_not_bend_its_distribution() -> None:
    truth = {"emotion": torch.tensor([0]), shares_key("emotion"): SHARES[1:2]}
    logits = {"emotion": LOGITS["emotion"][1:2]}
    found = total_loss(logits, truth, {"emotion": torch.tensor([3.0, 0.1, 50.0])})
    assert float(found) == pytest.approx(float(cross_entropy(logits["emotion"], SHARES[1:2])), rel=1e-5)


def test_a_run_learns_from_raters_and_reports_how_they_agree(
    rated: Path, tmp_path: Path, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = {"path": str(rated), "targets": {"emotion": {"raters": "rater"}}}
    losses = {}
    for soft in (True, False):
        run = tmp_path / f"run_{soft}"
        changes = {"learn_params__soft_labels": soft, "learn_params__augmentation": {"mixup_alpha": 0.2}}
        fit(build_step(rated, run, dataset=dataset, learn_params__max_epoch=1, **changes), context)
        index = json.loads((run / "run.json").read_text())
        losses[soft] = json.loads((run / "metrics.json").read_text())["history"]["train/loss"][0]
        agreement = index["dataset"]["split"]["raters"]["emotion"]
        assert (agreement["clips"], agreement["ties"], agreement["ratings"]) == (20, 3, 57)
        assert 0 < agreement["alpha"] < 1
        found = index["calibration"]["emotion"]
        assert {"kl_before", "js_after", "ece_of_majority_after"} < found["raters"].keys()
        assert found["nll_after"] >= found["raters"]["kl_after"]
        assert index["metrics"]["test"]["emotion"]["clips"] == 4
        page = text_of((run / "report.html").read_text())
        assert "57 ratings: Krippendorff's alpha is" in page
        assert "3 are ties" in page
        assert "distance from the raters: KL" in page
    assert losses[True] != losses[False]
    assert "Krippendorff's alpha" in capsys.readouterr().out


def test_folds_that_validate_know_the_raters(rated: Path, tmp_path: Path, context: Context) -> None:
    dataset = {"path": str(rated), "targets": {"emotion": {"raters": "rater"}}, "split": {"val_folds": 2, "test": 0.2}}
    changes = {"learn_params__max_epoch": 1, "learn_params__keep": "last", "learn_params__sampling": "balanced"}
    fit(build_step(rated, tmp_path / "run", dataset=dataset, **changes), context)
    found = json.loads((tmp_path / "run" / "run.json").read_text())["calibration"]["emotion"]
    assert found["measured_on"] == "test"
    assert np.isfinite(found["raters"]["kl_after"])
