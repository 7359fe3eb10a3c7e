"""The licence of a checkpoint, as its model card states it."""

from __future__ import annotations

import yaml
from huggingface_hub.repocard import metadata_load

from training.models.frontends.hub import CARD, Checkpoint

_MAX_CARD_BYTES = 4 << 20


def licence_of(checkpoint: Checkpoint) -> str | None:
    """What the metadata of the model card say; a card that cannot be read says nothing."""
    card = checkpoint.folder / CARD
    try:
        if card.stat().st_size > _MAX_CARD_BYTES:
            return None
        licence = (metadata_load(card) or {}).get("license")
    except (OSError, ValueError, TypeError, yaml.YAMLError):
        return None
    return licence if isinstance(licence, str) else None
