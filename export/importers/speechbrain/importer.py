"""SpeechBrain's wav2vec2 emotion recipe: ``hyperparams.yaml``, ``wav2vec2.ckpt``, ``model.ckpt``, label_encoder.txt."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from emotions.errors import ConfigError
from export.huggingface.licence import licence_of
from export.huggingface.source import checked_target
from export.importers.importer import Importer, ImportOptions
from export.importers.named_encoders import NamedEncoder, encoder_weights, named_encoder
from export.importers.own_source import WINDOW, own_source
from export.importers.speechbrain.network import Original, Parts, Recipe
from export.importers.speechbrain.settings import (
    HYPERPARAMS,
    LABELS,
    Hyperparams,
    parts_of,
    read_hyperparams,
    read_labels,
)
from export.importers.weights import build_exactly, float_tensors, read_pickled
from export.sources import Source
from training.models.frontends.encoders import described
from training.models.frontends.hub import Checkpoint

ENCODER, OUTPUT = "wav2vec2.ckpt", "model.ckpt"


def _misfit(checkpoint: Checkpoint) -> str | None:
    lacking = [file for file in (HYPERPARAMS, ENCODER, OUTPUT) if not (checkpoint.folder / file).is_file()]
    if lacking:
        return f"no {' and no '.join(lacking)}"
    others = [name for name, part in parts_of(checkpoint).items() if not part]
    return f"{HYPERPARAMS} has no {', '.join(others)} of the emotion recipe" if others else None


def _load(checkpoint: Checkpoint, options: ImportOptions) -> Source:
    target, recipe, labels = checked_target(options.target), read_hyperparams(checkpoint), read_labels(checkpoint)
    if len(labels) != recipe.classes:
        raise checkpoint.error(f"{{}} has {recipe.classes} outputs, and {LABELS} names {len(labels)} labels")
    encoder = named_encoder(recipe.encoder, checkpoint)
    parts = _parts(checkpoint, encoder, recipe)
    norms: dict[str, Any] = {"normalize": encoder.normalize, "output_norm": recipe.output_norm}
    config = {**described(parts.wav2vec2), **norms}
    try:
        network = Recipe(parts, **norms, window=WINDOW, target=target)
    except ConfigError as error:
        raise checkpoint.error(f"{{}}: {error}") from error
    return own_source(
        network,
        {target: labels},
        checkpoint,
        family="speechbrain",
        description={"model": "SpeechBrainEmotionRecipe", "config": config},
        licence=licence_of(checkpoint),
        original=Original(parts, **norms, target=target).eval(),
    )


def _parts(checkpoint: Checkpoint, encoder: NamedEncoder, recipe: Hyperparams) -> Parts:
    own = encoder_weights(_state(checkpoint, ENCODER, "model."))
    weights = {f"wav2vec2.{name}": value for name, value in own.items()}
    weights |= {f"output.{name}": value for name, value in _state(checkpoint, OUTPUT, "0.w.").items()}
    build = lambda: Parts(encoder.build(), recipe.classes, bias=recipe.bias)  # noqa: E731
    return build_exactly(build, weights, checkpoint, f"{ENCODER}, {OUTPUT}")


def _state(checkpoint: Checkpoint, file: str, prefix: str) -> dict[str, Tensor]:
    """The weights of a file, without what all of their names begin with."""
    weights = float_tensors(checkpoint, file, read_pickled(checkpoint, file))
    return {name.removeprefix(prefix): value for name, value in weights.items()}


IMPORTER = Importer(
    "speechbrain",
    "SpeechBrain's wav2vec2 emotion recipe: hyperparams.yaml, wav2vec2.ckpt, model.ckpt",
    _misfit,
    _load,
    files=(HYPERPARAMS, LABELS),
    pickled=(ENCODER, OUTPUT),
)
