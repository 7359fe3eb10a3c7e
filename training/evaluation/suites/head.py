"""What every suite has: a bundle's answers to waveforms, and the head of its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import emotions
from emotions.audio.windows import FloatArray
from emotions.folder.predict_files import DEFAULT_MAX_BATCH
from emotions.pipeline.provenance import made_by
from emotions.predictor import Predictor
from emotions.runtime.batcher import Batcher
from emotions.runtime.prediction import Prediction
from training.config.evaluate import Suite
from training.data.clips import ClipTable

_TRAINED_ON = "a bundle on the dataset that it comes from, its training clips among them: the figures are too good"
_OTHER = "a bundle on a dataset that is not, as a whole, the one that it comes from"


def predictions(predictor: Predictor, waveforms: Iterable[FloatArray]) -> list[Prediction]:
    """The prediction for each waveform, with windows, batches and pooling as in the service.

    Args:
        predictor: the bundle.
        waveforms: (samples,) at 16 kHz, each.
    """
    window, size = predictor.manifest.window, DEFAULT_MAX_BATCH[predictor.session.device]
    least = 0 if window.dynamic else window.samples
    batcher = Batcher(predictor.session.run, max_batch=size, fill=True, least_samples=least)
    submitted = [(windows, batcher.submit(windows)) for windows in map(predictor.split, waveforms)]
    batcher.close()
    return [predictor.prediction(windows, future.result().probabilities) for windows, future in submitted]


def suite_head(
    predictor: Predictor, table: ClipTable, target: str, suite: Suite, limits: Mapping[str, float]
) -> dict[str, Any]:
    """The report but for its figures, as JSON.

    Args:
        predictor: the bundle.
        table: the clips that it is measured on.
        target: name of the target.
        suite: its name.
        limits: what tests are passed by.
    """
    manifest = predictor.manifest
    return {
        "format": 1,
        **made_by(emotions.__version__),
        "suite": suite,
        "bundle": predictor.bundle.id,
        "variant": predictor.session.variant,
        "model": str(manifest.model.get("model", manifest.name)),
        "target": target,
        "protocol": _TRAINED_ON if _trained_on(predictor, table) else _OTHER,
        "dataset": {
            "name": table.root.name,
            "fingerprint": table.fingerprint,
            "clips": len(table),
            "license": table.license,
        },
        "limits": dict(limits),
    }


def _trained_on(predictor: Predictor, table: ClipTable) -> bool:
    """Whether the bundle was trained on the dataset, perhaps without some of its targets."""
    manifest = predictor.manifest
    tables = (table, *([table.labelled_for(manifest.targets)] if table.targets else []))
    return manifest.dataset is not None and manifest.dataset.fingerprint in {each.fingerprint for each in tables}
