"""A benchmark run: ``clips -> layers -> interleaved passes -> report.json and a table``."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from emotions.errors import OutputExists
from emotions.files import write_bytes, write_json
from emotions.pipeline.runner import console
from emotions.predictor import Predictor, load
from emotions.runtime.session import DeviceChoice
from serving.benchmark.driver.clips import MIX, Clip, make_clips, read_clips
from serving.benchmark.driver.passes import Layer, Pass
from serving.benchmark.layers.layers import batcher_layers, folder_layers, predictor_layer, session_layers
from serving.benchmark.layers.service_layers import SERVED, need_bentoml, served, service_settings
from serving.benchmark.report.html import PAGE, page
from serving.benchmark.report.report import FORMAT, REPORT, Report, figures, machine
from serving.benchmark.report.tables import text
from serving.benchmark.scenarios.profile import FULL, QUICK, BenchmarkProfile, Clock
from serving.benchmark.scenarios.runtimes import runtimes
from serving.config import OF_SERVICE, Scenario, resolved


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        bundle: the bundle.
        output: folder of the report.
        data: folder of recordings; None for synthetic ones.
        scenarios: layers beside the bare session, which is always measured.
        quick: fewer clips, shorter runs.
        device: where the model runs.
        threads: CPU threads of the model, in every layer; None for one a core.
        seed: of the synthetic recordings.
        quiet: no progress on stderr.
        seconds: of each run of a scenario; None for what suits the whole or a quick run.
        durations: of synthetic recordings: a mix of ``serving.benchmark.driver.clips.durations``.
        p99_limit_ms: latency that the search holds the service to.
        install_peers: make the environments of peers that lack one, from the package index.
    """

    bundle: Path
    output: Path
    data: Path | None
    scenarios: Sequence[Scenario]
    quick: bool = False
    device: DeviceChoice = "auto"
    threads: int | None = None
    seed: int = 0
    quiet: bool = False
    seconds: float | None = None
    durations: str = MIX
    p99_limit_ms: float = 100.0
    install_peers: bool = False

    @property
    def profile(self) -> BenchmarkProfile:
        """How much of everything is measured."""
        profile = QUICK if self.quick else FULL
        return replace(profile, seconds=self.seconds or profile.seconds, seed=self.seed)

    def say(self, what: str) -> None:
        """Tell the user what is being done."""
        if not self.quiet:
            console().print(what, highlight=False)


def benchmark_to_report(plan: Plan) -> Report:
    """Measure, write ``report.json`` and ``report.html``, and print the tables to stdout.

    Returns:
        What ``report.json`` holds.

    Raises:
        OutputExists: the output holds a report already.
        DataError: there is no recording to measure on.
        BundleError, DeviceError: the bundle cannot be used.
        EmotionsError: the service does not start or refuses a clip.
    """
    file = plan.output / REPORT
    if file.exists() or (plan.output.exists() and not plan.output.is_dir()):
        raise OutputExists(f"{file if file.exists() else plan.output}: is there already; name another output")
    predictor = load(plan.bundle, device=plan.device, threads=plan.threads)
    with tempfile.TemporaryDirectory(prefix="emotions-benchmark-") as scratch:
        report = _measured(plan, predictor, Path(scratch))
    write_json(file, report)
    write_bytes(plan.output / PAGE, page(report).encode())
    print(f"{text(report)}\n\n{file}: written, with {PAGE}")
    return report


def _measured(plan: Plan, predictor: Predictor, scratch: Path) -> Report:
    began, wanted, clock = time.perf_counter(), resolved(plan.scenarios), Clock(plan.say)
    with clock.part("recordings"):
        clips, left_out = _clips(plan, predictor, scratch)
    audio_sec = sum(clip.expected.duration_sec for clip in clips)
    told = {**_facts(plan, predictor), "clips": _described(plan, clips, left_out, audio_sec)}
    if {*wanted} - {"session", "folder", "backends"}:
        need_bentoml()
        with clock.part("the harness itself"):
            told["harness"] = _own_cost(plan.profile)
    with clock.part("layers"), _layers(wanted, predictor, clips, scratch) as layers:
        told |= figures(_interleaved(plan, layers), len(clips), audio_sec)
    if OF_SERVICE & {*wanted}:
        told["scenarios"] = _scenario_runner(plan, predictor, clips, scratch, wanted, clock)
    if "backends" in wanted:
        with clock.part("backends"):
            told["backends"] = runtimes(plan.bundle, predictor.session.threads, quick=plan.quick)
    if "peers" in wanted:
        told["peers"] = _peers(plan, predictor, clips, scratch, clock)
    return {**told, "seconds": time.perf_counter() - began, "parts_sec": clock.parts_sec}


def _facts(plan: Plan, predictor: Predictor) -> Report:
    """What was measured, where, and by which command."""
    session = predictor.session
    return {
        "format": FORMAT,
        "bundle": predictor.bundle.id,
        "bundle_sha256": predictor.manifest.variants[session.variant].sha256,
        "command": shlex.join(["emotions", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": plan.seed,
        "machine": machine(),
        "settings": {
            "device": session.device,
            "variant": session.variant,
            "threads": session.threads,
            "repeats": plan.profile.passes,
            "quick": plan.quick,
            "seconds": plan.profile.seconds,
        },
    }


def _described(plan: Plan, clips: Sequence[Clip], left_out: int, audio_sec: float) -> Report:
    return {
        "source": f"synthetic, {plan.durations} s" if plan.data is None else "recorded",
        "count": len(clips),
        "left_out": left_out,
        "audio_sec": audio_sec,
        "windows": sum(len(clip.windows) for clip in clips),
    }


def _clips(plan: Plan, predictor: Predictor, scratch: Path) -> tuple[list[Clip], int]:
    count = plan.profile.clips
    if plan.data is not None:
        return read_clips(predictor, plan.data, count)
    folder = scratch / "clips"
    folder.mkdir()
    make_clips(folder, count, plan.seed, plan.durations)
    return read_clips(predictor, folder, count)


@contextlib.contextmanager
def _layers(
    wanted: Sequence[Scenario], predictor: Predictor, clips: Sequence[Clip], scratch: Path
) -> Iterator[list[Layer]]:
    """The layers to measure; the services run until the block ends."""
    layers = session_layers(predictor, clips)
    if "waterfall" in wanted:
        layers += [predictor_layer(predictor, clips), *batcher_layers(predictor, clips)]
    if "folder" in wanted:
        layers += folder_layers(predictor, clips, scratch)
    with contextlib.ExitStack() as servers:
        for scenario, name, target in SERVED:
            if scenario in wanted:
                layers += servers.enter_context(served(name, target, predictor, clips, scratch))
        yield layers


def _scenario_runner(
    plan: Plan, predictor: Predictor, clips: Sequence[Clip], scratch: Path, wanted: Sequence[Scenario], clock: Clock
) -> Report:
    """The scenarios of a running service."""
    from serving.benchmark.scenarios.run_scenarios import ScenarioRunner

    settings = service_settings(predictor, clips)
    course = ScenarioRunner(clips, settings, plan.profile, scratch, clock, limit_ms=plan.p99_limit_ms)
    return dict(course.run(wanted))


def _peers(plan: Plan, predictor: Predictor, clips: Sequence[Clip], scratch: Path, clock: Clock) -> Report:
    """Other servers of the same model, each beside ours."""
    from serving.benchmark.peers.race import race

    settings, profile = service_settings(predictor, clips), plan.profile
    sent, repeats = clips[: profile.peer_clips], profile.peer_passes
    return race(settings, sent, scratch, repeats=repeats, install=plan.install_peers, clock=clock)


def _own_cost(profile: BenchmarkProfile) -> Report:
    from serving.benchmark.driver.self_check import own_cost

    return own_cost(profile.harness_sec)


def _interleaved(plan: Plan, layers: Sequence[Layer]) -> dict[str, list[Pass]]:
    """Warm every layer up, then take turns, each other repeat backwards: a machine that drifts drifts for all."""
    passes: dict[str, list[Pass]] = {layer.name: [] for layer in layers}
    for repeat in range(plan.profile.passes + 1):
        told = f"repeat {repeat} of {plan.profile.passes}" if repeat else "warming up"
        plan.say(f"{told}, {len(layers)} layers")
        for layer in layers if repeat % 2 else reversed(layers):
            measured = layer.run()
            if repeat:
                passes[layer.name].append(measured)
    return passes
