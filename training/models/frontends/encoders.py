"""Encoders of Hugging Face: loaded by name or folder, and checked; none of their code runs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import (
    AutoConfig,
    Data2VecAudioConfig,
    Data2VecAudioModel,
    HubertConfig,
    HubertModel,
    SeamlessM4TFeatureExtractor,
    UniSpeechConfig,
    UniSpeechModel,
    UniSpeechSatConfig,
    UniSpeechSatModel,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperPreTrainedModel

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import ConfigError
from training.config.architectures import RANDOM
from training.models.frontends.hub import CONFIG, Checkpoint, find_checkpoint
from training.models.model_size import check_numbers, without_memory
from training.models.shelf.fetch import folder_of

_KEY = "model_architecture.encoder"
WHISPER = "whisper"
"""Model type of Whisper, of which the encoder alone is taken."""
WAV2VEC2_BERT = "wav2vec2-bert"
"""Model type of Wav2Vec2-BERT, which takes filter banks."""


class WhisperEncoderAlone(WhisperPreTrainedModel):  # type: ignore[no-untyped-call]
    """A Whisper model without its decoder."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__(config)
        self.encoder = WhisperEncoder(config)
        self.post_init()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Family:
    """Classes of transformers that read a family's checkpoints."""

    config: Any
    model: Any
    extractor: Any = Wav2Vec2FeatureExtractor


_FAMILIES = {
    WHISPER: _Family(WhisperConfig, WhisperEncoderAlone, WhisperFeatureExtractor),
    "wav2vec2": _Family(Wav2Vec2Config, Wav2Vec2Model),
    "hubert": _Family(HubertConfig, HubertModel),
    "wavlm": _Family(WavLMConfig, WavLMModel),
    "data2vec-audio": _Family(Data2VecAudioConfig, Data2VecAudioModel),
    "unispeech": _Family(UniSpeechConfig, UniSpeechModel),
    "unispeech-sat": _Family(UniSpeechSatConfig, UniSpeechSatModel),
    WAV2VEC2_BERT: _Family(Wav2Vec2BertConfig, Wav2Vec2BertModel, SeamlessM4TFeatureExtractor),
}
# Weights that a forward pass does not use: the vector that replaces masked frames in pre-training, and what follows the
# last layer, which the features are taken before.
_UNUSED = ("masked_spec_embed", "adapter.", "intermediate_ffn.")


@dataclass(frozen=True)
class Encoder:
    """An encoder and the preprocessing that it expects.

    Attributes:
        model: of a family's class, such as ``Wav2Vec2Model``, float32, in evaluation mode.
        normalize: whether each clip is normalised to mean 0 and variance 1.
    """

    model: nn.Module
    normalize: bool

    def description(self) -> dict[str, Any]:
        """All but the weights, as JSON: what ``blank_encoder`` builds the same network from, without names or paths."""
        return {"normalize": self.normalize, "config": described(self.model)}


def load_encoder(name: str) -> Encoder:
    """Load an encoder.

    Args:
        name: a name on the shelf, which is fetched where it is not here; a folder with config.json,
            preprocessor_config.json and weights; a name on the Hugging Face hub; or ``random:`` and a folder or file
            with a config.json, for random weights.

    Raises:
        ConfigError: it cannot be reached, is of no family that is supported, is not for 16 kHz, or its weights are
            missing, incomplete or broken.
    """
    if name.startswith(RANDOM):
        return _random_encoder(name)
    shelf = folder_of(name)
    checkpoint = find_checkpoint(name, _KEY) if shelf is None else Checkpoint(_KEY, name, shelf)
    settings = checkpoint.read_settings(_FAMILIES)
    config = checkpoint.understood(
        lambda: AutoConfig.from_pretrained(checkpoint.folder, trust_remote_code=False), CONFIG
    )
    family = _FAMILIES[settings["model_type"]]
    extractor = checkpoint.read_preprocessor(family.extractor, SAMPLE_RATE)
    if settings["model_type"] == WAV2VEC2_BERT:
        _check_filterbanks(checkpoint, extractor, config)
    return Encoder(_load_weights(checkpoint, family.model, config), bool(getattr(extractor, "do_normalize", False)))


def _check_filterbanks(checkpoint: Checkpoint, extractor: Any, config: Any) -> None:
    """Refuse filter banks that are not two a frame, or not as many as the encoder takes."""
    inputs = config.feature_projection_input_dim
    if (extractor.stride, 2 * extractor.num_mel_bins) != (2, inputs):
        raise checkpoint.error(
            f"{{}} has {extractor.num_mel_bins} mel bins at a stride of {extractor.stride}, and takes {inputs} values "
            "a frame; supported is a stride of 2, with half as many bins as values"
        )


def described(model: nn.Module) -> dict[str, Any]:
    """The configuration of a model of transformers as JSON, without names or paths."""
    config: Any = model.config
    dropped = {"_name_or_path", "transformers_version", "architectures", "dtype"}
    settings = {key: value for key, value in config.to_diff_dict().items() if key not in dropped}
    # No tuples, which JSON would turn into lists.
    plain: dict[str, Any] = json.loads(json.dumps({**settings, "model_type": config.model_type}))
    return plain


def blank_encoder(description: Mapping[str, Any]) -> Encoder:
    """Build an encoder of an ``Encoder.description``, with random weights that a state dict replaces."""
    settings = dict(description["config"])
    check_numbers(settings)
    family = _FAMILIES.get(settings.pop("model_type", ""))
    if family is None:
        raise ConfigError(f"{_KEY}: the model type must be one of {', '.join(_FAMILIES)}")
    config = family.config(**settings, attn_implementation="eager")
    return Encoder(family.model(config).float().eval(), bool(description["normalize"]))


def _random_encoder(name: str) -> Encoder:
    path = Path(name.removeprefix(RANDOM)).expanduser()
    folder, file = (path, CONFIG) if path.is_dir() else (path.parent, path.name)
    checkpoint = Checkpoint(_KEY, name, folder)
    settings = checkpoint.read_settings(_FAMILIES, file)
    logging.getLogger(__name__).warning(
        "%s: %s has RANDOM weights: it has learnt nothing, and results will be poor", _KEY, name
    )

    def build() -> Encoder:
        return blank_encoder({"normalize": True, "config": settings})

    try:
        without_memory(lambda: build().model)
    except ConfigError as error:
        raise checkpoint.error(f"{{}}: {file}: {error}") from error
    return checkpoint.understood(build, CONFIG)


def _load_weights(checkpoint: Checkpoint, model: Any, config: Any) -> nn.Module:
    if not checkpoint.has_weights:
        raise checkpoint.error(
            "{} has no weights (model.safetensors or pytorch_model.bin); "
            f"for random ones, which have learnt nothing, write {RANDOM}{checkpoint.name}"
        )
    encoder, report = checkpoint.load_weights(model, config=config)
    lacking = sorted(key for key in report["missing_keys"] if not key.startswith(_UNUSED))
    if lacking:
        raise checkpoint.error(f"the weights of {{}} lack {lacking[0]} and {len(lacking) - 1} more")
    return encoder
