"""The ``model_architecture`` block: one class per model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from emotions.pipeline.schema import Block

ModelName = Literal[
    "Wav2Vec2FnClassifier",
    "Wav2Vec2CnnClassifier",
    "SpectrogramCnnClassifier",
    "TransformerClassifier",
    "FunctionalsClassifier",
]

SPACE_KINDS = frozenset({"choice", "loguniform", "uniform", "randint"})
"""Keys of a search space, as ``tune`` steps have them."""

RANDOM = "random:"
"""Prefix of an encoder that asks for random weights: ``random:FOLDER`` or ``random:FILE.json``, of a config.json."""

Size = Annotated[int, Field(ge=1, le=65_536)]
Count = Annotated[int, Field(ge=0, le=64)]
Dropout = Annotated[float, Field(ge=0, lt=1, description="Share of activations dropped while training.")]
Scale = Annotated[Literal["mel", "linear"], Field(description="Spacing of the spectrogram's bands.")]
Backbone = Annotated[str, Field(min_length=1, description="Name of a timm model.")]
Encoder = Annotated[
    str,
    Field(
        min_length=1,
        description="wav2vec2, HuBERT, WavLM, data2vec-audio, UniSpeech, UniSpeech-SAT, Wav2Vec2-BERT or Whisper "
        "encoder: a name of emotions encoders ls, a Hugging Face name or a folder; random:FOLDER: random weights, for "
        "tests.",
    ),
]
Layer = Annotated[int, Field(strict=True, ge=0, le=256)]
Embedding = Annotated[
    Literal["conv", "projection", "weighted"] | Layer | Annotated[list[Layer], Field(min_length=1, max_length=16)],
    Field(
        description="Features of the encoder: conv (convolutional), projection (those in the transformer's width), the "
        "number of a transformer layer, several such numbers, or weighted (a learnt mean of all layers)."
    ),
]
Layers = Annotated[
    Annotated[list[Layer], Field(min_length=1, max_length=16)],
    Field(description="Transformer layers of the encoder whose states are taken; 0 is the first one's input."),
]
TrainableLayers = Annotated[
    Literal["all"] | Annotated[int, Field(strict=True, ge=1, le=256)],
    Field(
        description="With freeze false: fine-tune only the last so many transformer layers that the embedding needs; "
        "all: the whole encoder."
    ),
]


def _fixed(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("searched", "needs a value: null is only allowed in a tune step")
    if isinstance(value, dict) and value and value.keys() <= SPACE_KINDS:
        raise PydanticCustomError("searched", "needs a value: a search space is only allowed in a tune step")
    return value


class Tunable(Block):
    """A block whose values a ``tune`` step may search; here they are fixed.

    Attributes:
        may_be_null: keys for which null is a valid value: it disables something.
    """

    may_be_null: ClassVar[frozenset[str]] = frozenset()

    @field_validator("*", mode="before")
    @classmethod
    def _is_fixed(cls, value: Any, info: ValidationInfo) -> Any:
        return value if value is None and info.field_name in cls.may_be_null else _fixed(value)


class EncoderArchitecture(Tunable):
    """What the models on an encoder have in common."""

    encoder: Encoder = "facebook/wav2vec2-base"
    freeze: bool = Field(default=True, description="Keep the encoder as it is; false fine-tunes it.")
    trainable_layers: TrainableLayers = "all"


class Wav2Vec2FnArchitecture(EncoderArchitecture):
    """``Wav2Vec2FnClassifier``: 1x1 convolutions over Wav2Vec2 embeddings, then two fully connected layers."""

    embedding: Embedding = "projection"
    conv_h_count: Annotated[Count, Field(description="1-D convolutions over the embedding.")] = 1
    conv_w_count: Annotated[Count, Field(description="1-D convolutions over time.")] = 1
    layer_1_size: Annotated[Size, Field(description="Neurons of the first layer.")] = 128
    layer_2_size: Annotated[Size, Field(description="Neurons of the second layer.")] = 128
    pooling: Literal["mean", "mean_deviation", "attentive_statistics"] = Field(
        default="mean",
        description="Statistics over a window's frames; attentive_statistics: mean and deviation by learnt weights.",
    )


class Wav2Vec2CnnArchitecture(EncoderArchitecture):
    """``Wav2Vec2CnnClassifier``: an image network on Wav2Vec2 embeddings."""

    embedding: Embedding = "conv"
    backbone: Backbone = "efficientnet_b0"
    dropout: Dropout = 0.2


class SpectrogramCnnArchitecture(Tunable):
    """``SpectrogramCnnClassifier``: an image network on a spectrogram."""

    backbone: Backbone = "efficientnet_b0"
    scale: Scale = "mel"
    dropout: Dropout = 0.2


class TransformerArchitecture(Tunable):
    """``TransformerClassifier``: a vision transformer on a spectrogram."""

    layer_1_size: Annotated[Size, Field(description="Size of a token.")] = 128
    layer_2_size: Annotated[Size, Field(description="Size of the feed-forward layers.")] = 256
    patch_transformer_size: Annotated[
        Size, Field(description="Side of a patch; it divides spectrogram_size and gives more than 16 patches.")
    ] = 16
    transformer_depth: Annotated[Size, Field(le=64, description="Transformer blocks.")] = 3
    transformer_attantion_head_count: Annotated[Size, Field(le=64, description="Attention heads of a block.")] = 4
    scale: Scale = "mel"
    dropout: Dropout = 0.1


class FunctionalsArchitecture(Tunable):
    """``FunctionalsClassifier``: an ensemble of small networks on statistics of a window's sound, for small corpora."""

    members: Annotated[Size, Field(le=64, description="Networks whose outputs are averaged.")] = 8
    layer_1_size: Annotated[Size, Field(description="Neurons of each network's hidden layer.")] = 64
    input_dropout: Annotated[
        float, Field(ge=0, lt=1, description="Share of the statistics that each network leaves out in a step.")
    ] = 0.7
    dropout: Dropout = 0.3
    encoder: Encoder | None = Field(
        default=None,
        description="Frozen encoder whose statistics stand beside those of the sound: a name of emotions encoders ls, "
        "a Hugging Face name or a folder; null for none.",
    )
    encoder_required: bool = Field(
        default=True,
        description="false: where the encoder can neither be found nor fetched, train without it, and say so in log "
        "and report.",
    )
    embedding: Layers = Field(default=[1, 2])
    pooling: Literal["mean", "mean_deviation"] = Field(
        default="mean", description="Statistics of the encoder's states over a window's frames."
    )

    may_be_null: ClassVar[frozenset[str]] = frozenset({"encoder"})


Architecture = (
    Wav2Vec2FnArchitecture
    | Wav2Vec2CnnArchitecture
    | SpectrogramCnnArchitecture
    | TransformerArchitecture
    | FunctionalsArchitecture
)

Architectures = Mapping[str, type[Block]]
"""Name of a model -> the class of its ``model_architecture``."""

ARCHITECTURES: Architectures = {
    "Wav2Vec2FnClassifier": Wav2Vec2FnArchitecture,
    "Wav2Vec2CnnClassifier": Wav2Vec2CnnArchitecture,
    "SpectrogramCnnClassifier": SpectrogramCnnArchitecture,
    "TransformerClassifier": TransformerArchitecture,
    "FunctionalsClassifier": FunctionalsArchitecture,
}


def with_defaults(model: Any, architecture: Any) -> Any:
    """A ``model_architecture`` with the defaults of keys that the release which wrote it did not have.

    Args:
        model: name of the model; of another than there are the architecture stays as it is.
        architecture: what was written.
    """
    known = ARCHITECTURES.get(model) if isinstance(model, str) else None
    if known is None or not isinstance(architecture, Mapping):
        return architecture
    return {**known().model_dump(mode="json"), **architecture}


ENCODER_MODELS = frozenset({"Wav2Vec2FnClassifier", "Wav2Vec2CnnClassifier"})
"""Models on a pre-trained encoder."""
SPECTROGRAM_MODELS = frozenset({"SpectrogramCnnClassifier", "TransformerClassifier"})
"""Models that see a window as an image of ``spectrogram_size`` x ``spectrogram_size``."""
