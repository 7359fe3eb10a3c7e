"""What an importer is: a layout that it recognises by its files, and a source that it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from export.huggingface.source import TARGET, checked_target
from export.sources import Source
from training.models.frontends.hub import Checkpoint


@dataclass(frozen=True)
class ImportOptions:
    """What the user says of a checkpoint.

    Attributes:
        target: what its labels are of; by default emotion, and affect for dimensions.
        labels: its labels in the order of its outputs, where the checkpoint has none.
    """

    target: str | None = None
    labels: tuple[str, ...] = ()

    def checked_target(self, default: str = TARGET) -> str:
        """The target; ConfigError where tables cannot have a column of that name.

        Args:
            default: the target unless the user says.
        """
        return checked_target(self.target or default)


@dataclass(frozen=True)
class Importer:
    """One layout of checkpoints.

    Attributes:
        name: in messages and in the manifest.
        layout: what the layout is, in words.
        files: what a checkpoint of it has beside the files of transformers, apart from weights; downloaded.
        pickled: its files of weights, downloaded where the hub has no safetensors; read as weights only.
        misfit: why a checkpoint is not of the layout, or None where it is.
        load: the source of a checkpoint that is; ConfigError where it cannot be used.
    """

    name: str
    layout: str
    misfit: Callable[[Checkpoint], str | None]
    load: Callable[[Checkpoint, ImportOptions], Source]
    files: tuple[str, ...] = ()
    pickled: tuple[str, ...] = ()
