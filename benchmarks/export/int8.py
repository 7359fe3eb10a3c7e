"""A base-size wav2vec2 classifier with random weights: what int8 saves and how much faster it is than fp32."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from transformers import Wav2Vec2Config

from benchmarks.export.huggingface import make_classifier, voice_clips
from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.graph.int8 import to_int8
from export.graph.onnx_files import write_onnx
from export.graph.to_onnx import to_onnx
from export.huggingface.source import load_huggingface
from export.proof.signals import padded
from serving.benchmark.driver.interleaved import race

_CLIPS = 8
_MIB = 1 << 20


def benchmark(threads: int, rounds: int, seconds: float, config: Any = None) -> Iterator[str]:
    """Quantise and race; yields the lines of the report as they come.

    Args:
        threads: CPU threads of each side.
        rounds: how often both sides take their turn.
        seconds: of the longest clip.
        config: of the classifier; by default that of a base-size one.
    """
    clips = voice_clips(_CLIPS, seconds)
    waveform, length = padded(clips, round(seconds * 16_000))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = load_huggingface(str(make_classifier(folder / "checkpoint", config or Wav2Vec2Config())))
        model = Deployable(source.classifier, list(source.targets))
        graph = to_onnx(model, source.window.samples, source.window.dynamic)
        fixed = {constant for constant, _ in model.named_buffers()}
        inputs: dict[str, Any] = {WAVEFORM: waveform, LENGTH: length}
        paths = {"fp32": folder / "model.onnx", "int8": folder / "model.int8.onnx"}
        write_onnx(paths["fp32"], graph)
        write_onnx(paths["int8"], to_int8(graph, inputs, fixed, source.window.dynamic))
        yield ", ".join(f"{side} {path.stat().st_size / _MIB:.0f} MiB" for side, path in paths.items())
        taken = race({side: _side(path, clips, threads) for side, path in paths.items()}, rounds)
    for side, spent in taken.items():
        yield f"{side}: {_CLIPS / spent:.2f} clips/s (median of {rounds} rounds of {_CLIPS} clips, {threads} threads)"
    yield f"ratio {taken['fp32'] / taken['int8']:.2f} (at least 1.5)"


def _side(path: Path, clips: list[FloatArray], threads: int) -> Callable[[], object]:
    session = onnx_session(path, threads)
    rows = [{WAVEFORM: clip[None], LENGTH: np.array([len(clip)], np.int64)} for clip in clips]
    return lambda: [session.run(None, row) for row in rows]
