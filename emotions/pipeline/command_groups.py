"""The list of commands in groups by what somebody wants to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup

_GROUPS = {
    "From recordings to answers": ("init", "train", "export", "predict", "ui", "serve", "stream"),
    "Know what to trust": ("data", "evaluate", "benchmark", "drift", "label"),
    "Files": ("validate", "info", "bundle", "encoders"),
    "This machine": ("doctor", "cache", "serve-key"),
}
_LONGEST = 200


class CommandGroups(TyperGroup):
    """A command line whose help lists its commands in groups, in the order of a first use."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the groups of the commands that are installed; a command that no group names is in the last one."""
        rows = dict(self._rows(ctx))
        for title, names in [*_GROUPS.items(), ("More", tuple(rows))]:
            if listed := [(name, rows.pop(name)) for name in names if name in rows]:
                with formatter.section(title):
                    formatter.write_dl(listed, col_spacing=4)

    def _rows(self, ctx: Any) -> Iterator[tuple[str, str]]:
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                yield name, command.get_short_help_str(_LONGEST)
