"""The importers, and which of them takes a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from emotions.errors import ConfigError, plain
from export.huggingface.classifiers import KEY
from export.importers import community_heads, transformers_heads
from export.importers.adapter import importer as adapter
from export.importers.emotion2vec import importer as emotion2vec
from export.importers.importer import Importer, ImportOptions
from export.importers.odyssey import importer as odyssey
from export.importers.speechbrain import importer as speechbrain
from export.sources import Source
from training.models.frontends.hub import CARD, Checkpoint, find_checkpoint

IMPORTERS: tuple[Importer, ...] = (
    adapter.IMPORTER,
    emotion2vec.IMPORTER,
    speechbrain.IMPORTER,
    odyssey.IMPORTER,
    community_heads.IMPORTER,
    transformers_heads.IMPORTER,
)
"""In the order in which they are asked: the first that a checkpoint fits takes it."""


@dataclass(frozen=True)
class Choice:
    """The importer of a checkpoint.

    Attributes:
        importer: which one.
        checkpoint: what it takes.
        misfits: why each importer that was asked before did not fit, by name.
    """

    importer: Importer
    checkpoint: Checkpoint
    misfits: Mapping[str, str]

    def __str__(self) -> str:
        others = "".join(f"; not {name}: {reason}" for name, reason in self.misfits.items())
        return plain(f"importer: {self.importer.name}, {self.importer.layout}{others}")

    def load(self, options: ImportOptions) -> Source:
        """The source of the checkpoint, with the importer's name in its manifest. Raises ConfigError."""
        source = self.importer.load(self.checkpoint, options)
        return replace(source, extra={**source.extra, "importer": self.importer.name})


def choose(name: str) -> Choice:
    """Find a checkpoint, and the importer that it fits.

    Args:
        name: a folder, or a name on the Hugging Face hub, which is downloaded.

    Raises:
        ConfigError: it cannot be reached, or fits none; the message has the reason of each.
    """
    files = {CARD, *(file for importer in IMPORTERS for file in importer.files)}
    pickled = {file for importer in IMPORTERS for file in importer.pickled}
    checkpoint = find_checkpoint(name, KEY, also=sorted(files), pickled=sorted(pickled))
    misfits: dict[str, str] = {}
    for importer in IMPORTERS:
        reason = importer.misfit(checkpoint)
        if reason is None:
            return Choice(importer, checkpoint, misfits)
        misfits[importer.name] = reason
    reasons = "; ".join(f"{name}: {reason}" for name, reason in misfits.items())
    raise ConfigError(plain(f"{KEY}: {checkpoint.name} fits no importer ({reasons})"))
