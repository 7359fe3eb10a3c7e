"""The registry and the image network: built from a spec, refused in words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from emotions.errors import ConfigError
from training.config.train import ModelSpec
from training.models.registry import build_model, pinned

TARGETS = {"emotion": ["a", "b", "c"], "state.of.mind": ["x", "y"]}


def make_spec(**changes: Any) -> ModelSpec:
    architecture = {"backbone": "test_efficientnet", "scale": "mel", "dropout": 0.1, **changes.pop("architecture", {})}
    values = {"model": "SpectrogramCnnClassifier", "window_samples": 8_000, "spectrogram_size": 32, "targets": TARGETS}
    return ModelSpec(**{**values, **changes}, architecture=architecture)


def test_one_output_per_target_in_their_order() -> None:
    model = build_model(make_spec())
    logits = model(torch.randn(2, 8_000), torch.tensor([8_000, 500]))
    assert [*logits] == [*TARGETS]
    assert {target: tuple(values.shape) for target, values in logits.items()} == {
        "emotion": (2, 3),
        "state.of.mind": (2, 2),
    }


def test_the_seed_decides_the_weights() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_model(make_spec()).state_dict())
    same, other = (all(torch.equal(states[0][name], states[n][name]) for name in states[0]) for n in (1, 2))
    assert same
    assert not other


def test_it_is_built_in_training_mode() -> None:
    assert all(module.training for module in build_model(make_spec()).modules())


def test_a_clips_logits_do_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    model = build_model(make_spec())
    waveform, length = torch.randn(6, 8_000), torch.tensor([8_000, 400, 3_000, 8_000, 7_999, 1_234])
    for _ in range(10):  # gives batch norm statistics that are not the initial ones
        model(torch.randn(8, 8_000), torch.randint(400, 8_000, (8,)))
    model.eval().requires_grad_(False)
    together = model(waveform, length)["emotion"]
    assert float(together.std(dim=0).min()) > 1e-4
    for row in range(6):
        alone = model(waveform[row : row + 1], length[row : row + 1])["emotion"]
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


def test_a_backbone_that_timm_lacks_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no architecture 'efficientnetb0'; did you mean .*efficientnet_b0"):
        build_model(make_spec(architecture={"backbone": "efficientnetb0"}))


@pytest.mark.parametrize("name", ["hf-hub:someone/model", "local-dir:/tmp/model"])
def test_a_backbone_is_never_fetched(name: str) -> None:
    with pytest.raises(ConfigError, match="timm has no architecture"):
        build_model(make_spec(architecture={"backbone": name}))


def test_a_backbone_of_another_image_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"mixer_s32_224 does not take images of 32 x 32"):
        build_model(make_spec(architecture={"backbone": "mixer_s32_224"}))


def test_an_impossible_architecture_is_refused_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"model_architecture\.dropout: Input should be less than 1"):
        build_model(make_spec(architecture={"dropout": 1.0}))
    architecture = {"patch_transformer_size": 12}
    spec = ModelSpec(**{**make_spec().model_dump(), "model": "TransformerClassifier", "architecture": architecture})
    with pytest.raises(ConfigError, match=r"patch_transformer_size: 12 must divide learn_params.spectrogram_size"):
        build_model(spec)


def test_a_model_without_an_encoder_keeps_its_spec() -> None:
    spec = make_spec()
    assert pinned(spec, build_model(spec)) == spec
