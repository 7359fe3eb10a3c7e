"""Samplers: Optuna learns from trials on record, and proposes only what a model can have."""

from __future__ import annotations

from typing import Any

from tests.training.tuning.conftest import MakeTune, make_search
from training.config.tune import TuneStep
from training.tuning.records import TrialRecord
from training.tuning.samplers import OptunaSampler, RandomSampler
from training.tuning.spaces import draw


def finished(number: int, values: dict[str, Any], score: float | None, state: str = "done") -> TrialRecord:
    history = {} if score is None else {"val/emotion_uar": [score]}
    return TrialRecord.model_validate({"number": number, "values": values, "state": state, "history": history})


def score_of(values: dict[str, Any]) -> float:
    """Best at a learning rate of 0.01 and a batch of 8."""
    import math

    return (
        1 - abs(math.log10(values["learn_params.lr.base_lr"]) + 2) / 3 - 0.2 * (values["learn_params.batch_size"] != 8)
    )


def test_the_plain_search_draws_by_number(make_tune: MakeTune) -> None:
    sampler = RandomSampler(make_tune(), 5)
    assert [sampler.suggest(number) for number in (3, 1)] == [draw(make_tune(), 5, number) for number in (3, 1)]


def test_optuna_learns(make_tune: MakeTune) -> None:
    sampler = OptunaSampler(make_tune(), make_search(), [])
    scores = []
    for number in range(40):
        values = sampler.suggest(number)
        scores.append(score_of(values))
        sampler.tell(finished(number, values, scores[-1]))
    assert sum(scores[-10:]) / 10 > sum(scores[:10]) / 10 + 0.1


def test_a_search_that_goes_on_learns_from_its_record_and_repeats_nothing(make_tune: MakeTune) -> None:
    first = OptunaSampler(make_tune(), make_search(), [])
    ended = []
    for number in range(12):
        values = first.suggest(number)
        ended.append(finished(number, values, score_of(values)))
        first.tell(ended[-1])
    again = OptunaSampler(make_tune(), make_search(), ended)
    drawn = [again.suggest(number)["learn_params.lr.base_lr"] for number in range(12, 16)]
    assert not {*drawn} & {trial.values["learn_params.lr.base_lr"] for trial in ended}


def test_a_trial_without_a_figure_teaches_nothing_and_stops_nothing(make_tune: MakeTune) -> None:
    sampler = OptunaSampler(make_tune(), make_search(), [finished(0, {}, None, "failed")])
    values = sampler.suggest(1)
    sampler.tell(finished(1, values, None, "failed"))
    assert sampler.suggest(2) != values


def test_optuna_never_proposes_what_no_model_can_have() -> None:
    step = TuneStep.model_validate(
        {
            "model": "TransformerClassifier",
            "model_architecture": {"patch_transformer_size": {"choice": [8, 48, 64]}},
            "learn_params": {"spectrogram_size": 128},
        }
    )
    sampler = OptunaSampler(step, make_search(), [])
    assert {sampler.suggest(number)["model_architecture.patch_transformer_size"] for number in range(8)} == {8}
