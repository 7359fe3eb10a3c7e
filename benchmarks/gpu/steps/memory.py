"""Memory that does not suffice: what is said when a model loads or runs, and whether it goes on once there is some."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import emotions
from benchmarks.gpu import fake_cuda
from benchmarks.gpu.child import in_words
from benchmarks.gpu.sessions import voices
from benchmarks.gpu.step import Bench, Figures
from benchmarks.gpu.steps.bundles import BASE

_MB = 1 << 20
_LEFT = {"at load": 300, "in a batch": 600}
"""MB of the card that are left free."""


def memory(bench: Bench) -> Figures:
    """Load with most of the card taken, run a large batch with most of it taken, and run again when it is free.

    Raises:
        RuntimeError: the model does not answer as before once there is memory.
    """
    bundle = bench.bundle(BASE)
    with _full(bench, _LEFT["at load"]):
        yield f"load with {_LEFT['at load']} MB", _outcome(lambda: emotions.load(bundle, device="cuda", variant="fp16"))
    predictor = emotions.load(bundle, device="cuda", variant="fp16")
    run = predictor.session.run
    small, large = voices(1, bench.samples), voices(bench.batches[2] * 4, bench.samples)
    before = run(*small)
    with _full(bench, _LEFT["in a batch"]):
        yield f"{len(large[1])} windows with {_LEFT['in a batch']} MB", _outcome(lambda: run(*large))
        yield "one window after it", _outcome(lambda: run(*small))
    yield "large batch once it is free", _outcome(lambda: run(*large))
    after = run(*small)
    off = max(float(abs(after[target] - before[target]).max()) for target in before)
    yield "difference of an answer, before and after", off
    if not off < 1e-3:
        raise RuntimeError(f"an answer differs by {off:.1e} after the card was full")


def _outcome(run: Callable[[], object]) -> str:
    try:
        run()
    except Exception as error:  # noqa: BLE001 - how it fails is what is measured
        return in_words(error)
    return "it ran"


@contextlib.contextmanager
def _full(bench: Bench, left: int) -> Iterator[None]:
    """Take the card's memory but for ``left`` MB until the block ends."""
    if bench.dry:
        fake_cuda.full = True
        try:
            yield
        finally:
            fake_cuda.full = False
        return
    import torch

    torch.cuda.empty_cache()
    taken = torch.empty(max(0, torch.cuda.mem_get_info()[0] - left * _MB), dtype=torch.uint8, device="cuda")
    try:
        yield
    finally:
        del taken
        torch.cuda.empty_cache()
