"""The report of a proof: ``report.json``, and the lines that the command prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxscript
import torch

from emotions.audio.decode import SAMPLE_RATE
from emotions.files.from_here import from_here
from emotions.files.json_text import read_json
from export.bundle.variants import FP32, Artifacts
from export.proof.gate import UNCLEAR
from export.proof.signals import Signals

REPORT = "report.json"
_PACKAGES = (torch, onnx, onnxscript, onnxruntime, np)


def report(artifacts: Artifacts, signals: Signals, seed: int) -> dict[str, Any]:
    """All figures of the proofs as JSON, without a name of a recording.

    Args:
        artifacts: the artifacts with their proofs.
        signals: what they were proven on.
        seed: which recordings, in which order.
    """
    return {
        "variants": {name: artifact.figures() for name, artifact in artifacts.kept.items()},
        "refused": {name: verdict.figures() for name, verdict in artifacts.refused.items()},
        "signals": facts(signals),
        "seed": seed,
        "versions": {package.__name__: str(package.__version__) for package in _PACKAGES},
    }


def facts(signals: Signals) -> dict[str, Any]:
    """What a proof was made on: how many, how long, where from."""
    seconds = signals.length[: len(signals) - signals.special] / SAMPLE_RATE
    return {
        "source": signals.source,
        "clips": signals.clips,
        "windows": len(seconds),
        "special": signals.special,
        "seconds": {"min": float(seconds.min()), "median": float(np.median(seconds)), "max": float(seconds.max())},
    }


def summary(bundle: Path) -> str:
    """A bundle's proof in words, and its path."""
    content = read_json(bundle / REPORT)
    figures, signals = content["variants"][FP32], content["signals"]
    limits, seconds = figures["limits"], signals["seconds"]
    batches = ", ".join(map(str, figures["batch_sizes"]))
    lines = [
        f"proof on {signals['windows']} windows of {seconds['min']:.2f} to {seconds['max']:.2f} s "
        f"({signals['source']}) and {signals['special']} special signals, in batches of {batches}:",
        *(
            f"  {what}: {figures[name]:.1e} (at most {limits[name]:.0e})"
            for name, what in (
                ("max_abs_diff", "torch against ONNX Runtime"),
                ("batch_difference", "alone against in a batch"),
                ("padding_difference", "zeros against noise past the end"),
            )
        ),
        f"  same label: {figures['agreement']:.1%}",
        *_others(content),
        f"bundle: {from_here(bundle)}",
    ]
    return "\n".join(lines)


def _others(content: Mapping[str, Any]) -> Iterator[str]:
    """A line for each other artifact, those that were refused last."""
    for name, figures in content["variants"].items():
        if name != FP32:
            yield (
                f"  {name}: differs by {figures['max_abs_diff']:.1e}, in a batch by {figures['batch_difference']:.1e}, "
                f"same label: {figures['agreement']:.1%}{_judged(figures.get('gate'))}"
            )
            if "form" in figures:
                yield f"    {figures['form']}"
    for name, gate in content.get("refused", {}).items():
        verdict = "left out, too few clips to tell" if gate.get("verdict") == UNCLEAR else "REFUSED"
        yield f"  {name}: {verdict}{_judged(gate)}; --allow-loss keeps it"


def _judged(gate: Mapping[str, Any] | None) -> str:
    if gate is None:
        return ""
    limits, share, change = gate["limits"], gate["differing_share"], gate["change"]
    uar = [
        f", UAR of {target} {both['fp32']:.3f} to {both['variant']:.3f} (at most {limits['uar_loss']} lower)"
        for target, both in gate["uar"].items()
    ]
    differing = (
        f"; labels differ on {gate['differing']} of {gate['judged']} clips, {share[0]:.1%} to {share[1]:.1%} (at most "
        f"{limits['differing_share']:.0%}), probabilities by {change[0]:.3f} to {change[1]:.3f} (at most "
        f"{limits['change']})"
    )
    added = gate["judged"] - gate["clips"]
    more = f" and {added} altered or synthetic ones" if added else ""
    return differing + "".join(uar) + f", {gate['source']}{more}"
