"""What the tests read of a Dockerfile: its instructions, with the defaults of its arguments put in."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Copy:
    """A ``COPY`` from the build context."""

    sources: list[str]
    target: str


class Dockerfile:
    """One Dockerfile of ``docker/``; ``arguments`` are those of ``--build-arg``."""

    def __init__(self, name: str, **arguments: str) -> None:
        self.text = (ROOT / "docker" / name).read_text(encoding="utf-8")
        lines = [line for line in self.text.splitlines() if not line.lstrip().startswith("#")]
        joined = "\n".join(lines).replace("\\\n", " ")
        pairs = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
        self.declared = [rest.partition("=")[0] for word, rest in pairs if word == "ARG"]
        defaults = dict(rest.split("=", 1) for word, rest in pairs if word == "ARG" and "=" in rest)
        values = {**defaults, **arguments}
        self.instructions = [(word, _filled(rest, values)) for word, rest in pairs]

    def all(self, word: str) -> list[str]:
        """What follows each instruction ``word``."""
        return [rest for found, rest in self.instructions if found == word]

    @property
    def copies(self) -> list[Copy]:
        """Each ``COPY`` that takes from the build context, not from another stage."""
        words = [shlex.split(rest) for rest in self.all("COPY") if "--from=" not in rest]
        return [Copy(found[:-1], found[-1]) for found in words]

    @property
    def environment(self) -> dict[str, str]:
        """What ``ENV`` sets."""
        return dict(word.split("=", 1) for rest in self.all("ENV") for word in shlex.split(rest))

    @property
    def locks(self) -> dict[str, list[str]]:
        """``RUN`` lines that install from lock files -> the files, by their names in the repository."""
        named = {Path(copy.target).name: copy.sources[0] for copy in self.copies if copy.target.endswith(".lock")}
        found = {line: re.findall(r"-r (\S+)", line) for line in self.all("RUN") if " -r " in line}
        return {line: [named.get(lock, lock) for lock in locks] for line, locks in found.items()}


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text
