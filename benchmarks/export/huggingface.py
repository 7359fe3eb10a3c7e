"""A base-size wav2vec2 classifier with random weights: what its conversion costs, and its bundle's clips a second."""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AudioClassificationPipeline,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.graph.onnx_files import write_onnx
from export.graph.to_onnx import to_onnx
from export.huggingface.source import Original, load_huggingface
from serving.benchmark.driver.interleaved import interleaved, seconds_of
from training.models.frontends.hub import quiet_transformers

_LABELS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
_MIB = 1 << 20
_STATUS = Path("/proc/self/status")


def benchmark(threads: int, rounds: int, seconds: float, clips: int, config: Any = None) -> Iterator[str]:
    """Convert a classifier and race it; yields the lines of the report as they come.

    Args:
        threads: CPU threads of each side.
        rounds: how often both sides take their turn.
        seconds: of the longest clip; the shortest has a third.
        clips: how many clips a round has.
        config: of the classifier; by default that of a base-size one.
    """
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, graph = Path(folder) / "checkpoint", Path(folder) / "model.onnx"
        make_classifier(checkpoint, config or Wav2Vec2Config())
        yield from _convert(checkpoint, graph)
        yield from _race(checkpoint, graph, threads, rounds, voice_clips(clips, seconds))


def make_classifier(folder: Path, config: Any, seed: int = 0) -> Path:
    """Write a wav2vec2 classifier with random weights, its head scaled so that its answers follow the clip.

    Args:
        folder: for the checkpoint.
        config: of the classifier; its labels are set.
        seed: of the weights.
    """
    torch.manual_seed(seed)
    config.id2label, config.label2id = dict(enumerate(_LABELS)), {label: i for i, label in enumerate(_LABELS)}
    model: Any = Wav2Vec2ForSequenceClassification(config)
    extractor: Any = Wav2Vec2FeatureExtractor
    spread(Original(model.eval(), extractor(), "emotion"), model.classifier, voice_clips(4, 1.0))
    with quiet_transformers():
        model.save_pretrained(folder)
    extractor().save_pretrained(folder)
    return folder


def spread(original: Original, head: Any, clips: Sequence[FloatArray]) -> None:
    """Scale and shift a head, the last linear layer of a classifier, so that clips get different answers.

    Random weights give every clip nearly the same logits, which would hide any fault.

    Args:
        original: the model, whose logits are measured.
        head: its last layer, which is changed.
        clips: waveforms at 16 kHz, (samples,) float32 each.
    """
    with torch.no_grad():
        logits = torch.cat([original.logits(clip) for clip in clips])
        scale = 0.7 / logits.std(dim=0).max()
        head.weight.mul_(scale)
        head.bias.copy_((head.bias - logits.mean(dim=0)) * scale)


def voice_clips(count: int, seconds: float) -> list[FloatArray]:
    """Voice-like clips at 16 kHz, (samples,) each, from a third of ``seconds`` to all of them.

    Args:
        count: how many clips.
        seconds: of the longest.
    """
    random, most = np.random.default_rng(0), round(seconds * 16_000)
    return [synthetic_speech(int(samples), random) for samples in np.linspace(most // 3, most, count)]


def _convert(checkpoint: Path, graph: Path) -> Iterator[str]:
    source = load_huggingface(str(checkpoint))
    size = sum(value.numel() * value.element_size() for value in source.classifier.state_dict().values())
    before, began = _resident(), time.perf_counter()
    write_onnx(
        graph,
        to_onnx(Deployable(source.classifier, list(source.targets)), source.window.samples, source.window.dynamic),
    )
    took, above = time.perf_counter() - began, max(0, _peak() - before)
    yield f"model {size / _MIB:.0f} MiB, conversion {took:.1f} s (at most 60)"
    yield f"peak memory above the loaded model {above / _MIB:.0f} MiB, {above / size:.2f} times its size (at most 4)"


def _resident() -> int:
    """Bytes that the process holds now, where the system tells."""
    if not _STATUS.exists():
        return _peak()
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _race(checkpoint: Path, graph: Path, threads: int, rounds: int, clips: Sequence[FloatArray]) -> Iterator[str]:
    session = onnx_session(graph, threads)
    pipeline = pipeline_of(checkpoint)

    def bundle() -> None:
        for clip in clips:
            session.run(None, {WAVEFORM: clip[None], LENGTH: np.array([len(clip)], np.int64)})

    def transformers() -> None:
        for clip in clips:
            pipeline(clip, top_k=None)

    sides = {"bundle": seconds_of(bundle), "transformers": seconds_of(transformers)}
    seconds = interleaved(sides, rounds)
    for side, taken in seconds.items():
        rate = len(clips) / statistics.median(taken)
        yield f"{side}: {rate:.2f} clips/s (median of {rounds} rounds of {len(clips)} clips)"
    ratios = [theirs / ours for ours, theirs in zip(*seconds.values(), strict=True)]
    yield f"ratio {statistics.median(ratios):.2f} (median; {min(ratios):.2f} to {max(ratios):.2f}; at least 1.15)"


def pipeline_of(checkpoint: Path) -> Any:
    """The transformers audio classification pipeline of a wav2vec2 checkpoint, on the CPU."""
    pipeline: Any = AudioClassificationPipeline
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(checkpoint)
    with quiet_transformers():
        model: Any = Wav2Vec2ForSequenceClassification.from_pretrained(checkpoint)
    return pipeline(model=model.eval(), feature_extractor=extractor, device=-1)
