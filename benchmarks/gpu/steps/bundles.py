"""The bundles of the other steps, made by code, at once in as many processes as there are cores for."""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from benchmarks.gpu.child import in_words
from benchmarks.gpu.step import Bench, Figures

BASE = "base"
"""The bundle of a base-size wav2vec2."""
FAMILIES = (
    "FunctionalsClassifier",
    "Wav2Vec2CnnClassifier",
    "Wav2Vec2FnClassifier",
    "TransformerClassifier",
    "SpectrogramCnnClassifier",
)
"""The five families, those first whose export takes long."""


def bundles(bench: Bench) -> Figures:
    """Make every bundle that is not there, and say what kept one from being made."""
    folder = bench.folder / "bundles"
    folder.mkdir(exist_ok=True)
    missing = [name for name in (BASE, *FAMILIES) if not (folder / name / "manifest.json").exists()]
    cores = len(os.sched_getaffinity(0))
    # What imports torch and transformers once has no thread yet, and is copied for each bundle.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.gpu.models"])
    failed: dict[str, str] = {}
    with ProcessPoolExecutor(max(1, min(len(missing), cores)), mp_context=context) as pool:
        made = {pool.submit(_make, bench, name, max(1, cores // 4)): name for name in missing}
        for done in as_completed(made):
            error = done.exception()
            if error is not None:
                failed[made[done]] = in_words(error)
            yield made[done], done.result() if error is None else in_words(error)
    if failed:
        raise RuntimeError(f"not made: {', '.join(failed)} ({next(iter(failed.values()))})")


def _make(bench: Bench, name: str, threads: int) -> str:
    """Make a bundle in this process; how long it took, in words."""
    began = time.perf_counter()
    import torch

    from benchmarks.gpu.models import make_base, make_family

    torch.set_num_threads(threads)
    folder = bench.folder / "bundles"
    if name == BASE:
        make_base(folder, name, tiny=bench.dry)
    else:
        make_family(name, folder, tiny=bench.dry, samples=bench.samples)
    return f"made in {time.perf_counter() - began:.1f} s"
