"""The report as one HTML file that needs nothing else: its tables, and plots drawn from its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from serving.benchmark.layers.layers import NULL_MODEL
from serving.benchmark.report.svg_plots import Axes, Line, bars, columns, lines, waterfall
from serving.benchmark.report.tables import Row, Table, head, runs, tables

PAGE = "report.html"

Report = Mapping[str, Any]
_CDF = ("single_stream", "multi_stream", "offline", "burst")
_LEAST, _FEW = 3, 12
"""Points below which a time line is none, and below which each of them is marked."""
_STYLE = """
:root { --ink: #1c2024; --soft: #60646c; --line: #d9d9e0; --paper: #fff; --card: #fcfcfd;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #b58900; --c5: #56b4e9; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --soft: #b0b4ba; --line: #363a3f; --paper: #111113;
  --card: #18191b; --c0: #4ea8de; --c1: #f08c4a; --c2: #3fbf94; --c3: #e3a0c4; --c4: #d4b13f; --c5: #8fd0f5; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 1340px; padding: 24px; }
h1 { font-size: 24px; margin: 0 0 8px; } h2 { font-size: 18px; margin: 32px 0 8px; }
p { margin: 4px 0; color: var(--soft); } code { font-size: 13px; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px; text-align: right; border-bottom: 1px solid var(--line); white-space: pre; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 16px;
  margin-top: 16px; }
figure { margin: 0; padding: 12px; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font: 11.5px system-ui, sans-serif; }
svg .title { fill: var(--ink); font-size: 13.5px; font-weight: 600; }
.axis { stroke: var(--soft); fill: none; } .grid { stroke: var(--line); fill: none; }
.line { fill: none; stroke-width: 2; } .dashed { stroke-dasharray: 5 4; }
""" + "".join(f".c{at} {{ stroke: var(--c{at}); }} .f{at} {{ fill: var(--c{at}); }}\n" for at in range(6))


def page(report: Report) -> str:
    """A whole HTML document."""
    title = f"Benchmark of {escape(str(report['bundle']))}"
    about = [*head(report), f"{report['date']}, seed {report['seed']}, model {report['bundle_sha256'][:16]}"]
    drawn = "".join(f"<figure>{plot}</figure>" for plot in plots(report) if plot)
    body = [f"<h1>{title}</h1>", *(f"<p>{escape(line)}</p>" for line in about)]
    body.append(f"<p><code>{escape(report['command'])}</code></p>")
    body.append(f'<div class="plots">{drawn}</div>')
    body += [_table(table) for table in tables(report)]
    body.append(_table(_machine(report)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def plots(report: Report) -> list[str]:
    """Every plot that the report has data for."""
    scenarios = report.get("scenarios", {})
    falls = report.get("waterfall", {})
    return [
        waterfall("A request alone: where its time goes", "ms", falls.get("alone_ms", {})),
        waterfall("CPU of a request at 16 connections", "ms", falls.get("cpu_ms", {})),
        _throughput(report),
        _by_rate(scenarios),
        _cdf(report),
        columns("Batches at saturation", Axes("windows in a batch, at most", "runs of the model"), _batches(scenarios)),
        *_timelines(report),
    ]


def _throughput(report: Report) -> str:
    layers = report["layers"].items()
    heights = {name: layer["clips_per_sec"]["median"] for name, layer in layers if _told(report, name)}
    return bars("Throughput of each layer", "clips/s", heights)


def _told(report: Report, name: str) -> bool:
    """Whether a layer classifies, and is none of the batch sizes that are slower than the best."""
    return name == report["best_session"] or not name.startswith(("session", NULL_MODEL))


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
    return [_timeline(name, run["timeline"]) for name, run in shown.items() if len(run["timeline"]) >= _LEAST]


def _timeline(name: str, slices: Sequence[Sequence[float]]) -> str:
    few = len(slices) < _FEW
    middle, highest = ([(each[0], each[at]) for each in slices] for at in (1, 2))
    return lines(
        f"Latency over time: {name}",
        Axes("s", "ms"),
        [Line("median", middle, dots=few), Line("highest", highest, dots=few)],
    )


def _machine(report: Report) -> Table:
    machine = dict(report["machine"])
    facts = {**machine.pop("packages"), **machine}
    rows: list[Row] = [("machine and versions", "")]
    return Table("Machine", [*rows, *((name.replace("_", " "), _said(value)) for name, value in facts.items())])


def _said(value: Any) -> str:
    return ", ".join(f"{each:.2f}" for each in value) if isinstance(value, list) else str(value)


def _table(table: Table) -> str:
    cells = [[f"<td>{escape(cell)}</td>" for cell in row] for row in table.rows[1:]]
    top = "".join(f"<th>{escape(cell)}</th>" for cell in table.rows[0]) if table.rows else ""
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    shown = f'<div class="wide"><table><tr>{top}</tr>{rows}</table></div>' if cells else ""
    return f"<h2>{escape(table.title)}</h2>{shown}" + "".join(f"<p>{escape(note)}</p>" for note in table.notes)
