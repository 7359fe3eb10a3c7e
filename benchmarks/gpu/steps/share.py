"""The base-size wav2vec2 at its best: its share of the matrix rate, and the transformers pipeline on the same card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from benchmarks.gpu.child import in_words
from benchmarks.gpu.sessions import PLAIN, open_bare, rates, timed, voices
from benchmarks.gpu.step import Bench, Figures, Skipped
from benchmarks.gpu.steps.bundles import BASE
from benchmarks.gpu.steps.families import VARIANTS
from emotions.bundle.bundle import read_bundle
from emotions.runtime.session import open_session

_TRIALS = {
    "plain": {},
    "prefer_nhwc=1, cudnn_conv1d_pad_to_nc1d=1": {"prefer_nhwc": "1", "cudnn_conv1d_pad_to_nc1d": "1"},
}
_MOST_OFF = 0.02
_PEOPLE, _BEST = "fp32, batch 1", "fp16, batched"


def share(bench: Bench) -> Figures:
    """FLOP a window, the matrix rate measured here, and the share of it that the model reaches in fp16."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Wav2Vec2ForSequenceClassification

    bench.bundle(BASE)
    model: Any = Wav2Vec2ForSequenceClassification.from_pretrained(bench.folder / "bundles" / "checkpoint")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, bench.samples))
    flop = counter.get_total_flops()
    yield "GFLOP a window", flop / 1e9
    matrix = _matrix_rate(bench)
    yield "matrix TFLOP/s, fp16", matrix / 1e12
    best = 0.0
    for name, changed in _TRIALS.items():
        try:
            session = open_bare(bench.bundle(BASE) / VARIANTS["fp16"], {**PLAIN, **changed})
            found = rates(session, bench.batches, bench.samples, bench.measured_sec)
        except Exception as error:  # noqa: BLE001 - told as the figure
            yield f"windows/s, {name}", in_words(error)
            continue
        speeds = {f"batch {size}": each["windows_per_sec"] for size, each in found.items()}
        best = max(best, *speeds.values())
        yield f"windows/s, {name}", speeds
    yield "best, windows/s", best
    yield "times real time", best * bench.window_sec
    yield "share of the matrix rate", best * flop / matrix


def _matrix_rate(bench: Bench) -> float:
    """FLOP/s of a large product in fp16, by torch."""
    import torch

    size = 128 if bench.dry else 8192
    left, right = (torch.randn(size, size, device=bench.torch_device, dtype=torch.float16) for _ in range(2))

    def product() -> None:
        torch.matmul(left, right)
        if not bench.dry:
            torch.cuda.synchronize()

    return 2 * size**3 / timed(product, bench.measured_sec)


def peers(bench: Bench) -> Figures:
    """Clips a second of the transformers pipeline in fp32 one by one and in fp16 batched, and of the toolkit.

    Both get the same clips in memory, each of the length of a window, and give the probabilities of every label.

    Raises:
        Skipped: transformers is not installed.
        RuntimeError: both do not give the same answers.
    """
    if find_spec("transformers") is None:
        raise Skipped("transformers is not installed; pip install 'emotions-toolkit[train]'")
    size = bench.batches[2]
    waveform, length = voices(size, bench.samples)
    toolkit = open_session(read_bundle(bench.bundle(BASE)), device="cuda", variant="fp16")
    ours = size / timed(lambda: toolkit.run(waveform, length), bench.measured_sec)
    yield "toolkit, fp16, batched", ours
    one = timed(lambda: toolkit.run(waveform[:1], length[:1]), bench.measured_sec)
    yield "toolkit, fp16, batch 1", 1 / one
    theirs = {}
    for name, (run, clips) in _pipelines(bench, waveform).items():
        theirs[name] = clips / timed(run, bench.measured_sec)
        yield f"transformers, {name}", theirs[name]
    yield "times as people run it", ours / theirs[_PEOPLE]
    yield "times its best", ours / max(rate for name, rate in theirs.items() if name != _PEOPLE)
    answers = toolkit.run(waveform[:4], length[:4])
    off = _difference(bench, [clip[:samples] for clip, samples in zip(waveform[:4], length, strict=False)], answers)
    yield "largest difference", off
    if not off < _MOST_OFF:
        raise RuntimeError(f"the toolkit's answers in fp16 differ from the pipeline's in fp32 by {off:.1e}")


def _pipelines(bench: Bench, waveform: Any) -> dict[str, tuple[Callable[[], object], int]]:
    """What runs the pipeline each way, and how many clips it classifies."""
    import torch

    clips = [*waveform]
    as_people = _pipeline(bench, torch.float32)
    half = _pipeline(bench, torch.float32 if bench.dry else torch.float16)
    sizes = bench.batches[1:]

    def batched(size: int) -> Callable[[], object]:
        return lambda: half(clips, top_k=None, batch_size=size)

    return {
        _PEOPLE: (lambda: as_people(clips[0], top_k=None), 1),
        **{f"{_BEST} by {size}": (batched(size), len(clips)) for size in sizes},
    }


def _pipeline(bench: Bench, kind: Any) -> Any:
    from transformers import AudioClassificationPipeline, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    checkpoint = bench.folder / "bundles" / "checkpoint"
    model: Any = Wav2Vec2ForSequenceClassification.from_pretrained(checkpoint, dtype=kind)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(checkpoint)
    make: Any = AudioClassificationPipeline
    return make(model=model.eval(), feature_extractor=extractor, device=bench.torch_device)


def _difference(bench: Bench, clips: Sequence[Any], answers: Mapping[str, Any]) -> float:
    """Largest difference of a probability to the pipeline's in fp32; clips without their padding."""
    import torch

    pipeline = _pipeline(bench, torch.float32)
    off = []
    for clip, scores in zip(clips, next(iter(answers.values())), strict=True):
        theirs = {each["label"]: each["score"] for each in pipeline(clip, top_k=None)}
        labels = [pipeline.model.config.id2label[index] for index in range(len(scores))]
        off.append(max(abs(float(score) - theirs[label]) for label, score in zip(labels, scores, strict=True)))
    return float(max(off))
