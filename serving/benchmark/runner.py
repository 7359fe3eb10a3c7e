"""A benchmark run: ``clips -> layers -> interleaved passes -> report.json and a table``."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from emotions.errors import MissingExtra, OutputExists
from emotions.files import write_json
from emotions.pipeline import console
from emotions.predictor import Predictor, load
from emotions.runtime import DeviceChoice
from serving.benchmark.clips import Clip, make_clips, read_clips
from serving.benchmark.layers import Layer, Pass, folder_layers, session_layers
from serving.benchmark.report import FORMAT, REPORT, Report, figures, machine, table
from serving.config import Scenario

_CLIPS, _QUICK_CLIPS = 256, 24
_REPEATS = 5


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        bundle: the bundle.
        output: folder of the report.
        data: folder of recordings; None for synthetic ones.
        scenarios: layers beside the bare session, which is always measured.
        quick: fewer clips.
        device: where the model runs.
        threads: CPU threads of the model, in every layer; None for one a core.
        seed: of the synthetic recordings.
        quiet: no progress on stderr.
        seconds: of each part of the pressure scenario.
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
    seconds: float = 60.0


def benchmark_to_report(plan: Plan) -> Report:
    """Measure, write ``report.json`` and print the table to stdout.

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
    print(f"{table(report)}\n\n{file}: written")
    return report


def _measured(plan: Plan, predictor: Predictor, scratch: Path) -> Report:
    clips, left_out = _clips(plan, predictor, scratch)
    before = machine()
    with _layers(plan, predictor, clips, scratch) as layers:
        passes = _interleaved(plan, layers)
    pressed = {"pressure": _pressed(plan, predictor, clips, scratch)} if "pressure" in plan.scenarios else {}
    audio_sec = sum(clip.expected.duration_sec for clip in clips)
    session = predictor.session
    return {
        "format": FORMAT,
        "bundle": predictor.bundle.id,
        "command": shlex.join(["emotions", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": plan.seed,
        "machine": before,
        "settings": {
            "device": session.device,
            "variant": session.variant,
            "threads": session.threads,
            "repeats": _REPEATS,
            "quick": plan.quick,
        },
        "clips": {
            "source": "synthetic" if plan.data is None else "recorded",
            "count": len(clips),
            "left_out": left_out,
            "audio_sec": audio_sec,
            "windows": sum(len(clip.windows) for clip in clips),
        },
        **figures(passes, len(clips), audio_sec),
        **pressed,
    }


def _clips(plan: Plan, predictor: Predictor, scratch: Path) -> tuple[list[Clip], int]:
    count = _QUICK_CLIPS if plan.quick else _CLIPS
    if plan.data is not None:
        return read_clips(predictor, plan.data, count)
    folder = scratch / "clips"
    folder.mkdir()
    make_clips(folder, count, plan.seed)
    return read_clips(predictor, folder, count)


@contextlib.contextmanager
def _layers(plan: Plan, predictor: Predictor, clips: Sequence[Clip], scratch: Path) -> Iterator[list[Layer]]:
    """The layers to measure; the service runs until the block ends."""
    layers = session_layers(predictor, clips)
    if "folder" in plan.scenarios:
        layers += folder_layers(predictor, clips, scratch)
    with contextlib.ExitStack() as servers:
        if "service" in plan.scenarios:
            layers += servers.enter_context(_service(predictor, clips, scratch))
        if "peer" in plan.scenarios:
            layers.append(servers.enter_context(_peer(predictor, clips, scratch)))
        yield layers


@contextlib.contextmanager
def _service(predictor: Predictor, clips: Sequence[Clip], scratch: Path) -> Iterator[list[Layer]]:
    """The layers of the service, with the same model, device and threads."""
    _need_bentoml()
    from serving.benchmark.load import service_layers
    from serving.benchmark.server import running

    with running(_settings(predictor, clips), scratch / "service.log") as server:
        yield service_layers(server, clips)


@contextlib.contextmanager
def _peer(predictor: Predictor, clips: Sequence[Clip], scratch: Path) -> Iterator[Layer]:
    """The layer of BentoML's own batcher, with the same model, device and threads."""
    _need_bentoml()
    from serving.benchmark.load import PEER_TARGET, peer_layer
    from serving.benchmark.server import running

    with running(_settings(predictor, clips), scratch / "peer.log", PEER_TARGET) as server:
        yield peer_layer(server, clips)


def _pressed(plan: Plan, predictor: Predictor, clips: Sequence[Clip], scratch: Path) -> Report:
    """The service at its peak, beyond it, and at half of it."""
    _need_bentoml()
    from serving.benchmark.pressure import IN_FLIGHT, under_pressure
    from serving.benchmark.server import running

    settings = {**_settings(predictor, clips), "EMOTIONS_MAX_IN_FLIGHT": str(IN_FLIGHT)}
    with running(settings, scratch / "pressure.log") as server:
        return under_pressure(server, clips, plan.seconds)


def _need_bentoml() -> None:
    for name in ("bentoml", "psutil"):
        if find_spec(name) is None:
            raise MissingExtra("serve", name)


def _settings(predictor: Predictor, clips: Sequence[Clip]) -> dict[str, str]:
    return {
        "EMOTIONS_BUNDLE": str(predictor.bundle.path.absolute()),
        "EMOTIONS_DEVICE": predictor.session.device,
        "EMOTIONS_THREADS": str(predictor.session.threads),
        "EMOTIONS_MAX_BYTES": str(max(len(clip.content) for clip in clips) + (1 << 20)),
    }


def _interleaved(plan: Plan, layers: Sequence[Layer]) -> dict[str, list[Pass]]:
    """Warm every layer up, then take turns, each other repeat backwards: a machine that drifts drifts for all."""
    passes: dict[str, list[Pass]] = {layer.name: [] for layer in layers}
    for repeat in range(_REPEATS + 1):
        if not plan.quiet:
            told = f"repeat {repeat} of {_REPEATS}" if repeat else "warming up"
            console().print(f"{told}, {len(layers)} layers", highlight=False)
        for layer in layers if repeat % 2 else reversed(layers):
            measured = layer.run()
            if repeat:
                passes[layer.name].append(measured)
    return passes
