"""Encoders that a checkpoint names and holds the weights of, but does not describe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import Wav2Vec2FeatureExtractor

from emotions.audio.decode import SAMPLE_RATE
from export.huggingface.classifiers import FAMILIES
from export.huggingface.pooled import ENCODERS
from training.models.frontends.hub import CONFIG, Checkpoint, find_checkpoint

_LARGE = {
    "hidden_size": 1_024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4_096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
# Name -> what its config.json has apart from the defaults of transformers, and whether clips are normalised.
_KNOWN: dict[str, tuple[dict[str, Any], bool]] = {
    "facebook/wav2vec2-base": ({"model_type": "wav2vec2"}, True),
    "microsoft/wavlm-base-plus": ({"model_type": "wavlm"}, False),
    "microsoft/wavlm-large": ({"model_type": "wavlm", **_LARGE}, True),
}
_NEVER_MASKED = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0}
_UNUSED = "masked_spec_embed"


@dataclass(frozen=True)
class NamedEncoder:
    """An encoder without weights.

    Attributes:
        config: its configuration in transformers.
        normalize: whether its feature extractor brings each clip to mean 0 and variance 1.
    """

    config: Any
    normalize: bool

    def build(self) -> nn.Module:
        """The network, with random weights."""
        model: nn.Module = ENCODERS[self.config.model_type](self.config)
        return model.float().eval()


def named_encoder(name: object, checkpoint: Checkpoint) -> NamedEncoder:
    """What an encoder is; of those that published checkpoints name it is known, others are looked up.

    Args:
        name: a name on the Hugging Face hub or a folder, of which settings alone are read.
        checkpoint: what names it; ConfigError where that cannot be found, or is of another family.
    """
    if not isinstance(name, str) or not name:
        raise checkpoint.error("{} does not name its encoder")
    if name in _KNOWN:
        settings, normalize = _KNOWN[name]
        return NamedEncoder(_config(settings), normalize)
    found = find_checkpoint(name, f"{checkpoint.key}: the encoder of {checkpoint.name}", weights=False)
    settings = found.read_settings(ENCODERS)
    extractor = found.read_preprocessor(Wav2Vec2FeatureExtractor, SAMPLE_RATE)
    return NamedEncoder(found.understood(lambda: _config(settings), CONFIG), bool(extractor.do_normalize))


def _config(settings: Mapping[str, Any]) -> Any:
    known = {key: value for key, value in settings.items() if key not in ("model_type", "architectures", "auto_map")}
    return FAMILIES[settings["model_type"]].config(**{**known, **_NEVER_MASKED}, attn_implementation="eager")


def encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an encoder by the names that transformers has today, without what only training uses.

    Args:
        weights: by the names of any release; torch has named the parts of a weight norm anew.
    """
    return {_renamed(name): value for name, value in weights.items() if _UNUSED not in name}


def _renamed(name: str) -> str:
    name = re.sub(r"\.weight_g$", ".parametrizations.weight.original0", name)
    return re.sub(r"\.weight_v$", ".parametrizations.weight.original1", name)
