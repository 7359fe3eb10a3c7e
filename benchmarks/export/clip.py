"""What one clip costs: bundles, each in its variants for CPUs, and openSMILE's eGeMAPS where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

import emotions
from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import FloatArray
from emotions.bundle.bundle import read_bundle
from emotions.bundle.manifest import Variant
from serving.benchmark.driver.interleaved import race

_CLIPS = 5


def benchmark(bundles: Sequence[Path], seconds: float, rounds: int, threads: int) -> Iterator[str]:
    """Race bundles on clips of one length, one at a time; yields the lines of a Markdown table.

    Args:
        bundles: folders; each runs in every variant that is not made for GPUs.
        seconds: of each clip.
        rounds: how often all take their turn.
        threads: of each bundle; openSMILE takes one.
    """
    random = np.random.default_rng(0)
    clips = [synthetic_speech(round(seconds * SAMPLE_RATE), random) for _ in range(_CLIPS)]
    variants = {f"{path.name}, {name}": (path, name, variant) for path in bundles for name, variant in _variants(path)}
    sides = {title: partial(_answers, clips, path, name, threads) for title, (path, name, _) in variants.items()}
    taken = race({**{title: side() for title, side in sides.items()}, **_egemaps(clips)}, rounds)
    yield f"| model | ms a clip of {seconds:g} s | MB |"
    yield "| --- | --- | --- |"
    for title, spent in taken.items():
        size = f"{variants[title][2].bytes / 1e6:.1f}" if title in variants else ""
        yield f"| {title} | {spent / len(clips) * 1e3:.1f} | {size} |"


def _variants(bundle: Path) -> Iterator[tuple[str, Variant]]:
    for name, variant in read_bundle(bundle).manifest.variants.items():
        if variant.file.endswith(".onnx") and variant.device != "cuda":
            yield name, variant


def _answers(clips: Sequence[FloatArray], bundle: Path, variant: str, threads: int) -> Callable[[], object]:
    model = emotions.load(bundle, device="cpu", variant=variant, threads=threads)
    return lambda: [model.predict((clip, SAMPLE_RATE)) for clip in clips]


def _egemaps(clips: Sequence[FloatArray]) -> dict[str, Callable[[], object]]:
    """The features alone, of Eyben et al., 2016, by a library that is not among the project's packages."""
    try:
        opensmile = importlib.import_module("opensmile")
    except ImportError:
        return {}
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals, num_workers=1)
    return {"openSMILE, eGeMAPS": lambda: [smile.process_signal(clip, SAMPLE_RATE) for clip in clips]}
