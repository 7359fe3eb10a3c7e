"""A benchmark run: ``clips -> layers -> interleaved passes -> report.json and a table``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from emotions.errors import OutputExists
from emotions.files.atomic import remove_left_over, scratch_folder, write_bytes
from emotions.files.from_here import from_here
from emotions.files.json_text import write_json
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.grid import check_energy
from emotions.pipeline.energy.meter import measuring
from emotions.pipeline.interruption import keeping
from emotions.pipeline.provenance import command_line
from emotions.pipeline.runner import console
from emotions.predictor import Predictor, load
from emotions.runtime.session import DeviceChoice
from serving.benchmark.driver.clips import MIX, Clip, make_clips, read_clips
from serving.benchmark.driver.interleaved import interleaved
from serving.benchmark.driver.passes import Layer
from serving.benchmark.layers.layers import layers_in_process
from serving.benchmark.layers.service_layers import SERVED, need_bentoml, served, service_settings
from serving.benchmark.report.energy import LayerEnergy
from serving.benchmark.report.html import PAGE, page
from serving.benchmark.report.prices import read_prices
from serving.benchmark.report.report import FORMAT, REPORT, Report, figures, machine
from serving.benchmark.report.tables import text
from serving.benchmark.scenarios.from_checkout import backends, peers
from serving.benchmark.scenarios.names import OF_SERVICE, Scenario, resolved
from serving.benchmark.scenarios.profile import FULL, QUICK, BenchmarkProfile, Clock

_NOTHING = "nothing is kept of a benchmark, which is measured in one run"


@dataclass(frozen=True)
class Plan:
    """What to measure: the options of ``emotions benchmark``, and the keys of ``serving.config.BenchmarkStep``.

    Attributes:
        data: folder of recordings; None for synthetic ones.
        scenarios: layers beside the bare session, which is always measured.
        threads: CPU threads of the model, in every layer; None for one a core.
        seconds: of each run of a scenario; None for what suits the whole or a quick run.
        prices: JSON file of what an hour of machines costs; None for none.
        energy: how to measure joules and CO2; None for not at all.
        durations: of synthetic recordings: a mix of ``serving.benchmark.driver.clips.durations``.
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
    prices: Path | None = None
    energy: EnergyConfig | None = None

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
    """Measure, write ``report.json``, which is returned, and ``report.html``, and print the tables to stdout.

    Raises:
        OutputExists: the output holds a report already.
        DataError: there is no recording to measure on.
        BundleError, DeviceError: the bundle cannot be used.
        EmotionsError: the service does not start or refuses a clip.
    """
    file = plan.output / REPORT
    if file.exists() or (plan.output.exists() and not plan.output.is_dir()):
        raise OutputExists(f"{file if file.exists() else plan.output}: is there already; name another output")
    prices = {} if plan.prices is None else {"prices": read_prices(plan.prices)}
    check_energy(plan.energy)
    predictor = load(plan.bundle, device=plan.device, threads=plan.threads)
    remove_left_over(plan.output)
    with keeping(lambda: _NOTHING), scratch_folder("emotions-benchmark") as scratch:
        report = {**_measured(plan, predictor, scratch), **prices}
        write_bytes(plan.output / PAGE, page(report).encode())
        write_json(file, report)  # last: a folder with it is complete
    print(f"{text(report)}\n\n{from_here(file)}: written, with {PAGE}")
    return report


def _measured(plan: Plan, predictor: Predictor, scratch: Path) -> Report:
    began, scenarios, clock = time.perf_counter(), resolved(plan.scenarios), Clock(plan.say)
    profile, session = plan.profile, predictor.session
    with clock.part("recordings"):
        folder = plan.data or scratch / "clips"
        if plan.data is None:
            folder.mkdir()
            make_clips(folder, profile.clips, plan.seed, plan.durations)
        clips, left_out = read_clips(predictor, folder, profile.clips)
    audio_sec = sum(clip.expected.duration_sec for clip in clips)
    report = _facts(plan, predictor)
    report["clips"] = {
        "source": f"synthetic, {plan.durations} s" if plan.data is None else "recorded",
        "count": len(clips),
        "left_out": left_out,
        "audio_sec": audio_sec,
        "windows": sum(len(clip.windows) for clip in clips),
    }
    if {*scenarios} - {"session", "folder", "backends"}:
        need_bentoml()
        from serving.benchmark.driver.self_check import own_cost  # imports what the extra serve installs

        with clock.part("the harness itself"):
            report["harness"] = own_cost(profile.harness_sec)
    with (
        clock.part("layers"),
        _layers(scenarios, predictor, clips, scratch) as layers,
        measuring(plan.energy) as meter,  # of the layers alone: its readings would lengthen latencies of scenarios
    ):
        spent = LayerEnergy(meter)
        passes = interleaved({layer.name: spent.metered(layer) for layer in layers}, profile.passes, say=plan.say)
    report |= {**figures(passes, len(clips), audio_sec), **spent.summary(profile.passes, audio_sec)}
    if OF_SERVICE & {*scenarios}:
        from serving.benchmark.scenarios.run_scenarios import ScenarioRunner  # as well

        service = service_settings(predictor, clips)
        runner = ScenarioRunner(clips, service, profile, scratch, clock, limit_ms=plan.p99_limit_ms)
        report["scenarios"] = runner.run(scenarios)
    if "backends" in scenarios:
        with clock.part("backends"):
            report["backends"] = backends(plan.bundle, session.threads, quick=plan.quick)
    if "peers" in scenarios:
        plan.say("peers")
        raced = peers(
            plan.bundle, folder, session.device, session.threads, quick=plan.quick, install=plan.install_peers
        )
        clock.add(raced.pop("parts_sec"))
        report["peers"] = raced
    return {**report, "seconds": time.perf_counter() - began, "parts_sec": clock.parts_sec}


def _facts(plan: Plan, predictor: Predictor) -> Report:
    """What was measured, where, and by which command."""
    session = predictor.session
    return {
        "format": FORMAT,
        "bundle": predictor.bundle.id,
        "bundle_sha256": predictor.manifest.variants[session.variant].sha256,
        "command": command_line(),
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


@contextlib.contextmanager
def _layers(
    scenarios: Sequence[Scenario], predictor: Predictor, clips: Sequence[Clip], scratch: Path
) -> Iterator[list[Layer]]:
    """The layers to measure; the services run until the block ends."""
    layers = layers_in_process(scenarios, predictor, clips, scratch)
    with contextlib.ExitStack() as servers:
        for scenario, name, target in SERVED:
            if scenario in scenarios:
                layers += servers.enter_context(served(name, target, predictor, clips, scratch))
        yield layers
