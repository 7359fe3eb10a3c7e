"""A classifier of Hugging Face as the source of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import RESERVED_NAMES, Window
from emotions.errors import ConfigError
from export.huggingface.classifiers import KEY, Loaded, load_classifier
from export.huggingface.filterbanks import KaldiFilterbank, SpectralClassifier, WhisperFilterbank
from export.huggingface.frames import shortest_clip
from export.huggingface.speech import SpeechClassifier
from export.proof.proof import MAX_DIFFERENCE
from export.sources import HUGGINGFACE, ProofPlan, Source
from training.models.base import weights_hash
from training.models.frontends.encoders import described
from training.models.frontends.hub import CARD, PREPROCESSOR, Checkpoint, find_checkpoint

TARGET = "emotion"
"""What the labels of a classifier are of, unless the user says."""
_WINDOW = 30 * SAMPLE_RATE
_CROP = 2 * SAMPLE_RATE
_AST_TOLERANCE = 5e-4
# A model of a fixed length takes as long for a crop as for a whole window.
_FEW_WINDOWS, _FEW_PROBES = 5, 2
_LARGE = 200_000_000
"""Parameters from which a window of full length takes too long to prove."""
_FILTERBANKS: dict[str, Any] = {"audio-spectrogram-transformer": KaldiFilterbank, "whisper": WhisperFilterbank}


class Original(nn.Module):
    """What transformers itself answers for a clip alone: what a bundle is proven against.

    Args:
        model: the classifier.
        extractor: its feature extractor.
        target: what its labels are of.
    """

    def __init__(self, model: nn.Module, extractor: Any, target: str) -> None:
        super().__init__()
        self.model, self.extractor, self.targets = model, extractor, (target,)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        """(1, samples) float32 and (1,) int64 in; (1, classes) probabilities out."""
        return (self.logits(waveform[0, : int(length[0])].numpy()).softmax(dim=1),)

    def logits(self, clip: FloatArray) -> Tensor:
        """(samples,) float32 in; (1, classes) out."""
        short = shortest_clip(self.model.config) - len(clip)
        clip = np.pad(clip, (0, max(short, 0)))
        logits: Tensor = self.model(**self.extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")).logits
        return logits


def load_huggingface(name: str, target: str | None = None) -> Source:
    """Load an audio classifier from a folder or the hub.

    Args:
        name: a folder with config.json, preprocessor_config.json and weights, or a name on the Hugging Face hub.
        target: what its labels are of; by default ``emotion``.

    Raises:
        ConfigError: it cannot be used; the message says why.

    Example:
        >>> load_huggingface("superb/wav2vec2-base-superb-er").targets  # doctest: +SKIP
        {'emotion': ['neu', 'hap', 'ang', 'sad']}
    """
    return classifier_source(find_checkpoint(name, KEY, also=[CARD]), target or TARGET)


def classifier_source(checkpoint: Checkpoint, target: str, labels: Sequence[str] = ()) -> Source:
    """A classifier of transformers in a local folder, ready to be exported; all else as ``load_huggingface``.

    Args:
        checkpoint: the folder.
        target: what its labels are of.
        labels: they, in the order of its outputs; by default those of config.json.
    """
    target = checked_target(target)
    loaded = load_classifier(checkpoint, labels=labels)
    return loaded_source(loaded, target, *_built(loaded, target))


def loaded_source(loaded: Loaded, target: str, classifier: nn.Module, plan: ProofPlan) -> Source:
    """A classifier that was loaded, ready to be exported.

    Args:
        loaded: the classifier, what the export is proven against.
        target: what its labels are of.
        classifier: the same, exact in any batch.
        plan: how it is proven.
    """
    origin, family = loaded.checkpoint, loaded.model.config.model_type
    window = plan.window if family in _FILTERBANKS else _WINDOW
    known = {"name": origin.name if origin.on_hub else None, "family": family, "license": loaded.licence}
    return Source(
        classifier=classifier.eval(),
        targets={target: loaded.labels},
        window=Window(samples=window, hop_samples=window, dynamic=True),
        description={
            "model": type(loaded.model).__name__,
            "config": described(loaded.model),
            "preprocessing": _preprocessing(loaded),
        },
        name=origin.name.rsplit("/")[-1] if origin.on_hub else f"{family}-{target}",
        plan=plan,
        original=Original(loaded.model, loaded.extractor, target),
        encoder={
            **{key: value for key, value in known.items() if value is not None},
            "weights_sha256": weights_hash(loaded.model),
        },
        extra={"source": HUGGINGFACE},
    )


def checked_target(target: str) -> str:
    """The target, unless tables cannot have a column of that name: ConfigError."""
    if target in RESERVED_NAMES or "." in target:
        raise ConfigError(
            f"--target: {target!r} cannot name a target: it is a column of prediction tables, or has a dot"
        )
    return target


def _built(loaded: Loaded, target: str) -> tuple[nn.Module, ProofPlan]:
    filterbank = _FILTERBANKS.get(loaded.model.config.model_type)
    if filterbank is not None:
        features = loaded.checkpoint.understood(lambda: filterbank(loaded.extractor), PREPROCESSOR)
        tolerance = _AST_TOLERANCE if filterbank is KaldiFilterbank else MAX_DIFFERENCE
        plan = ProofPlan(features.samples, _FEW_WINDOWS, tolerance=tolerance, probes=_FEW_PROBES)
        return SpectralClassifier(features, loaded.model, target), plan
    return speech_classifier(loaded, target, SpeechClassifier)


def speech_classifier(loaded: Loaded, target: str, build: Any) -> tuple[nn.Module, ProofPlan]:
    """A classifier on an encoder of raw samples, and how it is proven.

    Args:
        loaded: what it is made of.
        target: what its labels are of.
        build: its class, called with the model, whether clips are normalised, the window, and the target.

    Raises:
        ConfigError: the shortest clip that the toolkit accepts has no frame.
    """
    try:
        classifier = build(loaded.model, bool(getattr(loaded.extractor, "do_normalize", False)), _WINDOW, target)
    except ConfigError as error:
        raise loaded.checkpoint.error(f"{{}}: {error}") from error
    whole = sum(parameter.numel() for parameter in loaded.model.parameters()) < _LARGE
    return classifier, ProofPlan(_CROP, whole=whole)


def _preprocessing(loaded: Loaded) -> dict[str, Any]:
    """The settings of the feature extractor, without its name and tables."""
    settings: dict[str, Any] = loaded.extractor.to_dict()
    return {key: value for key, value in settings.items() if isinstance(value, (bool, int, float))}
