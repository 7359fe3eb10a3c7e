"""The ensemble on functionals: standardised by what it was trained on, one network afterwards, refused in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from emotions.errors import ConfigError
from training.config.architectures import FunctionalsArchitecture
from training.config.train import ModelSpec
from training.models.classifiers.functionals import FunctionalsHead, Standardised
from training.models.registry import build_model

TARGETS = {"emotion": ["a", "b", "c"], "state": ["x", "y"]}
WINDOW = 8_000


def make_spec(**architecture: Any) -> ModelSpec:
    small = {"members": 3, "layer_1_size": 4, **architecture}
    return ModelSpec(
        model="FunctionalsClassifier",
        architecture=small,
        window_samples=WINDOW,
        spectrogram_size=32,
        targets=TARGETS,
    )


def make_head(**architecture: Any) -> FunctionalsHead:
    torch.manual_seed(0)
    small = {"members": 3, "layer_1_size": 4, **architecture}
    return FunctionalsHead(10, FunctionalsArchitecture(**small), {"emotion": 3, "state": 2})


def test_one_output_per_target_in_their_order() -> None:
    logits = build_model(make_spec())(torch.randn(2, WINDOW), torch.tensor([WINDOW, 500]))
    assert {target: tuple(values.shape) for target, values in logits.items()} == {"emotion": (2, 3), "state": (2, 2)}
    assert [*logits] == [*TARGETS]


def test_a_model_keeps_the_features_that_it_was_trained_on() -> None:
    old = make_spec()  # written before specs had a version
    new = old.model_copy(update={"features": 2})
    assert [build_model(spec).frontend.settings()["version"] for spec in (old, new)] == [1, 2]


def test_statistics_of_batches_are_those_of_all_together() -> None:
    values = torch.randn(70, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-2, 1, 10, 1e3, 0]) + 7
    layer = Standardised(5)
    for part in values.split([16, 3, 1, 50]):
        layer.observe(part)
    torch.testing.assert_close(layer.mean, values.mean(0))
    torch.testing.assert_close((layer.squares / layer.count).sqrt(), values.std(0, correction=0), rtol=1e-4, atol=1e-5)
    layer.eval()
    found = layer(values)
    assert float(found[:, 1:4].std(dim=0, correction=0).sub(1).abs().max()) < 0.02
    assert float(found[:, 0].abs().max()) < 1  # what hardly varies is not blown up
    assert not found[:, 4].any()


def test_what_lies_far_out_is_cut() -> None:
    layer = Standardised(1)
    layer.observe(torch.randn(100, 1))
    found = layer.eval()(torch.tensor([[1e6], [-1e6], [torch.inf]]))
    assert found.flatten().tolist() == [4, -4, 4]


def test_statistics_stay_as_trained_and_go_into_checkpoints() -> None:
    head = make_head()
    head.observe(torch.randn(8, 10, 1) + 5)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    assert {f"standardised.{name}" for name in ("count", "mean", "squares")} <= before.keys()
    head(torch.randn(8, 10, 1), torch.ones(8))  # as while training: mixed, say
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    again = make_head().eval()
    again.load_state_dict(before)
    head.eval()
    features = torch.randn(4, 10, 1)
    assert torch.equal(again(features, torch.ones(4))["emotion"], head(features, torch.ones(4))["emotion"])


def test_training_without_dropout_equals_the_one_network_afterwards() -> None:
    head, features = make_head(dropout=0.0, input_dropout=0.0), torch.randn(8, 10, 1)
    trained = head(features, torch.ones(8))
    for target, answers in head.eval()(features, torch.ones(8)).items():
        torch.testing.assert_close(answers, trained[target], rtol=0, atol=1e-6)


def test_members_hear_different_parts() -> None:
    head = make_head(dropout=0.0, input_dropout=0.5)
    with torch.no_grad():
        head.hidden.weight.copy_(torch.eye(10)[:4].repeat(3, 1))
    hidden = head._hidden(torch.ones(50, 10)).detach().view(50, 3, 4)
    assert {round(float(each)) for each in hidden.unique()} == {0, 2}
    assert not torch.equal(hidden[:, 0], hidden[:, 1])


def test_a_clips_logits_do_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    model = build_model(make_spec())
    waveform, length = torch.randn(5, WINDOW), torch.tensor([WINDOW, 400, 3_000, 7_999, 1_234])
    for _ in range(5):
        model.head.observe(model.frontend(torch.randn(8, WINDOW), torch.randint(400, WINDOW, (8,)))[0])
    model.eval().requires_grad_(False)
    together = model(waveform, length)["emotion"].softmax(1)
    assert float(together.std(dim=0).max()) > 1e-3
    for row in range(5):
        alone = model(waveform[row : row + 1], length[row : row + 1])["emotion"].softmax(1)
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("key", "value"), [("members", 0), ("members", 65), ("layer_1_size", 0), ("input_dropout", 1)])
def test_an_impossible_architecture_is_refused_with_its_key(key: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"model_architecture\.{key}"):
        build_model(make_spec(**{key: value}))
