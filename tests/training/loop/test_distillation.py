"""Learning from a teacher: the loss, a run from its first epoch to its report, and what stops it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import softmax

from emotions.errors import OutputExists
from emotions.pipeline.runner import Context
from tests.pages import text_of
from tests.training.conftest import MakeStep
from training.config.learning import Augmentation, WaveformAugmentation
from training.corpus import read_corpus
from training.data.waveforms.dataset import WindowDataset
from training.loop.fit import fit
from training.loop.losses import Distillation, Objective, distillation_loss, distillation_of
from training.loop.module import ClassifierModule
from training.loop.precompute import precomputed
from training.run_folder.read import load_run, read_checkpoint

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
ANSWERS = softmax(torch.randn(6, 3, generator=torch.Generator().manual_seed(1)), dim=1)


def loss(distillation: Distillation, answers: torch.Tensor = ANSWERS, **more: Any) -> torch.Tensor:
    return distillation_loss({"a": LOGITS}, {"a": answers}, distillation, **more)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_loss_is_its_formula(temperature: float) -> None:
    taught = ANSWERS ** (1 / temperature)
    taught /= taught.sum(dim=1, keepdim=True)
    own = softmax(LOGITS / temperature, dim=1)
    expected = temperature**2 * (taught * (taught / own).log()).sum(dim=1).mean()
    torch.testing.assert_close(loss(Distillation(0.5, temperature)), expected)


def test_it_is_nothing_where_both_agree_and_finite_where_the_teacher_is_certain() -> None:
    assert loss(Distillation(0.5, 2.0), softmax(LOGITS, dim=1)).item() == pytest.approx(0, abs=1e-6)
    logits = LOGITS.clone().requires_grad_()
    certain = torch.eye(3).repeat(2, 1)
    found = distillation_loss({"a": logits}, {"a": certain}, Distillation(0.5, 2.0))
    found.backward()  # type: ignore[no-untyped-call]
    assert found.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_its_gradient_leads_to_the_teacher(temperature: float) -> None:
    logits = LOGITS.clone().requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.1)
    for _ in range(200):
        optimiser.zero_grad()
        distillation_loss({"a": logits}, {"a": ANSWERS}, Distillation(1.0, temperature)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    torch.testing.assert_close(softmax(logits.detach(), dim=1), ANSWERS, atol=0.01, rtol=0)


def test_every_clip_counts_once_and_every_target_by_its_weight() -> None:
    once = distillation_loss({"a": LOGITS[:2]}, {"a": ANSWERS[:2]}, Distillation(0.5, 2.0))
    rows = torch.tensor([0, 1, 1])
    shares = torch.tensor([1.0, 0.5, 0.5])
    mean = Distillation(0.5, 2.0, mean_share=2 / 3)
    twice = distillation_loss({"a": LOGITS[rows]}, {"a": ANSWERS[rows]}, mean, shares=shares)
    torch.testing.assert_close(once, twice)
    both = {"a": LOGITS, "b": LOGITS}
    weighed = Objective(target_weights={"b": 0.5})
    found = distillation_loss(both, {"a": ANSWERS, "b": ANSWERS}, Distillation(0.5, 2.0), weighed)
    torch.testing.assert_close(found, 1.5 * loss(Distillation(0.5, 2.0)))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = read_checkpoint(run / "last.ckpt")["state_dict"]
    return state


@pytest.fixture
def few_labels(corpus_folder: Path, tmp_path: Path, make_step: MakeStep, context: Context) -> tuple[Path, Path]:
    """The corpus with labels swapped in training, and the folder of recordings without labels: one training speaker."""
    corpus = read_corpus(make_step(), context)
    speaker = corpus.table.clips[corpus.split.train[-1]].speaker
    assert speaker is not None
    data = shutil.copytree(corpus_folder, tmp_path / "data")
    more = Path(shutil.move(data / speaker, tmp_path / "more"))
    rows = read(data / "annotations.json")
    kept = {name: row for name, row in rows.items() if row["speaker"] != speaker}
    (data / "annotations.json").write_text(json.dumps(kept))
    return data, more


def test_a_run_learns_from_its_teacher_and_says_so(
    teacher_bundle: Path, few_labels: tuple[Path, Path], make_step: MakeStep, context: Context
) -> None:
    data, more = few_labels
    teacher = {"bundle": str(teacher_bundle), "weight": 1.0}
    changes = {"dataset__path": str(data), "learn_params__max_epoch": 2}
    run = fit(make_step(teacher=teacher, dataset__unlabelled=str(more), **changes), context)
    index = read(run / "run.json")
    told = index["teacher"]
    assert (told["weight"], told["temperature"]) == (1.0, 2.0)
    assert told["bundle"].startswith("tiny-teacher@")
    assert told["unlabelled"]["clips"] == 4
    assert told["trained_on"] != index["dataset"]["fingerprint"]
    assert index["dataset"]["clips"] == 16
    assert load_run(run).teacher == told
    assert read(run / "training.json")["settings"]["teacher"]["digest"] == told["digest"]
    page = text_of((run / "report.html").read_text(encoding="utf-8"))
    assert "Learnt from the teacher tiny-teacher@" in page
    assert "on 4 unlabelled ones" in page
    assert "The teacher was trained on another dataset" in page
    assert str(more) not in (run / "report.html").read_text(encoding="utf-8")


def test_weights_and_recordings_of_a_teacher_change_what_is_learnt(
    teacher_bundle: Path, few_labels: tuple[Path, Path], make_step: MakeStep, context: Context
) -> None:
    data, more = few_labels
    bundle = {"bundle": str(teacher_bundle)}
    steps = {
        "plain": {},
        "taught": {"teacher": bundle},
        "softer": {"teacher": {**bundle, "temperature": 4.0}},
        "more": {"teacher": bundle, "dataset__unlabelled": str(more)},
    }
    found = [weights(fit(make_step(name, dataset__path=str(data), **each), context)) for name, each in steps.items()]
    outputs = [torch.cat([each[name].flatten().float() for name in each]) for each in found]
    assert all(not torch.equal(one, two) for at, one in enumerate(outputs) for two in outputs[at + 1 :])


def test_a_resumed_run_equals_an_unbroken_one_and_another_teacher_is_refused(
    teacher_bundle: Path, corpus_folder: Path, make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"learn_params__max_epoch": 3, "learn_params__batch_size": 5}
    teacher = {"bundle": str(teacher_bundle)}
    whole = fit(make_step("whole", teacher=teacher, **changes), context)
    start = ClassifierModule.on_train_batch_start

    def interrupted(module: ClassifierModule, *batch: Any) -> None:
        if module.current_epoch == 1:
            raise KeyboardInterrupt
        start(module, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(ClassifierModule, "on_train_batch_start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(make_step("broken", teacher=teacher, **changes), context)
    with pytest.raises(OutputExists, match=r"teacher\.weight was 0\.5, now 0\.75"):
        fit(make_step("broken", teacher={**teacher, "weight": 0.75}, **changes), context)
    with pytest.raises(OutputExists, match=r"teacher\.digest was"):
        fit(make_step("broken", **changes), context)
    resumed = fit(make_step("broken", teacher=teacher, **changes), context)
    expected, found = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(mixup_alpha=0.4), Augmentation(waveform=WaveformAugmentation(gain_db=[-6, 6], speed=[0.9, 1.1]))],
    ids=["mixup", "waveform"],
)
def test_what_is_changed_on_the_fly_is_answered_as_it_was(
    teacher_bundle: Path, make_step: MakeStep, context: Context, augmentation: Augmentation, private_cache: Path
) -> None:
    step = make_step(teacher=str(teacher_bundle), learn_params__sampling="balanced", learn_params__max_epoch=1)
    step = step.model_copy(update={"learn_params": step.learn_params.model_copy(update={"augmentation": augmentation})})
    run = fit(step, context)
    assert read(run / "metrics.json")["history"]["train/loss"][0] > 0
    assert len([*private_cache.glob("teacher/??/*.npy")]) == 12


def test_the_shares_of_windows_are_those_of_all_that_are_drawn(
    teacher_bundle: Path, make_step: MakeStep, context: Context
) -> None:
    step = make_step(teacher=str(teacher_bundle))
    corpus = precomputed(read_corpus(step, context), step)
    found = distillation_of(step, corpus)
    assert found is not None
    assert found.mean_share == len(corpus.train.clips) / len(corpus.train) < 1
    balanced = make_step(teacher=str(teacher_bundle), learn_params__sampling="balanced")
    of_draws = distillation_of(balanced, corpus)
    assert of_draws is not None
    assert of_draws.mean_share is None
    assert distillation_of(make_step(), replace(corpus, answers=None)) is None
    assert isinstance(read_corpus(step, context).train, WindowDataset)
