"""Two batches at once, and batches that are replayed as CUDA graphs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from benchmarks.gpu.child import in_words
from benchmarks.gpu.sessions import PLAIN, on_device, open_bare, timed, voices
from benchmarks.gpu.step import Bench, Figures
from benchmarks.gpu.steps.bundles import BASE
from benchmarks.gpu.steps.families import VARIANTS
from emotions.bundle.bundle import read_bundle
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.cuda_graphs import SWITCH
from emotions.runtime.session import open_session


def streams(bench: Bench) -> Figures:
    """Windows a second from one thread and from two: of one session, of two, and of the toolkit's, copies included."""
    bundle = read_bundle(bench.bundle(BASE))
    sessions = [open_bare(bundle.file("fp16"), PLAIN) for _ in range(2)]
    toolkit = open_session(bundle, device="cuda", variant="fp16", streams=2)
    for size in bench.batches:
        waveform, length = voices(size, bench.samples)

        def of(session: Any, batch: Any = (waveform, length)) -> Callable[[], object]:
            return lambda: session.run(None, {WAVEFORM: batch[0], LENGTH: batch[1]})

        def served(batch: Any = (waveform, length)) -> object:
            return toolkit.run(*batch)

        first, second = (of(each) for each in sessions)
        yield (
            f"windows/s, batch {size}",
            {
                "one thread": _rate([first], size, bench.measured_sec),
                "two threads, one session": _rate([first, first], size, bench.measured_sec),
                "two threads, two sessions": _rate([first, second], size, bench.measured_sec),
                "toolkit, one thread": _rate([served], size, bench.measured_sec),
                "toolkit, two threads": _rate([served, served], size, bench.measured_sec),
            },
        )


def _rate(calls: list[Callable[[], object]], size: int, seconds: float) -> float:
    """Windows a second of as many threads as there are calls."""
    for call in calls:
        call()
    began = time.perf_counter()

    def worker(call: Callable[[], object]) -> int:
        done = 0
        while done == 0 or time.perf_counter() - began < seconds:
            call()
            done += 1
        return done

    with ThreadPoolExecutor(len(calls)) as pool:
        done = sum(pool.map(worker, calls))
    return done * size / (time.perf_counter() - began)


def graphs(bench: Bench) -> Figures:
    """Milliseconds of a batch with and without a CUDA graph; where none can be captured, why. Then the toolkit's own.

    Raises:
        RuntimeError: no batch ran, not even without a graph.
    """
    ran = 0
    found: dict[str, Any] = {}
    for variant, file in VARIANTS.items():
        for size in bench.batches:
            found = {}
            for name, changed in {"plain": {}, "graph": {"enable_cuda_graph": "1"}}.items():
                try:
                    session = open_bare(bench.bundle(BASE) / file, {**PLAIN, **changed})
                    found[name] = 1000 * timed(on_device(session, *voices(size, bench.samples)), bench.measured_sec)
                except Exception as error:  # noqa: BLE001 - told as the figure
                    found[name] = in_words(error)
            ran += any(isinstance(each, float) for each in found.values())
            yield f"{variant}, ms, batch {size}", found
    if not ran:
        raise RuntimeError(f"no batch ran ({found['plain']})")
    yield from _of_toolkit(bench)


def _of_toolkit(bench: Bench) -> Figures:
    """Milliseconds of a batch of windows of one size, copies included."""
    bundle = read_bundle(bench.bundle("Wav2Vec2FnClassifier"))
    sessions: dict[str, Any] = {}
    for name, switch in {"plain": "off", "graph": "on"}.items():
        os.environ[SWITCH] = switch
        try:
            sessions[name] = open_session(bundle, device="cuda", variant="fp16")
        except Exception as error:  # noqa: BLE001 - told as the figure
            yield f"toolkit, {name}", in_words(error)
    for size in bench.batches:
        batch = voices(size, bundle.manifest.window.samples)
        ms = {name: 1000 * timed(partial(each.run, *batch), bench.measured_sec) for name, each in sessions.items()}
        yield f"toolkit, fp16, ms, batch {size}", ms
