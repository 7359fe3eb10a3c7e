"""A report as tables of words: what the terminal shows, and what the page shows above its plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotions.errors import plain
from serving.benchmark.report.energy import energy_notes, energy_rows
from serving.benchmark.report.prices import price_rows
from serving.benchmark.report.stream_notes import stream_notes
from serving.benchmark.scenarios.profile import FULL_SOAK_SEC

Report = Mapping[str, Any]
Row = tuple[str, ...]
_QUANTILES = ("p50", "p90", "p99", "p99.9", "max")


@dataclass(frozen=True)
class Table:
    """A table: its title, its rows with the head first, and lines below it."""

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()


def tables(report: Report) -> list[Table]:
    """Every table of a report that has something to show."""
    parts = report.get("parts_sec", {}).items()
    made = [
        _layers(report),
        Table("Price of an hour of audio, were a machine as fast as this one, and always busy", price_rows(report)),
        Table("Energy of an hour of audio", energy_rows(report), energy_notes(report)),
        _scenarios(report),
        _waterfall(report),
        _search(report),
        _backends(report),
        _peers(report),
        Table("Notes", [], [*scenario_notes(report.get("scenarios", {}))]),
        Table("Seconds", [("this run's own time", "seconds"), *((name, f"{sec:.1f}") for name, sec in parts)]),
    ]
    return [table for table in made if len(table.rows) > 1 or table.notes]


def head(report: Report) -> list[str]:
    """What was measured, on what, and how."""
    machine, clips, settings = report["machine"], report["clips"], report["settings"]
    lines = [
        f"{plain(report['bundle'])}, {settings['variant']} on {settings['device']}, {settings['threads']} threads; "
        f"{machine['cpu']}, {machine['cores']} cores; onnxruntime {machine['onnxruntime']}",
        f"{clips['count']} clips ({clips['source']}), {clips['audio_sec']:.1f} s, {clips['windows']} windows; "
        f"layers: medians of {settings['repeats']} interleaved repeats; {report['seconds']:.0f} s in all",
    ]
    if harness := report.get("harness"):
        verdict = "" if harness["within_limits"] else ": TOO MUCH, do not trust latencies from this machine"
        lines.append(
            f"the client itself at {harness['rate_per_sec']:g} requests/s: {harness['client_cores']:.1%} of a core, "
            f"p99 of slip {harness['slip_p99_ms']:.2f} ms; a delay of {harness['delay_ms']:g} ms measured as "
            f"{harness['measured_p50_ms']:.1f} ms{verdict}"
        )
    return lines


def text(report: Report) -> str:
    """The report for a terminal."""
    parts = ["\n".join(head(report))]
    for table in tables(report):
        rows = aligned(table.rows) if len(table.rows) > 1 else ""
        parts.append("\n".join(part for part in (table.title, rows, *table.notes) if part))
    return "\n\n".join(parts)


def aligned(rows: Sequence[Row]) -> str:
    """Rows with their columns below each other, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if at == 0 else f"{cell:>{width}}" for at, (cell, width) in enumerate(cells)
        ).rstrip()
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    )


def _layers(report: Report) -> Table:
    best = report["best_session"]
    ratios = {name.partition(" / ")[0]: value for name, value in report["ratios"].items() if name.endswith(best)}
    rows: list[Row] = [
        ("layer", "clips/s", "min", "max", "x real time", "CPU ms/clip", "p50 ms", "p99 ms", "of best session")
    ]
    for name, layer in report["layers"].items():
        latency = layer.get("latency_ms", {})
        rows.append(
            (
                name + (" *" if name == best else ""),
                *(f"{layer['clips_per_sec'][key]:.1f}" for key in ("median", "min", "max")),
                f"{layer['audio_sec_per_sec']['median']:.1f}",
                f"{layer.get('server_cpu_ms_per_clip', layer['cpu_ms_per_clip'])['median']:.2f}",
                *(f"{latency[key]:.1f}" if latency else "" for key in ("p50", "p99")),
                _ranged(ratios[name]) if name in ratios else "",
            )
        )
    notes = ["* best batch size: what the ratios are to, pass by pass"]
    for name, value in report["cpu_ms_over_session"].items():
        client = report["layers"][name]["cpu_ms_per_clip"]["median"]
        alone = report["cpu_ms_over_session_batch_1"][name]
        over = f"{value:.2f} ms of CPU a request over the session, {alone:.2f} over that of batch size 1"
        notes.append(f"{name}: {over}; the client took {client:.2f} ms")
    return Table("Layers", rows, notes)


def _ranged(value: Report) -> str:
    return f"{value['median']:.2f} ({value['min']:.2f} to {value['max']:.2f})"


def runs(report: Report) -> dict[str, Report]:
    """Scenarios that drove the service, each rate of the server scenario by itself, by what they are called."""
    found: dict[str, Report] = {}
    for name, each in report.get("scenarios", {}).items():
        if name == "server":
            found |= {f"server {rate['offered_per_sec']:.1f}/s": rate for rate in each["rates"]}
        elif "clips_per_sec" in each:
            found[name] = each
    return found


def _scenarios(report: Report) -> Table:
    rows: list[Row] = [
        ("scenario", "offered/s", "clips/s", "lost or shed", *(f"{key} ms" for key in _QUANTILES), "server CPU ms",
         "client cores", "slip p99 ms")
    ]  # fmt: skip
    for name, run in runs(report).items():
        offered, latency = run["offered_per_sec"], run["latency_ms"]
        rows.append(
            (
                name + (" VOID" if run["void"] else ""),
                "" if offered is None else f"{offered:.1f}",
                f"{run['clips_per_sec']['median']:.1f}",
                f"{run['error_share']['median']:.2%}",
                *(f"{latency[key]['median']:.1f}" if latency else "" for key in _QUANTILES),
                f"{run['server_cpu_ms']['median']:.2f}",
                f"{run['client_cores']['median']:.3f}",
                f"{run['slip_p99_ms']['median']:.2f}",
            )
        )
    void = any(run["void"] for run in runs(report).values())
    note = "VOID: in some repeat the client missed its schedule by more than 5 ms (p99), so that the load was another"
    return Table("Scenarios (medians of the repeats)", rows, [note] if void else [])


def _waterfall(report: Report) -> Table:
    rows: list[Row] = [("where a millisecond goes", "ms", "share")]
    names = {"alone_ms": "a request alone", "cpu_ms": "CPU at 16 connections"}
    for key, parts in report.get("waterfall", {}).items():
        total = sum(parts.values())
        rows.append((names[key], f"{total:.2f}", "100 %"))
        rows += [(f"  {owner}", f"{value:.2f}", f"{value / total:.0%}") for owner, value in parts.items()]
    return Table("Waterfall", rows)


def _search(report: Report) -> Table:
    found = report.get("scenarios", {}).get("search")
    rows: list[Row] = [("rate/s", "p99 ms", "lost or shed", "void repeats", "")]
    if found is None:
        return Table("Search", rows)
    for probe in found["probes"]:
        p99 = "none" if probe["p99_ms"] is None else f"{probe['p99_ms']:.1f}"
        verdict = "sustained" if probe["passed"] else "too much"
        rows.append((f"{probe['rate_per_sec']:.1f}", p99, f"{probe['error_share']:.2%}", str(probe["void"]), verdict))
    low, high = found["interval"]
    note = (
        f"highest rate with p99 <= {found['limit_ms']:g} ms and errors < 0.1 %: {found['rate_per_sec']:.1f}/s, "
        f"interval of 95 % {low:.1f} to {high:.1f} ({found['repeats']} repeats a rate)"
    )
    return Table("Search", rows, [note])


def _backends(report: Report) -> Table:
    def row(each: Report) -> Row:
        speeds = (f"{each['windows_per_sec'][key]:.1f}" for key in ("median", "min", "max"))
        return (each["name"], str(each["batch"]), *speeds, f"{each['max_abs_diff']:.1e}", f"{each['agreement']:.0%}")

    head = ("runtime", "batch", "windows/s", "min", "max", "largest difference", "same label")
    measured = report.get("backends", {"rows": [], "not_run": {}})
    return _contest("Runtimes", head, [row(each) for each in measured["rows"]], measured["not_run"])


def _peers(report: Report) -> Table:
    def row(name: str, each: Report) -> Row:
        return (
            name,
            f"{each['clips_per_sec']['median']:.1f}",
            f"{each['ours_clips_per_sec']['median']:.1f}",
            _ranged(each["ours_to_theirs"]),
            *(f"{each['latency_ms'][key]:.1f}" for key in ("p50", "p99")),
            f"{each['server_cpu_ms']['median']:.2f}",
            f"{each['max_abs_diff']:.1e}",
        )

    head = ("peer", "clips/s", "ours beside it", "ours to theirs", "p50 ms", "p99 ms", "server CPU ms",
            "largest difference")  # fmt: skip
    measured = report.get("peers", {"rows": {}, "not_run": {}})
    rows = [row(name, each) for name, each in measured["rows"].items()]
    return _contest("Peers, 16 connections", head, rows, measured["not_run"])


def _contest(title: str, head: Row, rows: Sequence[Row], not_run: Mapping[str, str]) -> Table:
    """Those that ran, and below them why the others did not."""
    return Table(title, [head, *rows], [f"{name}: not run: {why}" for name, why in not_run.items()])


def scenario_notes(scenarios: Report) -> Iterator[str]:
    """What single scenarios say beyond latency and throughput."""
    if over := scenarios.get("overload"):
        yield (
            f"overload: {over['goodput_of_peak']:.2f} of the peak of {over['peak_per_sec']:.1f}/s at 1.5 times it; "
            f"{over['shed']} requests shed, p95 within {over['shed_p95_ms']:.0f} ms in the server; {over['failed']} "
            f"neither answered nor shed; memory {over['memory_growth']:+.1%}"
        )
    if soak := scenarios.get("soak"):
        shortened = "" if soak["seconds"] >= FULL_SOAK_SEC else f", shortened from {FULL_SOAK_SEC:g} s,"
        yield (
            f"soak: {soak['seconds']:g} s{shortened} at half of the offline throughput, "
            f"{soak['failed'] + soak['shed']} lost or shed, p99 of the last quarter "
            f"{soak['p99_last_quarter_of_first']:.2f} of the first's, memory {soak['memory_growth']:+.1%}"
        )
    if bad := scenarios.get("bad_input"):
        yield (
            f"bad input: {bad['bad_refused']} of {bad['bad']} requests that hold no recording refused as the client's "
            f"mistake; {bad['good_lost']} of {bad['requests'] - bad['bad']} good ones beside them lost, their p99 "
            f"{bad['good_p99_ms']:.1f} ms"
        )
    if live := scenarios.get("stream"):
        yield from stream_notes(live)
    if both := scenarios.get("loadgen"):
        yield f"LoadGen: not run: {both['not_run']}" if "not_run" in both else _agreement(both)
    if cold := scenarios.get("cold_start"):
        yield (
            f"cold start: ready after {cold['ready_sec']['median']:.2f} s, first answer in "
            f"{cold['first_ms']['median']:.1f} ms, then {cold['then_p50_ms']['median']:.1f} ms (p50)"
        )


def _agreement(both: Report) -> str:
    ratios_of_all = (
        f"{kind} ({each['ours']['requests']} requests) "
        + ", ".join(f"{name} {ratio:.3f} ({each['ours_to_ours'][name]:.3f})" for name, ratio in ratios.items())
        for kind, each in both["scenarios"].items()
        for ratios in [each["ours_to_loadgen"]]
    )
    return (
        f"LoadGen: our figures to those that it measured (to our own, measured twice), server at "
        f"{both['offered_per_sec']:.1f}/s: {'; '.join(ratios_of_all)}"
    )
