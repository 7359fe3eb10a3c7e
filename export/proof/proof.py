"""The proof: a graph answers as its model does, whatever else is in its batch and past a clip's end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import EMBEDDING, LENGTH, WAVEFORM
from emotions.bundle.targets import Range
from emotions.errors import ExportError
from emotions.runtime.batch_shape import Probabilities, Run
from emotions.runtime.cores import available_cores
from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.proof.signals import Signals

MAX_DIFFERENCE = 1e-4
"""Between a probability of the model and of the graph."""
MAX_BATCH_DIFFERENCE = 1e-5
"""Between a window alone and the same in a batch."""
MAX_PADDING_DIFFERENCE = 1e-6
"""Between zeros and noise past a window's end."""
SAME_VALUE = 0.05
"""Most that a value may differ by, in widths of its range, to count as the same answer."""
MIN_SPREAD = 10 * MAX_DIFFERENCE
"""How far a target's probabilities must reach over the recordings: a model that never moves proves nothing."""
BATCH_SIZES = (2, 7, 32)
MAX_EMBEDDING_DIFFERENCE = 1e-3
"""Between an embedding of the model and of the graph, as a share of the largest value."""
_EMBEDDED_ROWS = 7


class Answering(Protocol):
    """What a graph is compared with: a ``Deployable``, or anything else that answers one window at a time."""

    @property
    def targets(self) -> tuple[str, ...]:
        """In the order of its answers."""

    def __call__(self, waveform: torch.Tensor, length: torch.Tensor, /) -> tuple[torch.Tensor, ...]:
        """(1, W) float32 and (1,) int64 in; (1, classes) probabilities of each target out."""


@dataclass(frozen=True)
class Proof:
    """What was measured, and how large the first and third figure may be.

    Attributes:
        max_abs_diff: largest difference of a probability between model and graph, alone and in every batch; of values
            in widths of their range, as all that follows.
        agreement: share of windows where every target's label is the model's, alone and in every batch, and no value is
            further from it than ``SAME_VALUE``.
        batch_difference: largest difference of a probability between a window alone and in a batch.
        padding_difference: the same between zeros and noise past the window's end.
        spread: target -> how far apart the probabilities of the recordings' windows are.
    """

    max_abs_diff: float
    agreement: float
    batch_difference: float
    padding_difference: float
    spread: dict[str, float]
    tolerance: float = MAX_DIFFERENCE
    batch_tolerance: float = MAX_BATCH_DIFFERENCE

    def figures(self) -> dict[str, Any]:
        """The figures and their limits, as JSON."""
        limits = {
            "max_abs_diff": self.tolerance,
            "batch_difference": self.batch_tolerance,
            "padding_difference": MAX_PADDING_DIFFERENCE,
        }
        measured = {name: value for name, value in asdict(self).items() if "tolerance" not in name}
        return {**measured, "limits": limits, "batch_sizes": [1, *BATCH_SIZES]}


def prove(
    model: Answering,
    run: Run,
    signals: Signals,
    seed: int,
    *,
    tolerance: float = MAX_DIFFERENCE,
    batch_tolerance: float = MAX_BATCH_DIFFERENCE,
    whole: Signals | None = None,
    ranges: Mapping[str, Range] = MappingProxyType({}),
) -> Proof:
    """Compare a graph with its model.

    Args:
        model: the torch model.
        run: runs the graph.
        signals: the input of both.
        seed: order of the windows in batches, and the noise past their ends.
        tolerance: most that a probability may differ by from the model's.
        batch_tolerance: most that it may differ by between a window alone and in a batch.
        whole: a pair of longer windows that both receive too, alone and together.
        ranges: of the targets of dimensions.

    Raises:
        ExportError: they differ, an answer is no number or depends on its batch, or the signals show nothing.
    """
    proof = _measured(model, run, signals, seed, BATCH_SIZES, ranges)
    if whole is not None:
        proof = _worst(proof, _measured(model, run, whole, seed, (2,), ranges))
    proof = replace(proof, tolerance=tolerance, batch_tolerance=batch_tolerance)
    _check(proof)
    return proof


def prove_embedding(model: Deployable, path: Path, signals: Signals) -> dict[str, Any]:
    """Compare the embeddings of a graph, in a batch, with the model's of each window alone.

    Args:
        model: the torch model, with an embedding.
        path: its ONNX graph.
        signals: the input of both.

    Returns:
        ``dims``, ``max_relative_diff`` and its limit, as JSON; ExportError above the limit.
    """
    waveform, length = signals.waveform[:_EMBEDDED_ROWS], signals.length[:_EMBEDDED_ROWS]
    (found,) = onnx_session(path, available_cores()).run([EMBEDDING], {WAVEFORM: waveform, LENGTH: length})
    rows = zip(torch.from_numpy(waveform), torch.from_numpy(length), strict=True)
    with torch.inference_mode():
        expected = torch.cat([model(row[None], samples[None])[-1] for row, samples in rows]).numpy()
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    if not difference <= MAX_EMBEDDING_DIFFERENCE:
        raise ExportError(
            f"the exported embedding differs by {difference:.1e} of its size (at most {MAX_EMBEDDING_DIFFERENCE:g})"
        )
    return {"dims": model.dims, "max_relative_diff": difference, "limit": MAX_EMBEDDING_DIFFERENCE}


def in_widths(answers: Probabilities, ranges: Mapping[str, Range]) -> Probabilities:
    """Answers, values among them in widths of their range, so that one limit suits every scale.

    Args:
        answers: target -> (windows, classes).
        ranges: of the targets of dimensions.
    """
    widths = {target: high - low for target, (low, high) in ranges.items()}
    return {target: values / widths[target] if target in widths else values for target, values in answers.items()}


def _measured(
    model: Answering, run: Run, signals: Signals, seed: int, sizes: Sequence[int], ranges: Mapping[str, Range]
) -> Proof:
    expected = in_widths(_torch(model, signals), ranges)

    def answer(waveform: FloatArray, length: IntArray) -> Probabilities:
        return in_widths(run(waveform, length), ranges)

    alone = _in_batches(answer, signals.waveform, signals.length, np.arange(len(signals)), 1)
    _check_finite(expected, alone)
    random = np.random.default_rng(seed)
    orders = {size: random.permutation(len(signals)) for size in sizes}
    batched = [_in_batches(answer, signals.waveform, signals.length, order, size) for size, order in orders.items()]
    noisy = _in_batches(answer, signals.with_garbage(seed), signals.length, orders[sizes[0]], sizes[0])
    recorded = len(signals) - signals.special
    return Proof(
        max_abs_diff=max(_difference(expected, answers) for answers in (alone, *batched)),
        agreement=min(_agreement(expected, answers, ranges) for answers in (alone, *batched)),
        batch_difference=max(_difference(alone, answers) for answers in batched),
        padding_difference=_difference(batched[0], noisy),
        spread={target: float(np.ptp(values[:recorded], axis=0).max()) for target, values in expected.items()},
    )


def _worst(proof: Proof, other: Proof) -> Proof:
    """The first proof with the worse of both in every figure but the spread."""
    return replace(
        proof,
        max_abs_diff=max(proof.max_abs_diff, other.max_abs_diff),
        agreement=min(proof.agreement, other.agreement),
        batch_difference=max(proof.batch_difference, other.batch_difference),
        padding_difference=max(proof.padding_difference, other.padding_difference),
    )


def _torch(model: Answering, signals: Signals) -> Probabilities:
    """The model's answers, each window alone."""
    rows = zip(torch.from_numpy(signals.waveform), torch.from_numpy(signals.length), strict=True)
    with torch.inference_mode():
        answers = [model(waveform[None], length[None]) for waveform, length in rows]
    columns = zip(*answers, strict=True)
    return {target: torch.cat(column).numpy() for target, column in zip(model.targets, columns, strict=False)}


def _in_batches(run: Run, waveform: FloatArray, length: IntArray, order: IntArray, size: int) -> Probabilities:
    """Run windows in batches of ``size``, taken in ``order``; target -> (windows, classes), in their own order."""
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    answers = [run(waveform[rows], length[rows]) for rows in batches]
    back = np.argsort(order)
    return {target: np.concatenate([answer[target] for answer in answers])[back] for target in answers[0]}


def _check_finite(*answers: Probabilities) -> None:
    for who, probabilities in zip(("the model", "the exported graph"), answers, strict=True):
        for target, values in probabilities.items():
            bad = int((~np.isfinite(values)).any(axis=1).sum())
            if bad:
                raise ExportError(f"{who} answers NaN or infinity for {target} on {bad} of {len(values)} windows")


def _difference(one: Probabilities, other: Probabilities) -> float:
    """Largest difference; infinite where shapes or numbers do not compare."""
    if any(one[target].shape != other[target].shape for target in one):
        return float("inf")
    largest = max(float(np.abs(one[target] - other[target]).max(initial=0)) for target in one)
    return largest if np.isfinite(largest) else float("inf")


def _agreement(one: Probabilities, other: Probabilities, ranges: Mapping[str, Range]) -> float:
    same = [agrees(one[target], other[target], values=target in ranges) for target in one]
    return float(np.all(same, axis=0).mean())


def agrees(one: FloatArray, other: FloatArray, *, values: bool) -> npt.NDArray[np.bool_]:
    """Whether two answers say the same: the same label, or values no further apart than ``SAME_VALUE``; (windows,).

    Args:
        one: (windows, classes) probabilities, or values in widths of their range.
        other: the same of another form of the model.
        values: which of them.
    """
    if values:
        return np.asarray(np.abs(one - other).max(axis=1) <= SAME_VALUE)
    return np.asarray(one.argmax(axis=1) == other.argmax(axis=1))


def _check(proof: Proof) -> None:
    measured = (
        ("probabilities differ by", proof.max_abs_diff, proof.tolerance),
        ("a batch changes them by", proof.batch_difference, proof.batch_tolerance),
        ("what lies past a clip's end changes them by", proof.padding_difference, MAX_PADDING_DIFFERENCE),
    )
    labels = f"labels agree on {proof.agreement:.1%}"
    faults = [f"{what} {value:.1e} (at most {most:.0e}; {labels})" for what, value, most in measured if value > most]
    if faults:
        raise ExportError(f"the exported graph does not answer as the model does: {'; '.join(faults)}")
    still = [f"{target} ({spread:.1e})" for target, spread in proof.spread.items() if spread < MIN_SPREAD]
    if still:
        raise ExportError(
            f"the proof says nothing: the model gives every recording the same probabilities of {', '.join(still)}; "
            "train it longer, or name other recordings with --data"
        )
