"""The pages of the site as Markdown in one folder: those of ``docs``, those at the root, those generated from the code.

A page is written for GitHub too: its links go through the repository. Here each is made to point to where its target
lies in the site, and files that pages link to are copied beside them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

SECTIONS = {
    "tutorial": "Tutorials",
    "how-to": "How-to guides",
    "explanation": "Explanations",
    "reference": "Reference",
    "figures": "Measured figures",
    "project": "Project",
}
"""Folders of the site in the order of the navigation; a new page in one of them is in the navigation by itself."""

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")


class DeadLinkError(Exception):
    """Links of pages to files that are not there."""


def sources(root: Path) -> dict[Path, PurePosixPath]:
    """Every page of a checkout, with its place in the site."""
    pages = {page: PurePosixPath(page.relative_to(root / "docs").as_posix()) for page in root.glob("docs/**/*.md")}
    for page in root.glob("*.md"):
        name = "index.md" if page.name == "README.md" else f"project/{page.name.lower()}"
        pages[page] = PurePosixPath(name)
    return pages


def lay_out(root: Path, folder: Path, generated: Mapping[str, str]) -> list[PurePosixPath]:
    """Write the pages and the navigation into an empty folder.

    Args:
        root: the checkout.
        folder: where they go.
        generated: pages made from the code, by their place in the site.

    Returns:
        The places of all pages, in the order of the navigation.

    Raises:
        DeadLinkError: pages link to files that the checkout does not have, or two pages have one place.
    """
    places = sources(root)
    dead: list[str] = [
        f"{name}: is written and generated" for name in generated if PurePosixPath(name) in places.values()
    ]
    for page, place in places.items():
        text = _relinked(page.read_text(encoding="utf-8"), page, root, folder, places, dead)
        _write(folder / place, _as_python_markdown(text))
    for name, text in generated.items():
        _write(folder / name, text)
    if dead:
        raise DeadLinkError("\n".join(sorted(dead)))
    return _navigate(folder, {*places.values(), *map(PurePosixPath, generated)})


def title(text: str) -> str:
    """A page's title."""
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _relinked(
    text: str, page: Path, root: Path, folder: Path, places: Mapping[Path, PurePosixPath], dead: list[str]
) -> str:
    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return found[0]
        file = Path(os.path.normpath(page.parent / path))
        if not file.exists() or not file.is_relative_to(root):
            dead.append(f"{page.relative_to(root)}: {target} is not there")
            return found[0]
        if file.is_dir():
            return words
        place = places.get(file) or _copied(file, root, folder)
        start = places[page].parent.as_posix()
        return f"{picture}[{words}]({os.path.relpath(place, start)}{'#' + anchor if anchor else ''})"

    prose = re.sub(r"`[^`]*`", "", _FENCE.sub("", text))
    defined = {name.lower() for name in re.findall(r"^\[([^\]]+)\]:", prose, re.MULTILINE)}
    unknown = [name for name in re.findall(r"\]\[([^\[\]]+)\]", prose) if name.lower() not in defined]
    dead += [f"{page.relative_to(root)}: the reference [{name}] is defined nowhere" for name in unknown]
    return _outside_fences(text, lambda part: _LINK.sub(link, part))


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    parts = _FENCE.split(text)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))


def _copied(file: Path, root: Path, folder: Path) -> PurePosixPath:
    inside = file.relative_to(root / "docs") if file.is_relative_to(root / "docs") else "files" / file.relative_to(root)
    (folder / inside).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / inside)
    return PurePosixPath(inside.as_posix())


def _as_python_markdown(text: str) -> str:
    """Blocks of one language without the test's words after it, and an empty line before each list."""
    text = re.sub(r"^```(\w+) background$", r"```\1", text, flags=re.MULTILINE)
    return _outside_fences(text, _spaced_lists)


def _spaced_lists(text: str) -> str:
    lines: list[str] = []
    for line in text.split("\n"):
        before = lines[-1] if lines else ""
        if _ITEM.match(line) and before.strip() and not _ITEM.match(before) and not before.startswith(" "):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)


def _navigate(folder: Path, pages: set[PurePosixPath]) -> list[PurePosixPath]:
    order = [PurePosixPath("index.md")]
    lines = ["nav:", "  - index.md"]
    for section, name in SECTIONS.items():
        inside = sorted(page for page in pages if page.parts[0] == section)
        if inside:
            lines += [f"  - {name}:", *(f"      - {page}" for page in inside)]
            order += inside
    if homeless := pages - set(order):
        raise DeadLinkError(
            "\n".join(f"{page}: lies in none of the folders {', '.join(SECTIONS)}" for page in homeless)
        )
    _write(folder / ".nav.yml", "\n".join(lines) + "\n")
    return order


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
