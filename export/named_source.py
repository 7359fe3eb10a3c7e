"""What a user names to export: a run folder, a checkpoint, a model of others, an ONNX file. Light until it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from emotions.errors import ConfigError

if TYPE_CHECKING:
    from export.sources import Source

ONNX = "onnx:"
"""Prefix of a source that is an ONNX file."""


@dataclass(frozen=True)
class Said:
    """What the user says of a model of others, which other models know."""

    target: str | None = None
    labels: tuple[str, ...] = ()
    sampling_rate: int | None = None
    output_kind: str | None = None


def labels_of(labels: str | None) -> tuple[str, ...]:
    """The labels that ``--labels`` names; none where it is not given.

    Args:
        labels: names with commas between them.

    Raises:
        ConfigError: they could not be told apart.
    """
    if labels is None:
        return ()
    named = tuple(label.strip() for label in labels.split(","))
    if len(named) < 2 or not all(named) or len({*named}) < len(named):
        raise ConfigError("--labels: name two or more, each once, with commas between them")
    return named


def export_named(source: str, said: Said, output: Path | None, name: str | None, **options: Any) -> Path:
    """Export what a source names; returns the bundle.

    Args:
        source: a path, or a model of others where it begins with ``hf:`` or ``onnx:``.
        said: what the user says of a model of others.
        output: the bundle's folder; by default one below ``bundles``, an option.
        name: of the bundle.
        options: further arguments of ``export_source``.

    Raises:
        ConfigError: what is said is not for such a source, or not enough.
        EmotionsError: the source cannot be read or exported.
    """
    from export.bundle.export import export_run, export_source
    from export.config import HUGGINGFACE

    if source.startswith(ONNX):
        return export_source(lambda: _of_file(Path(source.removeprefix(ONNX)), said), output, name, **options)
    if said.sampling_rate is not None or said.output_kind is not None:
        raise ConfigError("a sampling rate or a kind of output is named for --onnx only: other models know theirs")
    if not source.startswith(HUGGINGFACE):
        if said != Said():
            raise ConfigError("a target or labels are named for checkpoints of others only: other models know theirs")
        return export_run(Path(source), output, name, **options)
    return export_source(lambda: _imported(source.removeprefix(HUGGINGFACE), said), output, name, **options)


def _imported(name: str, said: Said) -> Source:
    """The source of a checkpoint of others, once it is said which importer takes it."""
    from export.importers.importer import ImportOptions
    from export.importers.registry import choose

    choice = choose(name)
    typer.echo(str(choice))
    return choice.load(ImportOptions(said.target, said.labels))


def _of_file(path: Path, said: Said) -> Source:
    """The source of an ONNX file."""
    from emotions.audio.decode import SAMPLE_RATE
    from export.huggingface.source import TARGET
    from export.importers.onnx_file.importer import OnnxOptions, onnx_source

    if not said.labels:
        raise ConfigError("--onnx: name its labels with --labels, in the order of its scores")
    rate = SAMPLE_RATE if said.sampling_rate is None else said.sampling_rate
    typer.echo("importer: onnx, a classifier of a waveform, run on each clip of a batch alone")
    return onnx_source(path, OnnxOptions(said.labels, said.target or TARGET, rate, said.output_kind))
