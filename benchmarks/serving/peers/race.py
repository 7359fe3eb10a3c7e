"""Our service and each peer in turn: the same model, bytes, cores and client, one pass of each after the other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.serving.peers.registry import PEERS, Peer
from emotions.errors import EmotionsError, first_line
from emotions.files.atomic import scratch_folder
from emotions.predictor import load
from emotions.runtime.session import DeviceChoice
from serving.benchmark.driver.clips import Clip, read_clips
from serving.benchmark.driver.interleaved import interleaved
from serving.benchmark.driver.passes import Layer, Pass
from serving.benchmark.driver.server_process import Server, running, started
from serving.benchmark.driver.statistics import spread
from serving.benchmark.driver.target import OURS, driven, layer
from serving.benchmark.layers.layers import CONNECTIONS
from serving.benchmark.layers.service_layers import service_settings
from serving.benchmark.scenarios.profile import BenchmarkProfile, Clock

_PIPELINE = "transformers pipeline"
_PIPELINE_WHY = "it runs checkpoints, not ONNX files; python -m benchmarks.export hf races it against the bundle of one"


def measure(
    bundle: Path, data: Path, device: DeviceChoice, threads: int | None, *, profile: BenchmarkProfile, install: bool
) -> dict[str, Any]:
    """Race every peer that can run, on the recordings of a folder.

    Args:
        bundle: the bundle.
        data: folder of recordings.
        device: where the model runs.
        threads: CPU threads of the model; None for one a core.
        profile: how many recordings, and how often.
        install: make environments that are not there.

    Returns:
        ``rows``: peer -> figures, ``not_run``: peer -> reason, and ``parts_sec``: part -> seconds.
    """
    clock = Clock(lambda part: print(part, file=sys.stderr))
    predictor = load(bundle, device=device, threads=threads)
    clips, _ = read_clips(predictor, data, profile.peer_clips)
    settings = service_settings(predictor, clips)
    with scratch_folder("emotions-benchmark") as scratch:
        raced = race(settings, clips, scratch, repeats=profile.peer_passes, install=install, clock=clock)
    return {**raced, "parts_sec": clock.parts_sec}


def race(
    settings: Mapping[str, str],
    clips: Sequence[Clip],
    scratch: Path,
    *,
    repeats: int,
    install: bool,
    clock: Clock,
) -> dict[str, Any]:
    """Race every peer that can run.

    Args:
        settings: of our service, by variable.
        clips: recordings to send.
        scratch: folder for logs.
        repeats: passes of each side, after one that warms up.
        install: make environments that are not there.
        clock: times each peer.

    Returns:
        ``rows``: peer -> figures; ``not_run``: peer -> reason.
    """
    rows: dict[str, Any] = {}
    not_run: dict[str, str] = {}
    with ExitStack() as beside:
        with clock.part("start of the service"):
            server = beside.enter_context(running(settings, scratch / "beside.log"))
            ours = layer(beside.enter_context(driven(server, OURS, clips)), "ours", CONNECTIONS[-1], len(clips))
        for peer in PEERS:
            try:
                with clock.part(peer.name):
                    rows[peer.name] = _raced(peer, ours, server, settings, clips, scratch, repeats, install)
            except EmotionsError as error:
                not_run[peer.name] = first_line(error)
    return {"rows": rows, "not_run": {**not_run, _PIPELINE: _PIPELINE_WHY}}


def _raced(
    peer: Peer,
    ours: Layer,
    our_server: Server,
    settings: Mapping[str, str],
    clips: Sequence[Clip],
    scratch: Path,
    repeats: int,
    install: bool,
) -> dict[str, Any]:
    log = scratch / f"{peer.module}.log"
    server = started(peer.command(install=install), peer.settings(settings, scratch), log, peer.ready)
    with server as running_peer, driven(running_peer, peer.api, clips) as target:
        theirs = layer(target, peer.name, CONNECTIONS[-1], len(clips))
        sides = {"ours": lambda: _beside(running_peer, ours), "theirs": lambda: _beside(our_server, theirs)}
        passes = interleaved(sides, repeats)
    return _figures(passes["ours"], passes["theirs"], len(clips))


def _beside(other: Server, layer: Layer) -> Pass:
    """One pass, while the other service is paused: some poll even when nothing is asked."""
    parent = psutil.Process(other.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        return layer.run()
    finally:
        for process in reversed(processes):
            process.resume()


def _figures(ours: Sequence[Pass], theirs: Sequence[Pass], clips: int) -> dict[str, Any]:
    latencies = [1000 * latency for each in theirs for latency in each.latencies_sec]
    return {
        "clips_per_sec": spread([clips / each.wall_sec for each in theirs]),
        "ours_clips_per_sec": spread([clips / each.wall_sec for each in ours]),
        "ours_to_theirs": spread([b.wall_sec / a.wall_sec for a, b in zip(ours, theirs, strict=True)]),
        "latency_ms": dict(zip(("p50", "p99"), np.percentile(latencies, [50, 99]).tolist(), strict=True)),
        "server_cpu_ms": spread([1000 * each.server_cpu_sec / clips for each in theirs]),
        "max_abs_diff": max(each.max_abs_diff for each in theirs),
    }
