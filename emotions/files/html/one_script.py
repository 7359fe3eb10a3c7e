"""Modules as one script, for a page in one file: beside it none can be loaded without a server."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

PLAYER = Path(__file__).parent / "player"
"""What draws over time, on pages of reports."""
STRIP = PLAYER / "strip.js"
"""The part of it that the service's page has, too."""
_NAMES = re.compile(r"^import \{ ([^}]+) \} from \"\./([^\"]+)\";$", re.MULTILINE)
_DEFAULT = re.compile(r"^import (\w+) from \"\./([^\"]+)\";$", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)
_LAST = re.compile(r"export\{(\w+) as default\};\s*$")


def one_script(modules: Sequence[Path], root: Path) -> str:
    """Join modules to one.

    Args:
        modules: files, each behind those that it imports.
        root: what the names in imports are relative to.

    Returns:
        A script in which each module is a function of its own, so that their names do not meet. No ``<`` begins a tag.
    """
    parts = [f"modules[{json.dumps(_name(path, root))}] = (() => {{\n{_body(path)}\n}})();" for path in modules]
    return "\n".join(["const modules = {};", *parts]).replace("</", "<\\/").replace("<!--", "<\\!--")


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _body(path: Path) -> str:
    """A module as the body of a function that returns what it exports."""
    text = path.read_text(encoding="utf-8")
    names = _EXPORT.findall(text)
    text = _NAMES.sub(r'const { \1 } = modules["\2"];', text)
    text = _DEFAULT.sub(r'const \1 = modules["\2"].default;', text)
    text = _LAST.sub(r"return { default: \1 };", _EXPORT.sub("", text))
    return f"{text}\nreturn {{ {', '.join(names)} }};" if names else text
