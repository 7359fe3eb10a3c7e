"""The ``learn_params`` and ``ray`` blocks of a pipeline file (no torch)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from emotions.pipeline.schema import Block
from training.config.architectures import Tunable


def _ascending(values: list[float]) -> list[float]:
    if values[0] > values[1]:
        raise ValueError(f"the range {values} is empty: its low end must not lie above its high end")
    return values


def _list_of_one(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


Probability = Annotated[float, Field(ge=0, le=1)]
Ascending = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ascending)]
"""A range ``[low, high]``."""
Speed = Annotated[list[Annotated[float, Field(ge=0.5, le=2)]], Field(min_length=2, max_length=2)]
CopyChange = Literal["noise", "band", "codec", "room", "level", "speed", "pitch"]
Folder = Annotated[str | list[str], Field(min_length=1), AfterValidator(_list_of_one)]


class LearningRates(Tunable):
    """Learning rates of the optimiser."""

    base_lr: float = Field(default=1e-3, gt=0, description="Learning rate.")
    conv_lr: float | None = Field(
        default=None, gt=0, description="Learning rate of Wav2Vec2FnClassifier's convolutions; by default base_lr."
    )
    encoder_lr: float = Field(default=1e-5, gt=0, description="Learning rate of an encoder that is not frozen.")


class WaveformAugmentation(Block):
    """Changes of the samples of a training window. Each is on where its range or folder is given."""

    speed: Annotated[Speed, AfterValidator(_ascending)] | None = Field(
        default=None, description="Play faster or slower: range of the factor, such as [0.9, 1.1]; null: off."
    )
    speed_probability: Probability = Field(default=0.5, description="Share of the windows that get another speed.")
    gain_db: Ascending | None = Field(
        default=None, description="Louder or softer: range in decibels, such as [-6, 6]; null: off."
    )
    gain_probability: Probability = Field(default=0.5, description="Share of the windows that get another gain.")
    noise_snr_db: Ascending | None = Field(
        default=None, description="White noise: range of the signal-to-noise ratio in decibels; null: off."
    )
    noise_probability: Probability = Field(default=0.5, description="Share of the windows that get noise.")
    impulse_responses: Folder | None = Field(
        default=None, description="Reverberation: folder of recorded impulse responses; null: off."
    )
    reverb_probability: Probability = Field(default=0.5, description="Share of the windows that get reverberation.")

    @property
    def active(self) -> bool:
        """Whether any window's samples are changed."""
        chosen = (
            (self.speed, self.speed_probability),
            (self.gain_db, self.gain_probability),
            (self.noise_snr_db, self.noise_probability),
            (self.impulse_responses, self.reverb_probability),
        )
        return any(setting is not None and probability > 0 for setting, probability in chosen)


class FeatureAugmentation(Block):
    """SpecAugment: bands and spans of a training window's features hidden, spectra moved a little up or down."""

    probability: Probability = Field(default=1.0, description="Share of the windows that are changed; 0: off.")
    masks: int = Field(default=2, ge=0, le=16, description="Masks over the bins, and as many over the frames.")
    bins_share: Probability = Field(default=0.15, description="Widest mask, as a share of the bins.")
    frames_share: Probability = Field(default=0.15, description="Widest mask, as a share of the valid frames.")
    shift_share: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.03, description="Farthest that a spectrum moves up or down, as a share of its bins."
    )


class Augmentation(Block):
    """Random changes of what is trained on. Validation and test see none."""

    copies: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Altered copies of each recording that an epoch trains on beside it. They stay the same, so that "
        "features of a frozen frontend are computed once; an epoch takes so many times longer.",
    )
    copy_changes: Annotated[list[CopyChange], Field(min_length=1)] = Field(
        default=["noise", "band", "codec", "room", "level"],
        description="What copies differ in, one or two of them each: noise, hum or voices at 12 to 40 dB; the band of "
        "a telephone; MP3, Opus, AAC, mu-law or 8 kHz; reverberation; a low level in 16 bits; and, if named, "
        "speed (0.9 to 1.1) and pitch (two semitones down to two up).",
    )
    waveform: WaveformAugmentation = WaveformAugmentation()
    features: FeatureAugmentation = FeatureAugmentation()
    mixup_alpha: float = Field(
        default=0.0, ge=0, le=10, description="Mix pairs of windows, by shares from Beta(alpha, alpha); 0: off."
    )


class LearnParams(Tunable):
    """How a model is trained. Keys that a model has no use for are allowed."""

    may_be_null: ClassVar[frozenset[str]] = frozenset({"early_stopping_epochs", "gradient_clip_norm"})

    lr: LearningRates = LearningRates()
    scheduler: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="How the learning rates go after the warm-up: down in a curve, a line, or level."
    )
    warm_up: float = Field(
        default=0.05, ge=0, lt=1, description="Share of the steps in which the learning rates rise to their full size."
    )
    batch_size: int = Field(
        default=16, ge=2, description="Windows in a batch, over all processes together; batch norm needs two in each."
    )
    padding_sec: float = Field(default=5.0, ge=0.1, le=60, description="Seconds of one window.")
    spectrogram_size: int = Field(default=128, ge=32, le=1024, description="Bands and frames of the spectrogram.")
    max_epoch: int = Field(default=30, ge=1, description="Most epochs to train.")
    early_stopping_epochs: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Stop after so many epochs without a better validation UAR; null: never."
    )
    keep: Literal["best", "last"] = Field(
        default="best",
        description="Which epoch's weights are kept: best by the validation UAR, or last, where validation cannot "
        "tell epochs apart.",
    )
    loss: Literal["cross_entropy", "focal"] = Field(
        default="cross_entropy", description="focal: windows that are right already count less."
    )
    focal_gamma: float = Field(default=2.0, ge=0, le=10, description="How much less they count with the focal loss.")
    dimension_loss: Literal["ccc", "mse", "mae"] = Field(
        default="ccc",
        description="Loss of targets of dimensions: 1 - CCC over a batch, or the mean squared or absolute error.",
    )
    soft_labels: bool = Field(
        default=True,
        description="Learn the distribution of several raters' labels where the data has it; false: the label of the "
        "majority alone.",
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Share of the truth spread over all classes.")
    class_weights: Literal["balanced", "none"] = Field(
        default="balanced", description="balanced: rare classes weigh as much in the loss as frequent ones."
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        default="shuffled",
        description="balanced: rare classes of the first target are drawn as often as frequent ones, "
        "and weigh the same in its loss.",
    )
    target_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="How much each target's loss counts; 1 where a target is not named."
    )
    augmentation: Augmentation = Augmentation()
    gradient_clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        default=5.0, description="Longest gradient of all weights; longer ones are shortened; null: none is."
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = Field(
        default="32-true", description="Numbers that training computes with; mixed ones are faster on a GPU."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute what the layers of a fine-tuned encoder give inside again for the gradient, "
        "instead of keeping them: less memory for more time.",
    )
    cache_features: bool = Field(
        default=True, description="Compute a frozen frontend's features once and keep them on disk."
    )

    @property
    def augments_waveform(self) -> bool:
        """Whether training changes samples, so that its features differ from epoch to epoch."""
        return self.augmentation.waveform.active


class RayConfig(Block):
    """Where ``"engine": "ray"`` trains. All machines must see the data and the run folder at the same paths."""

    workers: int = Field(default=2, ge=1, le=1024, description="Processes that train together.")
    address: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description='The cluster: "auto", "ray://host:10001" or "host:6379"; null: a new one here.'
    )
    cpus_per_worker: int = Field(default=1, ge=1, le=256, description="CPU cores that each process reserves.")
