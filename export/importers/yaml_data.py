"""YAML files of others read as data: constructors in them are kept as text and never called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from emotions.errors import ConfigError, first_line
from emotions.files.content import open_regular
from training.models.frontends.hub import Checkpoint
from training.models.model_size import check_numbers

TAG = "!"
"""Key under which a mapping keeps the tag that it had, such as ``new:torch.nn.Linear``."""
_MAX_BYTES = 1 << 20
_MAX_ALIASES = 16


class _DataLoader(yaml.SafeLoader):  # type: ignore[misc]
    """A safe loader for which any tag of a file's own is text, and aliases are few: nested ones grow exponentially."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As ``yaml`` does, up to so many aliases."""
        self.aliases += self.check_event(yaml.AliasEvent)
        if self.aliases > _MAX_ALIASES:
            raise ValueError(f"more than {_MAX_ALIASES} aliases")
        return super().compose_node(parent, index)


def _as_data(loader: Any, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {TAG: tag, **loader.construct_mapping(node, deep=True)}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


_DataLoader.add_multi_constructor("!", _as_data)


def read_yaml(checkpoint: Checkpoint, file: str) -> dict[str, Any]:
    """Read a YAML file of a checkpoint.

    Args:
        checkpoint: the folder.
        file: its name there.

    Raises:
        ConfigError: it is missing, too large, no mapping, no YAML, or has absurd numbers.
    """
    path = Path(checkpoint.folder, file)
    try:
        with open_regular(path) as stream:
            text = stream.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise checkpoint.error(f"{{}}: {file} is larger than {_MAX_BYTES >> 20} MiB")
        content = yaml.load(text, _DataLoader)  # noqa: S506 - a SafeLoader
    except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise checkpoint.error(f"{{}} has no readable {file} ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise checkpoint.error(f"{{}}: {file} holds no mapping")
    try:
        check_numbers(content)
    except (ConfigError, RecursionError) as error:
        raise checkpoint.error(f"{{}}: {file}: {error}") from error
    return content
