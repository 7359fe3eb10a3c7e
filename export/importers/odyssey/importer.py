"""The WavLM baselines of the Odyssey 2024 challenge: ``ssl_model``, ``pool_model`` and ``ser_model`` in one file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import ConfigError
from export.huggingface.classifiers import labels_of
from export.huggingface.licence import licence_of
from export.huggingface.source import checked_target
from export.importers.importer import Importer, ImportOptions
from export.importers.named_encoders import encoder_weights, named_encoder
from export.importers.odyssey.network import Odyssey, Original, Parts
from export.importers.own_source import WINDOW, own_source
from export.importers.regression import refuse_regression
from export.importers.weights import build_exactly, read_weights
from export.sources import Source
from training.models.frontends.encoders import described
from training.models.frontends.hub import CONFIG, Checkpoint

_TYPE = "ser"
_SETTINGS = ("mean", "std", "classifier_hidden_layers", "num_classes")


def _misfit(checkpoint: Checkpoint) -> str | None:
    if not (checkpoint.folder / CONFIG).is_file():
        return f"no {CONFIG}"
    settings = checkpoint.read_json(CONFIG)
    if settings.get("model_type") != _TYPE or "ssl_type" not in settings:
        return f"{CONFIG} is not of the model type {_TYPE} with an ssl_type"
    return None


def _load(checkpoint: Checkpoint, options: ImportOptions) -> Source:
    target, settings = checked_target(options.target), checkpoint.read_json(CONFIG)
    refuse_regression(settings, checkpoint)
    labels = [*options.labels] or labels_of(settings, checkpoint)
    known = checkpoint.understood(lambda: _numbers(settings), CONFIG)
    if settings.get("sampling_rate", SAMPLE_RATE) != SAMPLE_RATE:
        raise checkpoint.error(f"{{}} is for {settings['sampling_rate']} Hz; only {SAMPLE_RATE} Hz is supported")
    if len(labels) != known["num_classes"]:
        raise checkpoint.error(f"{{}} has {known['num_classes']} outputs, and {len(labels)} labels")
    parts = _parts(checkpoint, settings["ssl_type"], known)
    config = {**described(parts.ssl_model), **{key: known[key] for key in _SETTINGS}}
    try:
        network = Odyssey(parts, known["mean"], known["std"], WINDOW, target)
    except ConfigError as error:
        raise checkpoint.error(f"{{}}: {error}") from error
    return own_source(
        network,
        {target: labels},
        checkpoint,
        family="odyssey",
        description={"model": "Odyssey2024Baseline", "config": config},
        licence=licence_of(checkpoint),
        original=Original(parts, known["mean"], known["std"], target).eval(),
    )


def _numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of config.json; ValueError where one is missing or cannot be."""
    lacking = [key for key in _SETTINGS if key not in settings]
    if lacking:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    mean, deviation = float(settings["mean"]), float(settings["std"])
    if not (math.isfinite(mean) and math.isfinite(deviation) and deviation > 0):
        raise ValueError("mean and std are no mean and deviation of samples")
    layers, classes = int(settings["classifier_hidden_layers"]), int(settings["num_classes"])
    if layers < 1 or classes < 1:
        raise ValueError("classifier_hidden_layers and num_classes are at least 1")
    return {"mean": mean, "std": deviation, "classifier_hidden_layers": layers, "num_classes": classes}


def _parts(checkpoint: Checkpoint, encoder: object, known: Mapping[str, Any]) -> Parts:
    named = named_encoder(encoder, checkpoint)
    weights = encoder_weights(read_weights(checkpoint))
    layers, classes = known["classifier_hidden_layers"], known["num_classes"]
    return build_exactly(lambda: Parts(named.build(), layers, classes), weights, checkpoint, "weights")


IMPORTER = Importer("odyssey", "an Odyssey 2024 baseline: ssl_model, pool_model, ser_model", _misfit, _load)
