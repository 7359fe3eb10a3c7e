"""Wav2Vec2 classifiers: the fully connected head by its definition, both models built, trained and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from emotions.errors import ConfigError
from emotions.runtime.session import onnx_session
from tests.training.models.conftest import Checkpoint
from tests.training.models.exporting import to_onnx, traced
from training.config.architectures import ModelName
from training.config.learning import LearningRates
from training.config.train import ModelSpec
from training.loop.optimisers import parameter_groups
from training.models.base import Classifier
from training.models.classifiers.wav2vec2 import FnHead, WeightedHead
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend
from training.models.registry import build_model, pinned

TARGETS = {"emotion": ["a", "b", "c"], "state.of.mind": ["x", "y"]}
CLASSES = {"emotion": 3, "state.of.mind": 2}
WINDOW = 4_000
SHAPE = (6, 5)


def make_spec(model: ModelName, encoder: Path, **architecture: Any) -> ModelSpec:
    own: dict[str, Any] = {"conv_h_count": 1, "conv_w_count": 2, "layer_1_size": 16, "layer_2_size": 8}
    if model == "Wav2Vec2CnnClassifier":
        own = {"backbone": "test_efficientnet", "dropout": 0.1}
    return ModelSpec(
        model=model,
        architecture={"encoder": str(encoder), **own, **architecture},
        window_samples=WINDOW,
        spectrogram_size=32,
        targets=TARGETS,
    )


def build(model: ModelName, encoder: Path, **architecture: Any) -> Classifier:
    torch.manual_seed(0)
    return build_model(make_spec(model, encoder, **architecture))


def batch(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    waveform = 0.1 * torch.randn(rows, WINDOW, generator=generator)
    length = torch.randint(400, WINDOW, (rows,), generator=generator)
    length[0] = WINDOW
    return waveform, length


def trained_statistics(model: Classifier) -> Classifier:
    """Batch norm statistics that are not the initial ones, logits that tell clips apart, then evaluation mode."""
    model.train()
    outputs: Any = next(module.outputs for module in model.modules() if hasattr(module, "outputs"))
    with torch.no_grad():
        for output in outputs:
            output.weight *= 10
        for seed in range(10):
            model(*batch(8, seed))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (0, 2), (3, 2)])
def test_the_head_sees_what_its_definition_says(counts: tuple[int, int]) -> None:
    (over_dims, over_time), (dims, frames) = counts, SHAPE
    head = FnHead(SHAPE, counts, (4, 3), CLASSES)
    seen: list[Tensor] = []
    head.layers.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features, valid = torch.randn(2, *SHAPE), torch.tensor([5, 3])
    features[1, :, 3:] = 0
    head(features, valid)
    views = seen[0].split([dims, frames, over_time * dims, over_dims * frames], dim=1)  # type: ignore[no-untyped-call]
    for row, count in enumerate(valid.tolist()):
        clip = features[row, :, :count]
        torch.testing.assert_close(views[0][row], clip.mean(dim=1))
        torch.testing.assert_close(views[1][row], functional.pad(clip.mean(dim=0), (0, frames - count)))
        if head.over_time is not None:
            weight, bias = head.over_time.weight[:, :count, 0], head.over_time.bias
            assert bias is not None
            torch.testing.assert_close(views[2][row].view(over_time, dims), weight @ clip.T + bias[:, None])
        if head.over_dims is not None:
            weight, bias = head.over_dims.weight[:, :, 0], head.over_dims.bias
            assert bias is not None
            expected = functional.pad(weight @ clip + bias[:, None], (0, frames - count))
            torch.testing.assert_close(views[3][row].view(over_dims, frames), expected)


def test_a_window_without_a_frame_stays_finite() -> None:
    logits = FnHead(SHAPE, (1, 1), (4, 3), CLASSES).eval()(torch.zeros(1, *SHAPE), torch.tensor([0]))
    assert all(bool(values.isfinite().all()) for values in logits.values())


@pytest.mark.parametrize(("counts", "convolutions"), [((0, 0), 0), ((1, 0), 1), ((0, 1), 1), ((2, 3), 2)])
def test_convolutions_have_parameters_of_their_own(counts: tuple[int, int], convolutions: int) -> None:
    head = FnHead(SHAPE, counts, (4, 3), CLASSES)
    expected = [p for m in head.modules() if isinstance(m, nn.Conv1d) for p in m.parameters()]
    assert len(expected) == 2 * convolutions
    groups = parameter_groups(WeightedHead(3, head), LearningRates(conv_lr=0.5))
    grouped = [parameter for group in groups if group["lr"] == 0.5 for parameter in group["params"]]
    for found in (head.conv_parameters(), grouped):
        assert {id(parameter) for parameter in found} == {id(parameter) for parameter in expected}


def test_the_embeddings_of_the_seed_are_the_defaults(checkpoint: Checkpoint) -> None:
    folder = checkpoint("wav2vec2-group")
    for model, embedding in (("Wav2Vec2FnClassifier", "projection"), ("Wav2Vec2CnnClassifier", "conv")):
        assert build(model, folder).frontend.embedding == embedding  # type: ignore[arg-type]
        assert build(model, folder, embedding=0).frontend.embedding == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("embedding", ["conv", "projection", 1, "weighted"])
@pytest.mark.parametrize("model", ["Wav2Vec2FnClassifier", "Wav2Vec2CnnClassifier"])
def test_gradients_reach_all_that_trains_and_nothing_else(
    checkpoint: Checkpoint, model: ModelName, embedding: Any
) -> None:
    classifier = build(model, checkpoint("wav2vec2-group"), embedding=embedding).train()
    logits = classifier(*batch(8))
    assert {target: tuple(values.shape) for target, values in logits.items()} == {
        "emotion": (8, 3),
        "state.of.mind": (8, 2),
    }
    truth = torch.arange(8) % 2
    torch.stack([functional.cross_entropy(values, truth) for values in logits.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in classifier.frontend.parameters())
    without = [name for name, parameter in classifier.head.named_parameters() if parameter.grad is None]
    assert not without
    assert not any(module.training for module in classifier.frontend.modules())
    assert classifier.head.training
    if embedding == "weighted":
        assert isinstance(classifier.head, WeightedHead)
        assert bool(classifier.head.mean.scores.grad.any())  # type: ignore[union-attr]


@pytest.mark.parametrize("model", ["Wav2Vec2FnClassifier", "Wav2Vec2CnnClassifier"])
def test_a_clips_logits_do_not_depend_on_its_batch(checkpoint: Checkpoint, model: ModelName) -> None:
    classifier = trained_statistics(build(model, checkpoint("wavlm-group"), embedding="weighted"))
    waveform, length = batch(6, seed=99)
    together = classifier(waveform, length)["emotion"]
    assert float(together.std(dim=0).min()) > 1e-3
    for row in range(6):
        short = waveform[row : row + 1].clone()
        short[:, length[row] :] = torch.nan
        alone = classifier(short, length[row : row + 1])["emotion"]
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-5)


def test_the_mean_is_pooled_by_default_and_has_no_weights(checkpoint: Checkpoint) -> None:
    folder = checkpoint("wav2vec2-group")
    default, mean = build("Wav2Vec2FnClassifier", folder), build("Wav2Vec2FnClassifier", folder, pooling="mean")
    assert default.state_dict().keys() == mean.state_dict().keys()
    assert not any("pooling" in name for name in mean.state_dict())
    assert torch.equal(default.eval()(*batch(3))["emotion"], mean.eval()(*batch(3))["emotion"])


@pytest.mark.parametrize("pooling", ["mean_deviation", "attentive_statistics"])
def test_other_pooling_trains_and_equals_itself_in_any_batch_onnx_and_torchscript(
    checkpoint: Checkpoint, tmp_path: Path, pooling: str
) -> None:
    changes = {"embedding": "weighted", "pooling": pooling}
    classifier = build("Wav2Vec2FnClassifier", checkpoint("data2vec-audio"), **changes).train()
    functional.cross_entropy(classifier(*batch(8))["emotion"], torch.arange(8) % 3).backward()  # type: ignore[no-untyped-call]
    assert not [
        name for name, each in classifier.head.named_parameters() if each.grad is None and "outputs" not in name
    ]
    classifier = trained_statistics(classifier)
    waveform, length = batch(5, seed=99)
    expected = classifier(waveform, length)["emotion"]
    assert float(expected.std(dim=0).min()) > 1e-3
    to_onnx(classifier, (waveform[:2], length[:2]), tmp_path / "model.onnx")
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    script = traced(classifier, (waveform[:2], length[:2]))
    for row in range(5):
        one = (waveform[row : row + 1], length[row : row + 1])
        answers = session.run(None, {"waveform": one[0].numpy(), "length": one[1].numpy()})
        np.testing.assert_allclose(answers[0][0], expected[row], rtol=0, atol=1e-4)
        for found in (classifier(*one), script(*one)):
            torch.testing.assert_close(found["emotion"][0], expected[row], rtol=1e-5, atol=1e-5)


def test_a_pinned_spec_is_built_without_the_checkpoint(checkpoint: Checkpoint, tmp_path: Path) -> None:
    first = trained_statistics(build("Wav2Vec2FnClassifier", checkpoint("hubert-layer"), embedding=2))
    spec = make_spec("Wav2Vec2FnClassifier", checkpoint("hubert-layer"), embedding=2)
    moved = ModelSpec.model_validate(json.loads(pinned(spec, first).model_dump_json()))
    moved.architecture["encoder"] = str(tmp_path / "gone")
    again = build_model(moved).eval()
    again.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(again(*batch(3))["emotion"], first(*batch(3))["emotion"])
    assert isinstance(again.frontend, Wav2Vec2Frontend)
    assert not any(parameter.requires_grad for parameter in again.frontend.parameters())


@pytest.mark.parametrize(("layers", "trained"), [("all", "all"), (1, "last"), (2, "both")])
def test_an_encoder_that_is_not_frozen_trains_as_far_as_asked(
    checkpoint: Checkpoint, layers: int | str, trained: str
) -> None:
    changes = {"embedding": "weighted", "freeze": False, "trainable_layers": layers}
    classifier = build("Wav2Vec2FnClassifier", checkpoint("wav2vec2-group"), **changes).train()
    truth = torch.arange(8) % 2
    functional.cross_entropy(classifier(*batch(8))["emotion"], truth).backward()  # type: ignore[no-untyped-call]
    moved = {name for name, each in classifier.frontend.named_parameters() if each.grad is not None}
    every = {name for name, _ in classifier.frontend.named_parameters()}
    last = {name for name in every if name.startswith("context.layers.1.")}
    both = last | {name for name in every if name.startswith("context.layers.0.")}
    assert last < both < every
    assert moved == {"all": every, "last": last, "both": both}[trained]


def test_more_trainable_layers_than_there_are_are_refused(checkpoint: Checkpoint) -> None:
    changes = {"embedding": "weighted", "freeze": False, "trainable_layers": 3}
    with pytest.raises(ConfigError, match=r"trainable_layers: found 3; .* needs 2 transformer layers"):
        build("Wav2Vec2FnClassifier", checkpoint("wav2vec2-group"), **changes)


def test_a_layer_that_the_encoder_lacks_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ConfigError, match=r"embedding: 3; this encoder has .* layers from 0 to 2"):
        build("Wav2Vec2CnnClassifier", checkpoint("wav2vec2-group"), embedding=3)


@pytest.mark.parametrize("model", ["Wav2Vec2FnClassifier", "Wav2Vec2CnnClassifier"])
def test_onnx_and_torchscript_equal_torch(checkpoint: Checkpoint, tmp_path: Path, model: ModelName) -> None:
    classifier = trained_statistics(build(model, checkpoint("wav2vec2-layer"), embedding="weighted"))
    waveform, length = batch(5, seed=99)
    expected = classifier(waveform, length)
    example = (waveform[:2], length[:2])
    script = traced(classifier, example)
    to_onnx(classifier, example, tmp_path / "model.onnx")
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    answers = session.run(None, {"waveform": waveform.numpy(), "length": length.numpy()})
    assert float(expected["emotion"].std(dim=0).min()) > 1e-3
    for answer, target in zip(answers, TARGETS, strict=True):
        np.testing.assert_allclose(answer, expected[target], rtol=0, atol=1e-4)
        torch.testing.assert_close(script(waveform, length)[target], expected[target], rtol=1e-5, atol=1e-5)
