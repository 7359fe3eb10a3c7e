"""Every model family in every form: trained for a few epochs, exported, and raced; a Markdown table comes out."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Wav2Vec2Config

from emotions.bundle import Bundle, read_bundle
from emotions.files import read_json
from emotions.pipeline import Context
from emotions.runtime import Run, open_session
from export.benchmark.racing import race
from export.bundler import export_run
from export.forms import Wanted
from export.programs import open_pt2, open_torchscript
from export.report import REPORT
from export.signals import padded, synthetic_voices
from training.config import TrainStep
from training.data.demo import make_demo_corpus
from training.loop.fit import fit

BATCHES = (1, 8)
_WANTED = Wanted(("onnx", "torchscript", "pt2"), ("fp16", "int8"), allow_loss=True)
_SECONDS = 3.0
_ENCODER: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "conv_dim": [64] * 7,
}
_FN = {"conv_h_count": 1, "conv_w_count": 1, "layer_1_size": 64, "layer_2_size": 64}
_VIT = {"patch_transformer_size": 16, "layer_1_size": 128, "layer_2_size": 256, "transformer_depth": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "SpectrogramCnnClassifier": {"backbone": "efficientnet_b0"},
    "FunctionalsClassifier": {},
    "TransformerClassifier": _VIT,
    "Wav2Vec2FnClassifier": _FN,
    "Wav2Vec2CnnClassifier": {"backbone": "efficientnet_b0", "embedding": 2},
}
_HEAD = ["family", "form", "MB", "largest difference", "in a batch", "same label", "labels changed", "1", "8"]


def benchmark(data: Path | None, epochs: int, rounds: int, threads: int) -> Iterator[str]:
    """Train, export and race; yields the lines of a Markdown table as they come.

    Args:
        data: a dataset; by default a synthetic one.
        epochs: of training each.
        rounds: of each race.
        threads: CPU threads of every side.
    """
    torch.set_num_threads(threads)
    yield f"| {' | '.join(_HEAD)} |"
    yield f"| {' | '.join('---' for _ in _HEAD)} |"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if data is None:
            data = folder / "voices"
            make_demo_corpus(data, seed=0)
        (folder / "encoder.json").write_text(json.dumps(Wav2Vec2Config(**_ENCODER).to_dict()))
        for family in FAMILIES:
            yield from _rows(family, _exported(family, data, folder, epochs), rounds, threads)


def _exported(family: str, data: Path, folder: Path, epochs: int) -> Bundle:
    architecture = FAMILIES[family]
    if family.startswith("Wav2Vec2"):
        architecture = {**architecture, "encoder": f"random:{folder / 'encoder.json'}"}
    step = {
        "model": family,
        "model_architecture": architecture,
        "learn_params": {"padding_sec": _SECONDS, "spectrogram_size": 128, "max_epoch": epochs},
        "saving_data_params": {
            "saved_checkpoints_path": [str(folder / family)],
            "saved_checkpoints_filename": ["best"],
        },
        "dataset": {"path": str(data)},
        "accelerator": "cpu",
    }
    context = Context(folder, seed=0, workers=0, config={"seed": 0}, quiet=True)
    with contextlib.redirect_stdout(io.StringIO()):  # the table of training's own figures
        run = fit(TrainStep.model_validate(step), context)
    return read_bundle(export_run(run, folder / f"{family}.bundle", wanted=_WANTED))


def _rows(family: str, bundle: Bundle, rounds: int, threads: int) -> Iterator[str]:
    figures = read_json(bundle.path / REPORT)["variants"]
    rates = [_rates(bundle, size, rounds, threads) for size in BATCHES]
    for name, variant in bundle.manifest.variants.items():
        proof, gate = figures[name], figures[name].get("gate")
        cells = [
            family,
            name,
            f"{variant.bytes / 1e6:.1f}",
            f"{proof['max_abs_diff']:.1e}",
            f"{proof['batch_difference']:.1e}",
            f"{proof['agreement']:.1%}",
            "" if gate is None else f"{gate['differing']} of {gate['clips']}",
            *(f"{rate[name]:.1f}" for rate in rates),
        ]
        yield f"| {' | '.join(cells)} |"


def _rates(bundle: Bundle, size: int, rounds: int, threads: int) -> dict[str, float]:
    """Windows a second of each form, in batches of ``size``."""
    waveform, length = padded(synthetic_voices(size, bundle.manifest.window.samples, 0), bundle.manifest.window.samples)
    runs = {name: _opened(bundle, name, threads) for name in bundle.manifest.variants}

    def side(run: Run) -> Callable[[], object]:
        return lambda: run(waveform, np.asarray(length))

    sides: Mapping[str, Callable[[], object]] = {name: side(run) for name, run in runs.items()}
    return {name: size / seconds for name, seconds in race(sides, rounds).items()}


def _opened(bundle: Bundle, name: str, threads: int) -> Run:
    targets, file = list(bundle.manifest.targets), bundle.file(name)
    if file.suffix == ".onnx":
        return open_session(bundle, device="cpu", variant=name, threads=threads).run
    return (open_torchscript if file.suffix == ".ts" else open_pt2)(file, targets)
