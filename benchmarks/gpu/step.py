"""A step of the run: what it measures, how long it may take, and what it is given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = Iterator[tuple[str, Any]]
"""What a step finds, name -> value, one after the other: what came before a failure is kept."""


class Skipped(Exception):
    """A step, or a part of it, cannot run on this machine; says why in one line."""


@dataclass(frozen=True)
class Step:
    """A step: ``call`` names the function, ``module:function``, which a process of its own imports and calls.

    Attributes:
        name: in the lines of JSON.
        title: in the report.
        call: of a function that takes a ``Bench`` and yields ``Figures``.
        seconds: after which its process is stopped.
        needed: by those that come after it, which wait for its end also where steps run side by side.
        trial: whether the toolkit's sessions take the settings that suit the card, tried at first.
    """

    name: str
    title: str
    call: str
    seconds: float = 60.0
    needed: bool = False
    trial: bool = False


@dataclass(frozen=True)
class Bench:
    """What a step is given.

    Attributes:
        folder: of the run, with the bundles.
        scratch: a folder of the step's own.
        dry: there is no GPU: the CUDA provider is a fake, models are tiny, and no figure is one.
    """

    folder: Path
    scratch: Path
    dry: bool = False

    @property
    def batches(self) -> tuple[int, int, int]:
        """Windows in a batch: one, a few, many."""
        return (1, 2, 4) if self.dry else (1, 8, 64)

    @property
    def window_sec(self) -> float:
        """Seconds of a window."""
        return 0.5 if self.dry else 3.0

    @property
    def samples(self) -> int:
        """Samples of a window at 16 kHz."""
        return round(self.window_sec * 16_000)

    @property
    def measured_sec(self) -> float:
        """Seconds that a figure is measured for."""
        return 0.02 if self.dry else 0.5

    @property
    def torch_device(self) -> str:
        """Where torch computes."""
        return "cpu" if self.dry else "cuda"

    def bundle(self, name: str) -> Path:
        """The folder of a bundle that the step ``bundles`` made.

        Raises:
            Skipped: it was not made.
        """
        path = self.folder / "bundles" / name
        if not (path / "manifest.json").exists():
            raise Skipped(f"there is no bundle {name}: the step bundles did not make it")
        return path


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers rounded to four digits, those that are none as words, numpy's as Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    number = value.item() if hasattr(value, "item") else value
    if not isinstance(number, float):
        return number if isinstance(number, (bool, int)) else str(number)
    return float(f"{number:.4g}") if math.isfinite(number) else str(number)
