"""The proof of a graph's embedding: it is the model's own, alone and in a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotions.bundle.manifest import EMBEDDING, LENGTH, WAVEFORM
from emotions.errors import ExportError
from emotions.runtime.session import available_cores, onnx_session
from export.graph.deployable import Deployable
from export.proof.signals import Signals

MAX_RELATIVE = 1e-3
"""Largest difference, as a share of the largest value that the embeddings hold."""
_ROWS = 7


def prove_embedding(model: Deployable, path: Path, signals: Signals) -> dict[str, Any]:
    """Compare the embeddings of a graph, in a batch, with the model's of each window alone.

    Returns:
        ``dims``, ``max_relative_diff`` and its limit, as JSON.

    Raises:
        ExportError: they differ, or are no numbers.
    """
    waveform, length = signals.waveform[:_ROWS], signals.length[:_ROWS]
    (found,) = onnx_session(path, available_cores()).run([EMBEDDING], {WAVEFORM: waveform, LENGTH: length})
    rows = zip(torch.from_numpy(waveform), torch.from_numpy(length), strict=True)
    with torch.inference_mode():
        expected = torch.cat([model(row[None], samples[None])[-1] for row, samples in rows]).numpy()
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-12))
    if not difference <= MAX_RELATIVE:
        raise ExportError(f"the exported embedding differs by {difference:.1e} of its size (at most {MAX_RELATIVE:g})")
    return {"dims": model.dims, "max_relative_diff": difference, "limit": MAX_RELATIVE}
