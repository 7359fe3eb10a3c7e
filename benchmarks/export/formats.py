"""Every model family in every form: trained for a few epochs, exported, and raced; a Markdown table comes out."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Wav2Vec2Config

from benchmarks.export.backends import opened
from emotions.bundle.bundle import Bundle, read_bundle
from emotions.errors import ConfigError
from emotions.files.json_text import read_json, write_json
from emotions.pipeline.runner import Context
from emotions.runtime.batch_shape import Run
from export.bundle.export import export_run
from export.bundle.report import REPORT
from export.bundle.variants import ExportOptions
from export.proof.signals import padded, synthetic_voices
from serving.benchmark.driver.interleaved import race
from training.config.train import TrainStep
from training.data.demo import make_demo_corpus
from training.loop.fit import fit

BATCHES = (1, 8)
REPORT_FILE = "report.json"
_WANTED = ExportOptions(("onnx", "torchscript", "pt2"), ("fp16", "int8"), allow_loss=True)
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
_HEAD = (
    "family", "form", "MB", "largest difference", "in a batch", "same label", "gate", "windows/s, batch 1", "batch 8"
)  # fmt: skip


def benchmark(
    data: Path | None, epochs: int, rounds: int, threads: int, families: Sequence[str] = (), output: Path | None = None
) -> Iterator[str]:
    """Train, export and race; yields the lines of a Markdown table as they come.

    Args:
        data: a dataset; by default a synthetic one.
        epochs: of training each.
        rounds: of each race.
        threads: CPU threads of every side.
        families: which of ``FAMILIES``; by default all.
        output: folder for bundles and ``report.json``. A family whose bundle is there already is only raced anew, and
            rows of families that were not asked for stay in the report. By default nothing is kept.

    Raises:
        ConfigError: there is no such family.
    """
    wanted = list(families) or list(FAMILIES)
    unknown = sorted(set(wanted) - set(FAMILIES))
    if unknown:
        raise ConfigError(f"--family: {unknown[0]!r} is none; allowed: {', '.join(FAMILIES)}")
    torch.set_num_threads(threads)
    yield f"| {' | '.join(_HEAD)} |"
    yield f"| {' | '.join('---' for _ in _HEAD)} |"
    with tempfile.TemporaryDirectory() as name:
        folder = output or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        made = {"epochs": epochs, "rounds": rounds, "threads": threads, "seconds": _SECONDS}
        for family in wanted:
            bundle = _exported(family, data or _demo(Path(name)), folder, epochs)
            rows = list(_rows(family, bundle, rounds, threads))
            _keep(folder / REPORT_FILE, made, rows)
            yield from (f"| {' | '.join(_cells(row))} |" for row in rows)


def _demo(folder: Path) -> Path:
    voices = folder / "voices"
    if not voices.exists():
        make_demo_corpus(voices, seed=0)
    return voices


def _keep(path: Path, made: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Put a family's rows in the report, in place of those that it had."""
    others = read_json(path)["rows"] if path.exists() else []
    kept = [row for row in others if row["family"] != rows[0]["family"]] + rows
    kept.sort(key=lambda row: list(FAMILIES).index(row["family"]))
    write_json(path, {**made, "rows": kept})


def _exported(family: str, data: Path, folder: Path, epochs: int) -> Bundle:
    bundle, architecture = folder / f"{family}.bundle", FAMILIES[family]
    if bundle.exists():
        return read_bundle(bundle)
    (folder / "encoder.json").write_text(json.dumps(Wav2Vec2Config(**_ENCODER).to_dict()))
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
    return read_bundle(export_run(run, bundle, wanted=_WANTED))


def _rows(family: str, bundle: Bundle, rounds: int, threads: int) -> Iterator[dict[str, Any]]:
    figures = read_json(bundle.path / REPORT)["variants"]
    rates = [_rates(bundle, size, rounds, threads) for size in BATCHES]
    for name, variant in bundle.manifest.variants.items():
        measured = ("max_abs_diff", "batch_difference", "agreement")
        yield {
            "family": family,
            "form": name,
            "bytes": variant.bytes,
            **{key: figures[name][key] for key in measured},
            "gate": figures[name].get("gate"),
            "windows_per_second": {str(size): rate[name] for size, rate in zip(BATCHES, rates, strict=True)},
        }


def _cells(row: dict[str, Any]) -> Iterator[str]:
    yield from (row["family"], row["form"], f"{row['bytes'] / 1e6:.1f}")
    yield from (f"{row['max_abs_diff']:.1e}", f"{row['batch_difference']:.1e}", f"{row['agreement']:.1%}")
    yield "" if row["gate"] is None else _verdict(row["gate"])
    yield from (f"{rate:.1f}" for rate in row["windows_per_second"].values())


def _verdict(gate: dict[str, Any]) -> str:
    """What the gate found, in words."""
    share, most = gate["differing_share"], gate["limits"]["differing_share"]
    lost = "".join(
        f", UAR of {target} {both['fp32']:.3f} to {both['variant']:.3f}" for target, both in gate["uar"].items()
    )
    labels = (
        f"{gate['differing']} of {gate['judged']} labels changed, {share[0]:.1%} to {share[1]:.1%} (at most {most:.0%})"
    )
    return f"{gate['verdict']}: {labels}{lost}"


def _rates(bundle: Bundle, size: int, rounds: int, threads: int) -> dict[str, float]:
    """Windows a second of each form, in batches of ``size``."""
    waveform, length = padded(synthetic_voices(size, bundle.manifest.window.samples, 0), bundle.manifest.window.samples)
    runs = {name: opened(bundle, name, threads) for name in bundle.manifest.variants}

    def side(run: Run) -> Callable[[], object]:
        return lambda: run(waveform, np.asarray(length))

    sides: Mapping[str, Callable[[], object]] = {name: side(run) for name, run in runs.items()}
    return {name: size / seconds for name, seconds in race(sides, rounds).items()}
