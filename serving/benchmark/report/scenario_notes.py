"""What single scenarios of a report say beyond latency and throughput, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serving.benchmark.scenarios.profile import FULL_SOAK_SEC

Report = Mapping[str, Any]


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


def _short(soak: Report) -> str:
    """Says of a soak that it is a shortened one."""
    return "" if soak["seconds"] >= FULL_SOAK_SEC else f", shortened from {FULL_SOAK_SEC:g} s,"


def lines(scenarios: Report) -> Iterator[str]:
    """What single scenarios say beyond latency and throughput."""
    if over := scenarios.get("overload"):
        yield (
            f"overload: {over['goodput_of_peak']:.2f} of the peak of {over['peak_per_sec']:.1f}/s at 1.5 times it; "
            f"{over['shed']} requests shed, p95 within {over['shed_p95_ms']:.0f} ms in the server; {over['failed']} "
            f"neither answered nor shed; memory {over['memory_growth']:+.1%}"
        )
    if soak := scenarios.get("soak"):
        yield (
            f"soak: {soak['seconds']:g} s{_short(soak)} at half of the offline throughput, "
            f"{soak['failed'] + soak['shed']} lost or shed, p99 of the last quarter "
            f"{soak['p99_last_quarter_of_first']:.2f} of the first's, memory {soak['memory_growth']:+.1%}"
        )
    if bad := scenarios.get("bad_input"):
        yield (
            f"bad input: {bad['bad_refused']} of {bad['bad']} requests that hold no recording refused as the client's "
            f"mistake; {bad['good_lost']} of {bad['requests'] - bad['bad']} good ones beside them lost, their p99 "
            f"{bad['good_p99_ms']:.1f} ms"
        )
    if both := scenarios.get("loadgen"):
        yield f"LoadGen: not run: {both['not_run']}" if "not_run" in both else _agreement(both)
    if cold := scenarios.get("cold_start"):
        yield (
            f"cold start: ready after {cold['ready_sec']['median']:.2f} s, first answer in "
            f"{cold['first_ms']['median']:.1f} ms, then {cold['then_p50_ms']['median']:.1f} ms (p50)"
        )
