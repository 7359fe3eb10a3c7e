"""Draws: what is searched, from the seed and the number alone, never what no model can have."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.errors import ConfigError
from tests.training.tuning.conftest import MakeTune
from training.config.tune import TuneStep
from training.tuning.spaces import check_searched, draw, is_possible, search_spaces, train_step


def transformer(**architecture: Any) -> TuneStep:
    values = {"patch_transformer_size": None, "transformer_attantion_head_count": None, **architecture}
    return TuneStep.model_validate(
        {
            "model": "TransformerClassifier",
            "model_architecture": values,
            "learn_params": {"spectrogram_size": 128, "lr": {"base_lr": {"uniform": [0.1, 0.2]}}},
        }
    )


def test_spaces_lie_under_their_path(make_tune: MakeTune) -> None:
    spaces = search_spaces(make_tune(model_architecture__dropout={"uniform": [0, 0.5]}))
    assert list(spaces) == ["model_architecture.dropout", "learn_params.lr.base_lr", "learn_params.batch_size"]
    assert spaces["learn_params.lr.base_lr"].loguniform == [1e-4, 1e-1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(0, 10_000))
def test_a_draw_is_possible_and_inside_its_spaces(seed: int, number: int) -> None:
    step = transformer(layer_1_size={"randint": [30, 33]})
    values = draw(step, seed, number)
    assert values == draw(step, seed, number)
    assert values["model_architecture.patch_transformer_size"] in (16,)  # 32 and 64 leave too few patches of 128
    assert 1 <= values["model_architecture.transformer_attantion_head_count"] <= 9
    assert values["model_architecture.layer_1_size"] in (30, 31, 32, 33)
    assert 0.1 <= values["learn_params.lr.base_lr"] <= 0.2
    made = train_step(step, values)
    assert made.type == "train"
    assert made.learn_params.lr.base_lr == values["learn_params.lr.base_lr"]


def test_draws_differ_from_trial_to_trial_and_cover_their_range(make_tune: MakeTune) -> None:
    drawn = [draw(make_tune(), 0, number)["learn_params.lr.base_lr"] for number in range(200)]
    assert len(set(drawn)) == 200
    shares = [sum(low <= math.log10(rate) < low + 1 for rate in drawn) / 200 for low in (-4, -3, -2)]
    assert all(abs(share - 1 / 3) < 0.12 for share in shares)
    assert drawn != [draw(make_tune(), 1, number)["learn_params.lr.base_lr"] for number in range(200)]


def test_what_the_file_leaves_out_keeps_the_defaults_of_a_train_step(make_tune: MakeTune) -> None:
    step = train_step(make_tune(), {"learn_params.batch_size": 4, "learn_params.lr.base_lr": 0.1})
    assert step.learn_params.gradient_clip_norm == 5.0
    assert step.learn_params.lr.conv_lr is None


def test_impossible_values_are_told_apart() -> None:
    values = {"model_architecture.transformer_attantion_head_count": 2, "learn_params.lr.base_lr": 0.1}
    assert is_possible(transformer(), {**values, "model_architecture.patch_transformer_size": 16})
    assert not is_possible(transformer(), {**values, "model_architecture.patch_transformer_size": 48})


def test_a_search_that_can_only_draw_the_impossible_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tuning.spaces.is_possible", lambda *_: False)
    with pytest.raises(ConfigError, match="1000 draws gave no combination that a TransformerClassifier can have"):
        draw(transformer(), 0, 0)


def test_nothing_to_tune_is_refused(make_tune: MakeTune) -> None:
    fixed = make_tune(learn_params__lr={"base_lr": 0.1}, learn_params__batch_size=4)
    with pytest.raises(ConfigError, match=r"the tune step has nothing to tune: .* use a train step"):
        check_searched(fixed)
    check_searched(make_tune())
