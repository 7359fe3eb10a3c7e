"""Shapes that change between runs: what they cost the bare session, and what is left of that in the toolkit's."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.gpu.sessions import PLAIN, open_bare, voices
from benchmarks.gpu.step import Bench, Figures
from benchmarks.gpu.steps.bundles import BASE
from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.bundle import read_bundle
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.session import open_session

_ROUNDS = 20
Batch = tuple[FloatArray, IntArray]
Call = Callable[[FloatArray, IntArray], object]


def shapes(bench: Bench) -> Figures:
    """Milliseconds a batch: one shape again and again, two in turn, and sizes and lengths that were not seen before."""
    bundle = read_bundle(bench.bundle(BASE))
    bare = open_bare(bundle.file("fp16"), PLAIN)
    toolkit = open_session(bundle, device="cuda", variant="fp16")
    calls: dict[str, Call] = {
        "bare session": lambda waveform, length: bare.run(None, {WAVEFORM: waveform, LENGTH: length}),
        "toolkit": toolkit.run,
    }
    orders = _orders(bench)
    for name, call in calls.items():
        yield name, {order: _ms(call, batches) for order, batches in orders.items()}


def _orders(bench: Bench) -> dict[str, list[Batch]]:
    size, most = bench.batches[1], bench.batches[2]
    whole, short = voices(size, bench.samples), voices(size, bench.samples // 2, 1)
    sizes = np.random.default_rng(0).permutation(np.arange(1, most + 1))[:_ROUNDS]
    lengths = np.linspace(bench.samples // 3, bench.samples, min(_ROUNDS, 2 * most)).astype(int)
    return {
        "one shape": [whole] * _ROUNDS,
        "two lengths in turn": [*itertools.islice(itertools.cycle([whole, short]), _ROUNDS)],
        "new sizes": [voices(int(each), bench.samples) for each in sizes],
        "new lengths": [voices(size, int(each), 2) for each in lengths],
    }


def _ms(call: Call, batches: Sequence[Batch]) -> dict[str, float]:
    """Mean of the first pass, in which shapes are new, and of the second."""
    means = []
    for _ in range(2):
        began = time.perf_counter()
        for waveform, length in batches:
            call(waveform, length)
        means.append(1000 * (time.perf_counter() - began) / len(batches))
    return {"first": means[0], "again": means[1]}
