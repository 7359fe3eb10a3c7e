"""Classifiers of the community: an encoder of transformers under a pooled head of their own."""

from __future__ import annotations

from typing import Any

from emotions.errors import ConfigError
from export.huggingface.classifiers import FAMILIES, Family, load_classifier
from export.huggingface.pooled import ENCODERS, OUTPUTS, POOLING, PooledClassifier, pooled_head
from export.huggingface.source import checked_target, loaded_source, speech_classifier
from export.importers.importer import Importer, ImportOptions
from export.importers.regression import refuse_regression
from export.importers.weights import weight_names
from export.sources import Source
from training.models.frontends.hub import CONFIG, Checkpoint

_DENSE = "classifier.dense.weight"


def _misfit(checkpoint: Checkpoint) -> str | None:
    if not (checkpoint.folder / CONFIG).is_file():
        return f"no {CONFIG}"
    try:
        checkpoint.read_settings(ENCODERS)
    except ConfigError as error:
        return str(error).removeprefix(f"{checkpoint.key}: ")
    names = weight_names(checkpoint)
    if _DENSE not in names or not _outputs(checkpoint):
        return f"no weights {_DENSE} and classifier.{{{','.join(OUTPUTS)}}}.weight"
    return None


def _outputs(checkpoint: Checkpoint) -> list[str]:
    names = weight_names(checkpoint)
    return [output for output in OUTPUTS if f"classifier.{output}.weight" in names]


def _load(checkpoint: Checkpoint, options: ImportOptions) -> Source:
    settings = checkpoint.read_settings(ENCODERS)
    refuse_regression(settings, checkpoint)
    _check_settings(settings, checkpoint)
    kind, target = settings["model_type"], checked_target(options.target)
    head = pooled_head(kind, _outputs(checkpoint)[0])
    family = Family(FAMILIES[kind].config, head, FAMILIES[kind].extractor, named=False)
    loaded = load_classifier(checkpoint, {kind: family}, options.labels)
    return loaded_source(loaded, target, *speech_classifier(loaded, target, PooledClassifier))


def _check_settings(settings: dict[str, Any], checkpoint: Checkpoint) -> None:
    mode = settings.get("pooling_mode", "mean")
    if not isinstance(mode, str) or mode not in POOLING:
        raise checkpoint.error(f"{{}}: {CONFIG} has the pooling_mode {mode!r}; allowed are {', '.join(POOLING)}")
    if settings.get("add_adapter"):
        raise checkpoint.error(f"{{}}: {CONFIG} has add_adapter, which a head over pooled frames does not go with")


IMPORTER = Importer("community", "pooled frames under classifier.dense, tanh and one more layer", _misfit, _load)
