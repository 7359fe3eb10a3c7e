"""Where a bundle comes from: a run folder, or a checkpoint alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto
from torch import nn

from emotions.audio.decode import ReadOptions, checked
from emotions.audio.decoders.read import read
from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import FloatArray, Pooling
from emotions.bundle.manifest import Dataset, Window
from emotions.bundle.targets import Range
from emotions.errors import AudioError, CheckpointError, DataError
from emotions.files.json_text import read_json
from emotions.inputs.discovery import find_files
from export.proof.proof import MAX_DIFFERENCE, Answering
from export.proof.signals import MAX_WINDOWS, Signals, padded, signals_of, synthetic_voices
from training.config.architectures import RANDOM
from training.config.train import ModelSpec
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.teacher.teacher import EXTRA as TEACHER
from training.run_folder.layout import RUN_FILE, TRAINING_FILE
from training.run_folder.read import Run, Trained, last_state, load_checkpoint, load_run, refuse_running
from training.run_folder.resume import progress_of

UNFINISHED = "unfinished"
"""Key in the manifest's ``extra`` of a model whose training was stopped: its epochs, of how many."""
HUGGINGFACE = "huggingface"
"""``extra.source`` in the manifest of a classifier that was trained elsewhere."""
_LOG = logging.getLogger(__name__)
_MAX_SEC = 600.0
_SYNTHETIC_SEED = 1  # neither the probe's (0) nor the gate's (2): each has other voices


@dataclass(frozen=True)
class ProofPlan:
    """How a model is proven.

    Attributes:
        window: samples of the windows that it receives; of recordings ``windows`` at most.
        whole: a window of full length and a shorter one are given as well, alone and together.
        tolerance: most that a probability may differ by from the model's.
        probes: how many signals the probe holds.
    """

    window: int
    windows: int = MAX_WINDOWS
    whole: bool = False
    tolerance: float = MAX_DIFFERENCE
    probes: int = 6


@dataclass(frozen=True)
class Source:
    """A trained model with what is known of it.

    Attributes:
        classifier: ``waveform (batch, samples), length (batch,) -> {target: logits}``, in evaluation mode.
        targets: the labels, or dimensions, of each target, in the order of its logits.
        ranges: of the targets of dimensions.
        clipped: whether values are kept in their range, which models of others may leave.
        description: how it is built, as JSON for the manifest; ``model`` is its name.
        name: what its bundle is called unless the user names it.
        plan: how its export is proven.
        metrics: ``protocol`` and the scores of each part; empty where only the checkpoint is there.
        run: the run folder's content, if it comes from one.
        original: what it is proven against where that is another than itself; answers one window at a time.
        encoder: what it was pre-trained as, and the licence, if that is known.
        extra: what else the manifest says.
        calibration: target -> temperature and what it is worth.
        pooling: how windows become a clip; that of the run whose figures are quoted.
        graph: its ONNX graph, where that is what it is made of.
    """

    classifier: nn.Module
    targets: dict[str, list[str]]
    window: Window
    description: dict[str, Any]
    name: str
    plan: ProofPlan
    metrics: dict[str, Any] = field(default_factory=dict)
    dataset: Dataset | None = None
    run: Run | None = None
    original: Answering | None = None
    encoder: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, dict[str, Any]] = field(default_factory=dict)
    pooling: Pooling = "coverage"
    ranges: dict[str, Range] = field(default_factory=dict)
    clipped: bool = True
    graph: ModelProto | None = None

    @property
    def labels(self) -> dict[str, list[str]]:
        """The labels of each target that has labels."""
        return {target: names for target, names in self.targets.items() if target not in self.ranges}


def load_source(path: Path) -> Source:
    """Load a run folder's best checkpoint, or a checkpoint. Raises as ``export_run``."""
    if path.is_dir() or (path.is_file() and (path.parent / TRAINING_FILE).is_file()):
        progress = progress_of(path if path.is_dir() else path.parent)
        if progress is not None:
            return _unfinished(path, progress)
    if path.is_dir():
        run = load_run(path)
        name = read_json(path / RUN_FILE).get("name") or _default_name(run.trained)
        metrics = {"protocol": run.protocol, **run.metrics}
        return _trained(run.trained, name, metrics=metrics, dataset=Dataset.model_validate(run.dataset), run=run)
    if not path.exists():
        raise CheckpointError(f"{path}: no such run folder or checkpoint")
    trained = load_checkpoint(path)
    return _trained(trained, _default_name(trained))


def _unfinished(path: Path, progress: dict[str, int]) -> Source:
    """A checkpoint of a training that has not ended, by default the best one so far; with a word that it is so."""
    folder = path if path.is_dir() else path.parent
    refuse_running(folder)
    trained = load_checkpoint(folder / last_state(folder)[0] if path.is_dir() else path)
    _LOG.warning("%s", unfinished_warning(progress, str(folder)))
    source = _trained(trained, _default_name(trained))
    return replace(source, extra={**source.extra, UNFINISHED: progress})


def unfinished_warning(progress: Mapping[str, int], what: str = "the model") -> str:
    """That a training has not ended, as a sentence.

    Args:
        progress: ``epochs`` that are complete, and ``of`` how many, where that is known.
        what: the training's folder, or what is called so.
    """
    most = f" of {progress['of']}" if "of" in progress else ""
    return f"{what}: its training was stopped after {progress['epochs']}{most} epochs, and nobody measured it"


def _trained(trained: Trained, name: str, run: Run | None = None, **known: Any) -> Source:
    spec = trained.spec
    known_of = {"search": run.search, TEACHER: run.teacher} if run is not None else {}
    more = {key: value for key, value in known_of.items() if value is not None}
    samples, dynamic = spec.window_samples, trained.model.any_length
    window = Window(samples=samples, hop_samples=samples, dynamic=dynamic)
    return Source(
        classifier=trained.model,
        targets=spec.targets,
        ranges=spec.ranges,
        window=window,
        description=describe_model(spec),
        encoder=describe_encoder(spec),
        name=name,
        plan=ProofPlan(window.samples),
        extra={"optimiser_steps": trained.steps, **more},
        run=run,
        calibration={} if run is None else run.calibration,
        pooling="coverage" if run is None else run.pooling,
        **known,
    )


def _default_name(trained: Trained) -> str:
    return f"{trained.spec.model}-{next(iter(trained.spec.targets))}".lower()


def proof_signals(source: Source, data: Path | None, seed: int) -> Signals:
    """What the export is proven on: the recordings named, else the run's own, else synthetic voices.

    Args:
        source: what is exported.
        data: a folder of recordings, or one recording; DataError where none can be used.
        seed: which recordings are taken.
    """
    plan = source.plan
    if data is not None:
        return signals_of(recordings(data, seed), plan.window, seed, "recordings that the user named", plan.windows)
    if source.run is not None:
        clips = _held_out(source.run, seed)
        return signals_of(clips, plan.window, seed, "validation and test clips of the run", plan.windows)
    voices = synthetic_voices(plan.windows, plan.window, _SYNTHETIC_SEED)
    return signals_of(voices, plan.window, seed, "synthetic signals, no recordings", plan.windows)


def whole_signals(source: Source, seed: int) -> Signals:
    """A synthetic window of full length and one of a third of that. Args as ``proof_signals``."""
    window, random = source.window.samples, np.random.default_rng(seed)
    waveform, length = padded([synthetic_speech(window, random), synthetic_speech(window // 3, random)], window)
    return Signals(waveform, length, 0, 0, "synthetic signals of full length")


def recordings(data: Path, seed: int) -> Iterator[FloatArray]:
    """Recordings that can be used, in seeded order; (samples,) float32 at 16 kHz each. Args as ``proof_signals``."""
    files = find_files([data]).files
    usable = 0
    for index in np.random.default_rng(seed).permutation(len(files)):
        try:
            waveform = checked(read(files[index].path, ReadOptions(max_sec=_MAX_SEC)).waveform)
        except AudioError:
            continue
        usable += 1
        yield waveform
    if not usable:
        raise DataError(f"{data}: holds no recording that can be used to prove the export on")


def _held_out(run: Run, seed: int) -> Iterable[FloatArray]:
    """The clips that the run did not learn from, all of them where it learnt from all, in seeded order."""
    try:
        clips = [run.table.clips[index] for index in (*run.split.test, *run.split.val) or run.split.train]
    except DataError as error:
        raise DataError(f"the export is proven on the run's own clips, but {error}; name others with --data") from error
    cache = WaveformCache()
    return (cache.waveform(clips[index]) for index in np.random.default_rng(seed).permutation(len(clips)))


def describe_model(spec: ModelSpec) -> dict[str, Any]:
    """The resolved model, its encoder by name."""
    described = spec.model_dump(mode="json", exclude={"encoder"})
    if spec.encoder is not None:
        described["architecture"]["encoder"] = _public_name(spec.architecture["encoder"])
    return described


def describe_encoder(spec: ModelSpec) -> dict[str, Any] | None:
    """The encoder's name, whether it was kept frozen, and its settings; nothing for a model without one."""
    if spec.encoder is None:
        return None
    architecture = spec.architecture
    return {"name": _public_name(architecture["encoder"]), "frozen": architecture.get("freeze", True), **spec.encoder}


def _public_name(encoder: str) -> str:
    """A hub's name as it is; of a folder, the last part."""
    random, name = encoder.startswith(RANDOM), encoder.removeprefix(RANDOM)
    on_hub = not random and name.count("/") == 1 and not name.startswith((".", "~", "/")) and not Path(name).exists()
    return (RANDOM if random else "") + (name if on_hub else Path(name).name)
