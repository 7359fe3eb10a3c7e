"""The lines of a run as a page of Markdown: what was wanted and what came, the causes, the figures of each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

Lines = Mapping[str, Mapping[str, Any]]
_DRY = (
    "**This was a dry run.** There was no GPU: a fake of the CUDA provider ran tiny models on the CPU. No figure on "
    "this page is one; the page shows that every step can be walked."
)
_NO_PROVIDER = (
    "ONNX Runtime's CUDA provider did not run here, for the cause that the step `provider` names. Of the card are only "
    "the figures of `matrix`, `precompute` and `fit`, which need torch alone."
)
NOT_MEASURED = "not measured"
_MOST_PARTS = 6


class Wanted(NamedTuple):
    """What a run is to show: in words, the figure, by how much, and whether more is better."""

    what: str
    step: str
    figure: str
    limit: float
    at_least: bool = True


WANTED = (
    Wanted("base-size wav2vec2 in fp16, share of the matrix rate", "share", "share of the matrix rate", 0.5),
    Wanted("times the transformers pipeline as people run it", "peers", "times as people run it", 10.0),
    Wanted("times the transformers pipeline at its best", "peers", "times its best", 2.0),
    Wanted("service, of the bare session", "service", "of the bare session", 0.85),
    Wanted("folder, of the bare session", "folder", "of the bare session", 0.85),
)


def markdown(lines: Sequence[Mapping[str, Any]], titles: Mapping[str, str], when: datetime) -> str:
    """The report.

    Args:
        lines: of ``run_steps``.
        titles: of the steps, by name.
        when: they were measured.
    """
    by_step = {line["step"]: line for line in lines}
    dry = any(line["dry"] for line in lines)
    parts = [
        f"# The GPU path: {_card(by_step) if not dry else 'dry run'}",
        f"{when:%Y-%m-%d %H:%M} UTC, {_stack(by_step)}",
        *([_DRY] if dry else []),
        *([] if by_step.get("provider", {}).get("status") in (None, "passed") else [_NO_PROVIDER]),
        "\n".join(_wanted(by_step, dry)),
        "## Steps",
        "\n".join(_steps(lines, titles)),
        "## Figures",
        *(_figures(line, titles) for line in lines if line["figures"]),
    ]
    return "\n\n".join(parts) + "\n"


def _card(by_step: Lines) -> str:
    cards = _figure(by_step, "machine", "cards") or [{}]
    card = cards[0]
    found = ", ".join(card[key] for key in ("name", "memory.total") if key in card)
    more = f", and {len(cards) - 1} more" if len(cards) > 1 else ""
    return f"{found}, driver {card['driver_version']}{more}" if found else "a card that was not named"


def _stack(by_step: Lines) -> str:
    versions = _figure(by_step, "machine", "versions") or {}
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "versions not known"


def _figure(by_step: Lines, step: str, figure: str) -> Any:
    return by_step.get(step, {}).get("figures", {}).get(figure)


def _wanted(by_step: Lines, dry: bool) -> Iterator[str]:
    yield "| wanted | limit | measured | |"
    yield "| --- | --- | --- | --- |"
    for wanted in WANTED:
        found = _figure(by_step, wanted.step, wanted.figure)
        known = isinstance(found, (int, float)) and not dry
        verdict = ("met" if found >= wanted.limit else "**missed**") if known else ""
        yield f"| {wanted.what} | at least {wanted.limit:g} | {_number(found) if known else NOT_MEASURED} | {verdict} |"
    placed = NOT_MEASURED if dry else _placed(by_step)
    yield f"| no node on the CPU, no copy in the middle, any family | 0 | {placed} | |"


def _placed(by_step: Lines) -> str:
    found = by_step.get("families", {}).get("figures", {})
    if not found:
        return NOT_MEASURED
    nodes = {name: sum(each["on_cpu"].values()) for name, each in found.items() if each["on_cpu"]}
    copies = max(each["copies"] for each in found.values())
    named = ", ".join(f"{name}: {count}" for name, count in nodes.items())
    return f"{named or 'no node on the CPU'}; at most {copies} copies in a graph"


def _steps(lines: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> Iterator[str]:
    yield "| step | ended | seconds | cause |"
    yield "| --- | --- | --- | --- |"
    for line in lines:
        status = line["status"] if line["status"] in ("passed", "skipped") else f"**{line['status']}**"
        title = titles.get(line["step"], line["step"])
        yield f"| `{line['step']}` {title} | {status} | {line['seconds']:.1f} | {_cell(line['cause'])} |"


def _figures(line: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The figures of a step: those with the same columns as a table, the others as a list."""
    figures: Mapping[str, Any] = line["figures"]
    rows = {name: value for name, value in figures.items() if isinstance(value, dict) and not _nested(value)}
    columns = list(dict.fromkeys(column for value in rows.values() for column in value))
    tabular = len(rows) > 1 and len(columns) <= 9
    parts = [f"### {titles.get(line['step'], line['step'])}"]
    others = {name: value for name, value in figures.items() if not (tabular and name in rows)}
    if tabular:
        parts.append("\n".join(_table(rows, columns)))
    if others:
        parts.append("\n".join(f"- {name}: {_words(value)}" for name, value in others.items()))
    return "\n\n".join(parts)


def _nested(value: Mapping[str, Any]) -> bool:
    return any(
        isinstance(inner, dict) and any(isinstance(each, dict) for each in inner.values()) for inner in value.values()
    )


def _table(rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    yield f"| | {' | '.join(columns)} |"
    yield f"| --- |{' --- |' * len(columns)}"
    for name, row in rows.items():
        yield f"| {name} | {' | '.join(_cell(_words(row.get(column, ''))) for column in columns)} |"


def _words(value: Any) -> str:
    """A figure in a line."""
    kinds: dict[type, Callable[[Any], str]] = {
        dict: lambda each: _few([f"{key} {_words(inner)}" for key, inner in each.items()]) or "none",
        list: lambda each: ", ".join(map(_words, each)) or "none",
        bool: lambda each: "yes" if each else "no",
        float: _number,
    }
    return kinds.get(type(value), str)(value)


def _few(parts: Sequence[str]) -> str:
    """The first parts of a long list, and how many there are more."""
    more = f"; and {len(parts) - _MOST_PARTS} more" if len(parts) > _MOST_PARTS else ""
    return "; ".join(parts[:_MOST_PARTS]) + more


def _number(value: Any) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
