"""A source whose network is the toolkit's own: an importer put the weights of a checkpoint in it."""

from __future__ import annotations

from typing import Any

from torch import nn

from emotions.audio.decode import SAMPLE_RATE
from emotions.bundle.manifest import Window
from export.proof.proof import Answering
from export.sources import HUGGINGFACE, ProofPlan, Source
from training.models.base import weights_hash
from training.models.frontends.hub import Checkpoint

WINDOW = 30 * SAMPLE_RATE
CROP = 2 * SAMPLE_RATE
_LARGE = 200_000_000
"""Parameters from which a window of full length takes too long to prove."""


def own_source(
    network: nn.Module,
    targets: dict[str, list[str]],
    checkpoint: Checkpoint,
    *,
    family: str,
    description: dict[str, Any],
    licence: str | None,
    original: Answering | None = None,
) -> Source:
    """Describe a network with the weights of a checkpoint.

    Args:
        network: raw samples to logits, exact in any batch.
        targets: its labels.
        checkpoint: where its weights come from.
        family: what the network is.
        description: how it is built, for the manifest; ``model`` is its name.
        licence: what the model card says.
        original: what it is proven against where that is another than itself.
    """
    known = {"name": checkpoint.name if checkpoint.on_hub else None, "family": family, "license": licence}
    (target,) = targets
    whole = sum(parameter.numel() for parameter in network.parameters()) < _LARGE
    return Source(
        classifier=network.eval(),
        targets=targets,
        window=Window(samples=WINDOW, hop_samples=WINDOW, dynamic=True),
        description=description,
        name=checkpoint.name.rsplit("/")[-1] if checkpoint.on_hub else f"{family}-{target}",
        plan=ProofPlan(CROP, whole=whole),
        original=original,
        encoder={
            **{key: value for key, value in known.items() if value is not None},
            "weights_sha256": weights_hash(network),
        },
        extra={"source": HUGGINGFACE},
    )
