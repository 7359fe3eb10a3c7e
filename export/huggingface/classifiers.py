"""Loading a classifier of Hugging Face: another task, another rate, labels or weights amiss are refused in a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    Data2VecAudioConfig,
    Data2VecAudioForSequenceClassification,
    HubertConfig,
    HubertForSequenceClassification,
    SeamlessM4TFeatureExtractor,
    SEWConfig,
    SEWForSequenceClassification,
    UniSpeechConfig,
    UniSpeechForSequenceClassification,
    UniSpeechSatConfig,
    UniSpeechSatForSequenceClassification,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForSequenceClassification,
    Wav2Vec2Config,
    Wav2Vec2ConformerConfig,
    Wav2Vec2ConformerForSequenceClassification,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMConfig,
    WavLMForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

from emotions.audio.decode import SAMPLE_RATE
from export.huggingface.licence import licence_of
from training.models.frontends.hub import CONFIG, PREPROCESSOR, Checkpoint
from training.models.frontends.kaldi import STACKED

KEY = "--from"
"""Option that names a checkpoint of others; errors begin with it."""
_MAX_NAMED = 3
# A forward pass has no use for what replaces masked frames in training.
_UNUSED = "masked_spec_embed"


@dataclass(frozen=True)
class Family:
    """A model type: its configuration, its classifier, its feature extractor, and what both must agree on.

    Attributes:
        named: its config.json names the classifier's class; classes of no library have any name.
    """

    config: Any
    model: Any
    extractor: Any
    agreed: Callable[[Any, Any], Mapping[str, tuple[Any, Any]]] = lambda _config, _extractor: {}
    named: bool = True


def _ast(config: Any, extractor: Any) -> Mapping[str, tuple[Any, Any]]:
    return {
        "num_mel_bins": (extractor.num_mel_bins, config.num_mel_bins),
        "max_length": (extractor.max_length, config.max_length),
    }


def _whisper(config: Any, extractor: Any) -> Mapping[str, tuple[Any, Any]]:
    frames = extractor.n_samples // extractor.hop_length
    return {
        "feature_size": (extractor.feature_size, config.num_mel_bins),
        "chunk_length in frames": (frames, 2 * config.max_source_positions),
        "dither": (extractor.dither, 0.0),
    }


def _bert(config: Any, extractor: Any) -> Mapping[str, tuple[Any, Any]]:
    return {
        "stride": (extractor.stride, STACKED),
        "two times num_mel_bins": (STACKED * extractor.num_mel_bins, config.feature_projection_input_dim),
    }


FAMILIES: dict[str, Family] = {
    "wav2vec2": Family(Wav2Vec2Config, Wav2Vec2ForSequenceClassification, Wav2Vec2FeatureExtractor),
    "hubert": Family(HubertConfig, HubertForSequenceClassification, Wav2Vec2FeatureExtractor),
    "wavlm": Family(WavLMConfig, WavLMForSequenceClassification, Wav2Vec2FeatureExtractor),
    "data2vec-audio": Family(Data2VecAudioConfig, Data2VecAudioForSequenceClassification, Wav2Vec2FeatureExtractor),
    "unispeech": Family(UniSpeechConfig, UniSpeechForSequenceClassification, Wav2Vec2FeatureExtractor),
    "unispeech-sat": Family(UniSpeechSatConfig, UniSpeechSatForSequenceClassification, Wav2Vec2FeatureExtractor),
    "wav2vec2-conformer": Family(
        Wav2Vec2ConformerConfig, Wav2Vec2ConformerForSequenceClassification, Wav2Vec2FeatureExtractor
    ),
    "sew": Family(SEWConfig, SEWForSequenceClassification, Wav2Vec2FeatureExtractor),
    "wav2vec2-bert": Family(
        Wav2Vec2BertConfig, Wav2Vec2BertForSequenceClassification, SeamlessM4TFeatureExtractor, _bert
    ),
    "audio-spectrogram-transformer": Family(ASTConfig, ASTForAudioClassification, ASTFeatureExtractor, _ast),
    "whisper": Family(WhisperConfig, WhisperForAudioClassification, WhisperFeatureExtractor, _whisper),
}


@dataclass(frozen=True)
class Loaded:
    """A classifier of transformers, float32, in evaluation mode, that passed every check; labels as its outputs."""

    model: Any
    extractor: Any
    labels: list[str]
    licence: str | None
    checkpoint: Checkpoint


def load_classifier(
    checkpoint: Checkpoint, families: Mapping[str, Family] = FAMILIES, labels: Sequence[str] = ()
) -> Loaded:
    """Load an audio classifier.

    Args:
        checkpoint: a folder with config.json, preprocessor_config.json and weights.
        families: what it may be, by model type.
        labels: its labels, where config.json names none.

    Raises:
        ConfigError: it is of another task, model type or sampling rate; its labels do not match its outputs; its
            weights are broken, missing, unexpected or not numbers.
    """
    settings = checkpoint.read_settings(families)
    family = families[settings["model_type"]]
    _check_task(settings, family, checkpoint)
    named = {"id2label": dict(enumerate(labels))} if labels else {}
    labels = labels or labels_of(settings, checkpoint)
    config = checkpoint.understood(lambda: family.config.from_pretrained(checkpoint.folder, **named), CONFIG)
    extractor = checkpoint.read_preprocessor(family.extractor, SAMPLE_RATE)
    agreed = checkpoint.understood(lambda: family.agreed(config, extractor), PREPROCESSOR)
    for what, (given, expected) in agreed.items():
        if given != expected:
            raise checkpoint.error(f"{{}}: {PREPROCESSOR} gives {what} {given}, the model takes {expected}")
    model = _load_weights(checkpoint, family, config)
    return Loaded(model, extractor, [*labels], licence_of(checkpoint), checkpoint)


def _check_task(settings: Mapping[str, Any], family: Family, checkpoint: Checkpoint) -> None:
    expected, found = family.model.__name__, settings.get("architectures") or [family.model.__name__]
    if family.named and found != [expected]:
        raise checkpoint.error(f"{{}} holds a {', '.join(map(str, found))}; only a {expected} classifies recordings")
    if settings["model_type"] == "sew" and settings.get("use_weighted_layer_sum"):
        raise checkpoint.error("{} weighs the layers of a SEW encoder, which is not supported")
    kind = settings.get("problem_type") or "single_label_classification"
    if kind != "single_label_classification":
        raise checkpoint.error(f"{{}} is for {kind}; only single_label_classification has probabilities that sum to 1")


def labels_of(settings: Mapping[str, Any], checkpoint: Checkpoint) -> list[str]:
    """The labels of ``id2label``, by id. Raises ConfigError where it has none, or not one for each output.

    Args:
        settings: the content of config.json.
        checkpoint: for errors.
    """
    named = settings.get("id2label")
    if not isinstance(named, dict) or len(named) < 2:
        raise checkpoint.error(f"{{}}: {CONFIG} names no labels; it needs two or more in id2label, or name them")
    if sorted(named) != sorted(map(str, range(len(named)))):
        raise checkpoint.error(f"{{}}: id2label of {CONFIG} must count 0, 1, 2, ...; it has {', '.join(named)}")
    labels = [named[str(number)] for number in range(len(named))]
    if not all(isinstance(label, str) and label.strip() for label in labels) or len(set(labels)) != len(labels):
        raise checkpoint.error(f"{{}}: id2label of {CONFIG} has a label twice or an empty one")
    return labels


def _load_weights(checkpoint: Checkpoint, family: Family, config: Any) -> nn.Module:
    if not checkpoint.has_weights:
        raise checkpoint.error("{} has no weights (model.safetensors or pytorch_model.bin)")
    model, report = checkpoint.load_weights(family.model, config=config, ignore_mismatched_sizes=True)
    for key, found, expected in sorted(report["mismatched_keys"]):
        if key.startswith("classifier.") and found[0] != expected[0] == config.num_labels:
            raise checkpoint.error(f"{{}}: id2label names {expected[0]} labels, the weights have {found[0]} ({key})")
        raise checkpoint.error(f"the weight {key} of {{}} has the shape {[*found]}, {CONFIG} asks for {[*expected]}")
    _check_keys(report, checkpoint)
    for key, value in model.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise checkpoint.error(f"the weight {key} of {{}} holds NaN or infinity")
    return model


def _check_keys(report: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    lacking = sorted(key for key in report["missing_keys"] if _UNUSED not in key)
    head = [key for key in lacking if key.startswith(("classifier.", "projector.", "layer_weights"))]
    if head:
        raise checkpoint.error(
            f"{{}} was never trained to classify: its weights lack {_some(head)}{_left_over(report)}"
        )
    if lacking:
        raise checkpoint.error(f"the weights of {{}} lack {_some(lacking)}{_left_over(report)}")
    if report["unexpected_keys"]:
        raise checkpoint.error(f"the weights of {{}} hold {_some(report['unexpected_keys'])}, which the model has not")


def _left_over(report: Mapping[str, Any]) -> str:
    over = report["unexpected_keys"]
    return f" (and hold {_some(over)}, which the model has not)" if over else ""


def _some(keys: Any) -> str:
    """The first few of many names."""
    names = sorted(keys)
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
