from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.training.timing import trained
from emotions.pipeline.runner import Context
from tests.training.conftest import MakeStep
from training.config.learning import WaveformAugmentation
from training.corpus import Corpus, read_corpus
from training.features import feature_cache
from training.features.feature_dataset import FeatureDataset
from training.loop.fit import fit
from training.loop.loaders import training_batches, validation_batches
from training.loop.losses import class_weights
from training.loop.module import ClassifierModule
from training.loop.precompute import precomputed
from training.loop.score import evaluate
from training.models.base import Classifier
from training.models.classifiers.wav2vec2 import FnHead
from training.models.frontends.encoders import blank_encoder
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend
from training.models.registry import build_model

TINY_ENCODER = {
    "model_type": "wav2vec2",
    "hidden_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [160, 160],
    "conv_kernel": [10, 8],
    "conv_stride": [5, 8],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


def _run(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    weights = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    return json.loads((folder / "metrics.json").read_text()), weights


def test_a_cached_run_is_the_uncached_one_to_the_last_bit(
    make_step: MakeStep, context: Context, private_cache: Path
) -> None:
    cached = fit(make_step("cached"), context)
    assert len(list(private_cache.glob("features/??/*.npy"))) == 20
    step = make_step("uncached")
    uncached = step.model_copy(update={"learn_params": step.learn_params.model_copy(update={"cache_features": False})})
    (metrics, weights), (others, other_weights) = _run(cached), _run(fit(uncached, context))
    assert metrics == others
    assert weights.keys() == other_weights.keys()
    assert all(torch.equal(value, other_weights[name]) for name, value in weights.items())


def test_a_second_run_computes_no_features(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit(make_step("first"), context)
    monkeypatch.setattr(feature_cache, "kept_features", None)
    assert _run(fit(make_step("second"), context))[0] == _run(first)[0]


def _tiny_model(corpus: Corpus) -> Classifier:
    torch.manual_seed(0)
    encoder = blank_encoder({"normalize": True, "config": TINY_ENCODER})
    frontend = Wav2Vec2Frontend(encoder, corpus.spec.window_samples, "conv")
    dims, frames = frontend.shape
    classes = {target: len(labels) for target, labels in corpus.spec.targets.items()}
    return Classifier(frontend, FnHead((dims, frames), (1, 1), (16, 16), classes))


def test_features_of_an_encoder_are_halved_and_train_the_same(make_step: MakeStep, context: Context) -> None:
    step, answers = make_step(), []
    for cached in (True, False):
        corpus = read_corpus(step, context)
        model = _tiny_model(corpus)
        if cached:
            corpus = precomputed(corpus, step, model)
            assert isinstance(corpus.train, FeatureDataset)
            assert corpus.train.cache.load(corpus.train.windows, 0).dtype == "float16"
        module = ClassifierModule(model, corpus.spec, step.learn_params, class_weights(step, corpus), seed=0)
        trained(module, training_batches(corpus, 4, context.seed, 0), 3)
        answers.append(evaluate(model, corpus.val).probabilities("emotion"))
        batch = next(iter(validation_batches(corpus, 4, 0)))
        assert len(batch) == 5
    assert (answers[0].argmax(axis=1) == answers[1].argmax(axis=1)).all()
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)


def _augmented(corpus: Corpus, step: Any, model: Classifier) -> Corpus:
    waveform = {"waveform": WaveformAugmentation(gain_db=[-6, 6])}
    augmentation = step.learn_params.augmentation.model_copy(update=waveform)
    learn = step.learn_params.model_copy(update={"augmentation": augmentation})
    return precomputed(corpus, step.model_copy(update={"learn_params": learn}), model)


def _off(corpus: Corpus, step: Any, model: Classifier) -> Corpus:
    learn = step.learn_params.model_copy(update={"cache_features": False})
    return precomputed(corpus, step.model_copy(update={"learn_params": learn}), model)


def _unfrozen(corpus: Corpus, step: Any, model: Classifier) -> Corpus:
    tuned = _tiny_model(corpus)
    tuned.frontend.requires_grad_(True)
    return precomputed(corpus, step, tuned)


@pytest.mark.parametrize(
    ("make", "kept", "said"),
    [
        (precomputed, ["train", "val", "test"], ""),
        (_augmented, ["val", "test"], "the waveform augmentation is on"),
        (_off, [], "cache_features is false"),
        (_unfrozen, [], "the encoder trains"),
    ],
)
def test_the_cache_is_off_for_what_it_does_not_hold_for_and_the_log_says_so(
    make_step: MakeStep,
    context: Context,
    caplog: pytest.LogCaptureFixture,
    make: Callable[..., Corpus],
    kept: list[str],
    said: str,
) -> None:
    corpus = read_corpus(make_step(), context)
    made = make(corpus, make_step(), build_model(corpus.spec))
    parts = {part: getattr(made, part) for part in ("train", "val", "test")}
    assert [part for part, data in parts.items() if isinstance(data, FeatureDataset)] == kept
    assert [len(data) for data in parts.values()] == [len(corpus.train), len(corpus.val), len(corpus.test or [])]
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)
