"""The report as one HTML file that needs nothing else: its tables, and plots drawn from its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from emotions.files.html.report import Part, Picture, Section, html
from emotions.files.html.report import Report as Page
from emotions.files.html.report import Table as Figures
from emotions.files.html.svg_plots import Axes, Line, bars, lines, waterfall
from serving.benchmark.layers.layers import NULL_MODEL
from serving.benchmark.report.conclusion import conclusion
from serving.benchmark.report.tables import Table, head, runs, tables

PAGE = "report.html"

Report = Mapping[str, Any]
_BUSY = 1.5
"""Processes a core that wait or work, from which on the figures are those of a busy machine."""
_CDF = ("single_stream", "multi_stream", "offline", "burst")
_LEAST, _FEW = 3, 12
"""Points below which a time line is none, and below which each of them is marked."""


def page(report: Report) -> str:
    """A whole HTML document, with every plot that the report has data for."""
    scenarios, falls = report.get("scenarios", {}), report.get("waterfall", {})
    plots = [
        waterfall("A request alone: where its time goes", "ms", falls.get("alone_ms", {})),
        waterfall("CPU of a request at 16 connections", "ms", falls.get("cpu_ms", {})),
        _throughput(report),
        _by_rate(scenarios),
        _cdf(report),
        bars("Batches at saturation, by windows in a batch at most", "runs", _batches(scenarios)),
        *_timelines(report),
    ]
    shown, machine = tables(report), _machine(report)
    lines_of_head = head(report)
    return html(
        Page(
            "Benchmark",
            report["bundle"],
            [conclusion(report)],
            pictures=[Section("", [Picture(plot) for plot in plots if plot])],
            figures=[Section("", [part for table in [*shown, machine] for part in _parts(table)])],
            method=[f"bundle {lines_of_head[0]}", *lines_of_head[1:]],
            facts={
                "date": report["date"],
                "seed": report["seed"],
                "model": report["bundle_sha256"][:16],
                "onnxruntime": report["machine"]["onnxruntime"],
            },
            command=report["command"],
            warnings=[*(line for line in lines_of_head if "TOO MUCH" in line), *_busy(report["machine"])],
        )
    )


def _busy(machine: Report) -> Iterator[str]:
    """A word where others had the machine too."""
    load, cores = machine["load_average"], machine["cores"]
    if load and load[0] > _BUSY * cores:
        yield f"the machine was busy (load {load[0]:.1f} on {cores} cores): a quiet one answers more"


def _parts(table: Table) -> list[Part]:
    """A table of words as a part of the page; one without rows is its notes, under its title."""
    if len(table.rows) < 2:
        return [f"{table.title}: {note}" for note in table.notes]
    return [Figures(table.title, table.rows[0], table.rows[1:], table.notes)]


def _throughput(report: Report) -> str:
    """Of layers that classify, without the batch sizes that are slower than the best."""
    heights = {
        name: layer["clips_per_sec"]["median"]
        for name, layer in report["layers"].items()
        if name == report["best_session"] or not name.startswith(("session", NULL_MODEL))
    }
    return bars("Throughput of each layer", "clips/s", heights)


def _by_rate(scenarios: Report) -> str:
    rates = [run for run in scenarios.get("server", {}).get("rates", []) if run["latency_ms"]]
    drawn = [
        Line(key, [(run["offered_per_sec"], run["latency_ms"][key]["median"]) for run in rates], dots=True)
        for key in ("p50", "p99")
        if rates
    ]
    if search := scenarios.get("search"):
        probes = [(probe["rate_per_sec"], probe["p99_ms"]) for probe in search["probes"] if probe["p99_ms"]]
        far = max((rate for line in [*drawn, Line("", probes)] for rate, _ in line.points), default=0.0)
        limit = search["limit_ms"]
        drawn += [Line("p99, search", probes, dots=True), Line("limit", [(0.0, limit), (far, limit)], dashed=True)]
    return lines("Latency by rate", Axes("requests/s, Poisson", "ms", log=True), drawn)


def _cdf(report: Report) -> str:
    found = {name: run["cdf_ms"] for name, run in runs(report).items() if run["cdf_ms"]}
    chosen = [name for name in _CDF if name in found] + [name for name in found if name.startswith("server")][1:2]
    drawn = [Line(name, [(ms, percent) for percent, ms in enumerate(found[name])]) for name in chosen]
    return lines("Requests answered within a time", Axes("ms", "% of requests"), drawn)


def _batches(scenarios: Report) -> dict[str, float]:
    counts: dict[str, float] = scenarios.get("offline", {}).get("batch_sizes", {})
    used = [at for at, count in enumerate(counts.values()) if count]
    return dict([*counts.items()][: used[-1] + 1]) if used else {}


def _timelines(report: Report) -> list[str]:
    shown = {name: run for name, run in runs(report).items() if name in {"soak", "burst", "overload"}}
    drawn = []
    for name, run in shown.items():
        if len(slices := run["timeline"]) >= _LEAST:
            kinds = enumerate(("median", "highest"), 1)
            each = [Line(kind, [(row[0], row[at]) for row in slices], dots=len(slices) < _FEW) for at, kind in kinds]
            drawn.append(lines(f"Latency over time: {name}", Axes("s", "ms"), each))
    return drawn


def _machine(report: Report) -> Table:
    machine = dict(report["machine"])
    facts = {**machine.pop("packages"), **machine}
    if load := facts["load_average"]:
        facts["load_average"] = ", ".join(f"{each:.2f}" for each in load)
    rows = [("machine and versions", ""), *((name.replace("_", " "), str(value)) for name, value in facts.items())]
    return Table("Machine", rows)
