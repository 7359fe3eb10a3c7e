"""Audio classifiers of transformers: ``ForSequenceClassification`` and ``ForAudioClassification``."""

from __future__ import annotations

from emotions.errors import ConfigError
from export.huggingface.classifiers import FAMILIES
from export.huggingface.source import classifier_source
from export.importers.importer import Importer, ImportOptions
from export.sources import Source
from training.models.frontends.hub import CONFIG, Checkpoint


def _misfit(checkpoint: Checkpoint) -> str | None:
    if not (checkpoint.folder / CONFIG).is_file():
        return f"no {CONFIG}"
    try:
        checkpoint.read_settings(FAMILIES)
    except ConfigError as error:
        return str(error).removeprefix(f"{checkpoint.key}: ")
    return None


def _load(checkpoint: Checkpoint, options: ImportOptions) -> Source:
    return classifier_source(checkpoint, options.target, options.labels)


IMPORTER = Importer("transformers", "a classifier of transformers", _misfit, _load)
