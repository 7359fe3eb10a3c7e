"""A trained model to a bundle: ``source -> deployable -> graph -> proof -> files -> manifest``, whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from rich.progress import Progress

import emotions
from emotions.bundle.bundle import read_manifest
from emotions.bundle.folders import hash_files, write_bundle, write_manifest
from emotions.bundle.manifest import EMBEDDING, LENGTH, WAVEFORM, Manifest, TensorSpec, stated_thresholds
from emotions.bundle.probe import Probe, write_probe
from emotions.bundle.variants import LOSSY
from emotions.errors import ConfigError
from emotions.files.atomic import refuse_existing, write_bytes
from emotions.files.json_text import write_json
from emotions.pipeline.runner import console
from emotions.runtime.batch_shape import Run
from emotions.runtime.load_check import remember
from export.bundle.calibration import calibration_of, check_risk, linear, quoting, temperatures
from export.bundle.model_card import PICTURES, model_card
from export.bundle.reference import write_run_reference
from export.bundle.report import REPORT, report
from export.bundle.variants import MODEL, Artifact, Artifacts, ExportContext, ExportOptions, make_artifacts, onnx_runner
from export.graph.deployable import Deployable
from export.graph.onnx_files import write_onnx
from export.graph.packed import packed
from export.graph.to_onnx import BATCH, OPSET, SAMPLES, to_onnx
from export.proof.proof import Proof, prove, prove_embedding
from export.proof.signals import padded, synthetic_voices
from export.sources import Source, load_source, proof_signals, whole_signals
from training.run_folder.trackers import add_bundle, warn_of

CARD = "README.md"
_STAGES = 4
_MAX_NAME = 200
_PROBE_SEED = 0
_ONNX = ExportOptions()


def export_run(
    source: Path,
    output: Path | None = None,
    name: str | None = None,
    *,
    data: Path | None = None,
    seed: int = 0,
    bundles: Path = Path("bundles"),
    wanted: ExportOptions = _ONNX,
) -> Path:
    """Export a trained model as a bundle, once its graph is proven to answer as the model does.

    Args:
        source: run folder or checkpoint.
        output: the bundle's folder; by default the bundle's name below ``bundles``.
        name: name of the bundle; by default the run's, else the model and its first target.
        data: recordings to prove the export on; by default the run's validation and test clips.
        seed: which clips prove it, and in which batches.
        bundles: where bundles go by default.
        wanted: what the bundle is to hold in addition to its ONNX graph; what loses too much is left out and reported.

    Returns:
        The bundle's folder.

    Raises:
        OutputExists: ``output`` is there already; nothing was computed.
        CheckpointError: the source cannot be used, or was never trained.
        DataError: there are no recordings to prove the export on.
        ExportError: the model cannot be exported, or the graph does not answer as the model does.

    Example:
        >>> from export.bundle.export import export_run
        >>> export_run(Path("models/demo"), Path("bundles/demo"))  # doctest: +SKIP
        PosixPath('bundles/demo')
    """
    bundle = export_source(
        lambda: load_source(source), output, name, data=data, seed=seed, bundles=bundles, wanted=wanted
    )
    warn_of(add_bundle(source, bundle))
    return bundle


def export_source(
    load: Callable[[], Source],
    output: Path | None = None,
    name: str | None = None,
    *,
    data: Path | None = None,
    seed: int = 0,
    bundles: Path = Path("bundles"),
    wanted: ExportOptions = _ONNX,
) -> Path:
    """Export the model that ``load`` returns; all else as ``export_run``. An existing output is refused before."""
    if output is not None:
        refuse_existing(output)
    source = load()
    _check_wanted(source, wanted)
    name = _checked_name(name or source.name)
    output = output or bundles / _folder_name(name)
    refuse_existing(output)
    with _progress() as stage:
        source = quoting(wanted.evaluation, source)
        check_risk(source, wanted.max_risk)
        model = Deployable(
            source.classifier,
            list(source.targets),
            temperatures(source),
            ranges=source.ranges,
            linear=linear(source),
            clipped=source.clipped,
            embedding=wanted.embedding,
        )
        signals = proof_signals(source, data, seed)
        stage("converting to ONNX")
        graph = source.graph or to_onnx(model, source.window.samples, source.window.dynamic)
        with write_bundle(output) as folder:
            write_onnx(folder / MODEL, packed(graph))
            run = onnx_runner(folder / MODEL, source)
            context = ExportContext(folder, source, model, graph, run, signals, _probe(run, source), seed)
            stage(f"proving on {len(signals)} windows")
            fp32 = Artifact(MODEL, "any", _proof(context))
            stage("making other forms")
            artifacts = make_artifacts(context, fp32, wanted, data)
            write_run_reference(context, data)
            _describe(context, name, artifacts, wanted.max_risk)
    remember(read_manifest(output))
    return output


def _check_wanted(source: Source, wanted: ExportOptions) -> None:
    """Refuse forms of a model that only torch makes, where all that there is of it is an ONNX graph."""
    if source.graph is not None and (wanted.variants or wanted.embedding or {*wanted.formats} - {"onnx"}):
        raise ConfigError("an ONNX file becomes the graph of a bundle alone: no other format, variant or embedding")


def _proof(context: ExportContext) -> Proof:
    source, seed = context.source, context.seed
    whole = whole_signals(source, seed) if source.plan.whole else None
    expected = source.original or context.model
    return prove(
        expected, context.run, context.signals, seed, tolerance=source.plan.tolerance, whole=whole, ranges=source.ranges
    )


def _describe(context: ExportContext, name: str, artifacts: Artifacts, max_risk: float | None) -> None:
    """Write all that a bundle holds in addition to its models; the manifest last."""
    folder, source, model, signals = context.folder, context.source, context.model, context.signals
    embedding = {EMBEDDING: prove_embedding(model, folder / MODEL, signals)} if model.dims else {}
    write_json(folder / REPORT, {**report(artifacts, signals, context.seed), **embedding})
    calibration = calibration_of(source, max_risk)
    limits = stated_thresholds(calibration)
    write_probe(folder, context.probe, source.targets, source.window, source.pooling, limits)
    _copy_pictures(source, folder)
    # The card quotes the manifest, and the manifest hashes the card.
    draft = _manifest(context, name, artifacts, calibration)
    write_bytes(folder / CARD, model_card(draft, artifacts, signals).encode())
    write_manifest(folder, draft.model_copy(update={"files": hash_files(folder)}))


def _copy_pictures(source: Source, folder: Path) -> None:
    """The run's pictures, for the card; they show labels and figures, no recording."""
    if source.run is None:
        return
    for name in PICTURES:
        if (source.run.folder / name).is_file():
            write_bytes(folder / name, (source.run.folder / name).read_bytes())


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A bar on stderr, and a function that starts its next stage."""
    with Progress(console=console(), transient=True) as bar:
        task = bar.add_task("reading recordings", total=_STAGES)
        yield lambda title: bar.update(task, advance=1, description=title)


def _checked_name(name: str) -> str:
    if len(name) > _MAX_NAME:
        raise ConfigError(f"the name {name[:20]!r}... has {len(name)} characters, at most {_MAX_NAME} are allowed")
    return name


def _folder_name(name: str) -> str:
    if PurePath(name).name != name or name.startswith(".") or "\\" in name:
        raise ConfigError(f"the name {name!r} is no folder name: name an output folder too")
    return name


def _probe(run: Run, source: Source) -> Probe:
    voices = synthetic_voices(source.plan.probes, source.plan.window, _PROBE_SEED)
    waveform, length = padded(voices, source.plan.window)
    return Probe(waveform, length, run(waveform, length), source.ranges)


def _manifest(context: ExportContext, name: str, artifacts: Artifacts, calibration: dict[str, Any]) -> Manifest:
    source, files, dims = context.source, hash_files(context.folder), context.model.dims
    samples = SAMPLES if source.window.dynamic else source.window.samples
    extra: dict[str, Any] = {"opset": OPSET}
    if dims:
        extra[EMBEDDING] = _tensor(EMBEDDING, dims).model_dump(mode="json")
    if artifacts.lossy:
        extra[LOSSY] = list(artifacts.lossy)
    return Manifest(
        name=name,
        created=datetime.now(UTC).replace(microsecond=0),
        toolkit_version=emotions.__version__,
        format_version=2 if source.ranges else 1,
        targets=source.targets,
        ranges=source.ranges,
        window=source.window,
        pooling=source.pooling,
        inputs=[_tensor(WAVEFORM, samples), TensorSpec(name=LENGTH, dtype="int64", shape=(BATCH,))],
        outputs=[_tensor(target, len(labels)) for target, labels in source.targets.items()],
        model=source.description,
        metrics=source.metrics,
        calibration=calibration,
        dataset=source.dataset,
        encoder=source.encoder,
        variants=artifacts.variants(context.folder, files),
        files=files,
        extra={**extra, **source.extra},
    )


def _tensor(name: str, width: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=(BATCH, width))
