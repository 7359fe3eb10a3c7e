"""Where a bundle comes from: a run folder, or a checkpoint alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio import decode
from emotions.bundle import Dataset
from emotions.errors import AudioError, CheckpointError, DataError
from emotions.files import read_json
from emotions.folder import find_files
from emotions.windows import FloatArray
from export.signals import MAX_WINDOWS, Signals, signals_of, synthetic_voices
from training.data.cache import WaveformCache
from training.layout import RUN_FILE
from training.loop.runs import Run, Trained, load_checkpoint, load_run

_MAX_SEC = 600.0
_SYNTHETIC_SEED = 1


@dataclass(frozen=True)
class Source:
    """A trained model with what is known of it.

    Attributes:
        trained: the model.
        name: what its bundle is called unless the user names it.
        metrics: ``protocol`` and the scores of each part; empty where only the checkpoint is there.
        dataset: what it was trained on, if that is known.
        run: the run folder's content, if it comes from one.
    """

    trained: Trained
    name: str
    metrics: dict[str, Any]
    dataset: Dataset | None
    run: Run | None


def load_source(path: Path) -> Source:
    """Load a run folder's best checkpoint, or a checkpoint.

    Raises:
        CheckpointError: there is none, it is damaged, or its model was never trained.
    """
    if path.is_dir():
        run = load_run(path)
        name = read_json(path / RUN_FILE).get("name") or _default_name(run.trained)
        metrics = {"protocol": run.protocol, **run.metrics}
        return Source(run.trained, name, metrics, Dataset.model_validate(run.dataset), run)
    if not path.exists():
        raise CheckpointError(f"{path}: no such run folder or checkpoint")
    trained = load_checkpoint(path)
    return Source(trained, _default_name(trained), {}, None, None)


def _default_name(trained: Trained) -> str:
    return f"{trained.spec.model}-{next(iter(trained.spec.targets))}".lower()


def proof_signals(source: Source, data: Path | None, seed: int) -> Signals:
    """What the export is proven on: the recordings named, else the run's own, else synthetic voices.

    Args:
        source: what is exported.
        data: a folder of recordings, or one recording.
        seed: which recordings are taken.

    Raises:
        DataError: the recordings are gone, or none can be used.
    """
    window = source.trained.spec.window_samples
    if data is not None:
        return signals_of(_recordings(data, seed), window, seed, "recordings that the user named")
    if source.run is not None:
        return signals_of(_held_out(source.run, seed), window, seed, "validation and test clips of the run")
    voices = synthetic_voices(MAX_WINDOWS, window, _SYNTHETIC_SEED)
    return signals_of(voices, window, seed, "synthetic signals, no recordings")


def _recordings(data: Path, seed: int) -> Iterator[FloatArray]:
    """The recordings below a path that can be used, in seeded order."""
    files = find_files([data]).files
    usable = 0
    for index in np.random.default_rng(seed).permutation(len(files)):
        try:
            waveform = decode(files[index].path, max_sec=_MAX_SEC)
        except AudioError:
            continue
        usable += 1
        yield waveform
    if not usable:
        raise DataError(f"{data}: holds no recording that can be used to prove the export on")


def _held_out(run: Run, seed: int) -> Iterable[FloatArray]:
    """The clips that the run did not learn from, in seeded order."""
    try:
        clips = [run.table.clips[index] for index in (*run.split.test, *run.split.val)]
    except DataError as error:
        raise DataError(f"the export is proven on the run's own clips, but {error}; name others with --data") from error
    cache = WaveformCache()
    return (cache.waveform(clips[index]) for index in np.random.default_rng(seed).permutation(len(clips)))
