"""A trained model to a bundle: ``source -> deployable -> graph -> proof -> files -> manifest``, whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from rich.progress import Progress

import emotions
from emotions.bundle import (
    LENGTH,
    WAVEFORM,
    Manifest,
    Tensor,
    Variant,
    Window,
    contract,
    hash_files,
    write_bundle,
    write_manifest,
)
from emotions.errors import ConfigError
from emotions.files import refuse_existing, write_bytes, write_json
from emotions.pipeline import console
from emotions.probe import Probe, write_probe
from emotions.runtime import Run, available_cores, onnx_session
from export.deployable import Deployable
from export.description import describe_encoder, describe_model
from export.model_card import model_card
from export.onnx_graph import BATCH, OPSET, to_onnx
from export.proof import Proof, prove
from export.report import REPORT, report
from export.signals import padded, synthetic_voices
from export.sources import Source, load_source, proof_signals
from training.config import ModelSpec

MODEL = "model.onnx"
CARD = "README.md"
_STAGES = 3
_MAX_NAME = 200
_PROBES = 6
_PROBE_SEED = 0


def export_run(
    source: Path,
    output: Path | None = None,
    name: str | None = None,
    *,
    data: Path | None = None,
    seed: int = 0,
    bundles: Path = Path("bundles"),
) -> Path:
    """Export a trained model as a bundle, once its graph is proven to answer as the model does.

    Args:
        source: run folder or checkpoint.
        output: the bundle's folder; by default the bundle's name below ``bundles``.
        name: name of the bundle; by default the run's, else the model and its first target.
        data: recordings to prove the export on; by default the run's validation and test clips.
        seed: which clips prove it, and in which batches.
        bundles: where bundles go by default.

    Returns:
        The bundle's folder.

    Raises:
        OutputExists: ``output`` is there already; nothing was computed.
        CheckpointError: the source cannot be used, or was never trained.
        DataError: there are no recordings to prove the export on.
        ExportError: the model cannot be exported, or the graph does not answer as the model does.
    """
    if output is not None:
        refuse_existing(output)
    loaded = load_source(source)
    name = _checked_name(name or loaded.name)
    output = output or bundles / _folder_name(name)
    refuse_existing(output)
    with _progress() as stage:
        _write(loaded, output, name, data, seed, stage)
    return output


def _write(loaded: Source, output: Path, name: str, data: Path | None, seed: int, stage: Callable[[str], None]) -> None:
    spec = loaded.trained.spec
    model = Deployable(loaded.trained.model, list(spec.targets))
    signals = proof_signals(loaded, data, seed)
    stage("converting to ONNX")
    graph = to_onnx(model, spec.window_samples)
    with write_bundle(output) as folder:
        write_bytes(folder / MODEL, graph.SerializeToString(deterministic=True))
        run = _runner(folder / MODEL, spec)
        stage(f"proving on {len(signals)} windows")
        proof = prove(model, run, signals, seed)
        write_json(folder / REPORT, report(proof, signals, seed))
        write_probe(folder, _probe(run, spec), contract(spec.targets, _window(spec)))
        # The card quotes the manifest, and the manifest hashes the card.
        draft = _manifest(folder, loaded, name, proof)
        write_bytes(folder / CARD, model_card(draft, proof, signals).encode())
        write_manifest(folder, draft.model_copy(update={"files": hash_files(folder)}))


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


def _runner(path: Path, spec: ModelSpec) -> Run:
    session, targets = onnx_session(path, threads=available_cores()), list(spec.targets)
    return lambda waveform, length: dict(
        zip(targets, session.run(targets, {WAVEFORM: waveform, LENGTH: length}), strict=True)
    )


def _probe(run: Run, spec: ModelSpec) -> Probe:
    voices = synthetic_voices(_PROBES, spec.window_samples, _PROBE_SEED)
    waveform, length = padded(voices, spec.window_samples)
    return Probe(waveform, length, run(waveform, length))


def _search(source: Source) -> dict[str, Any]:
    """What is known of the search that the model comes from."""
    run = source.run
    return {} if run is None or run.search is None else {"search": run.search}


def _window(spec: ModelSpec) -> Window:
    return Window(samples=spec.window_samples, hop_samples=spec.window_samples)


def _manifest(folder: Path, source: Source, name: str, proof: Proof) -> Manifest:
    spec, files = source.trained.spec, hash_files(folder)
    samples = spec.window_samples
    fp32 = Variant(
        file=MODEL,
        bytes=(folder / MODEL).stat().st_size,
        sha256=files[MODEL],
        device="any",
        max_abs_diff=proof.max_abs_diff,
        agreement=proof.agreement,
    )
    return Manifest(
        name=name,
        created=datetime.now(UTC).replace(microsecond=0),
        toolkit_version=emotions.__version__,
        targets=spec.targets,
        window=_window(spec),
        inputs=[
            Tensor(name=WAVEFORM, dtype="float32", shape=(BATCH, samples)),
            Tensor(name=LENGTH, dtype="int64", shape=(BATCH,)),
        ],
        outputs=[
            Tensor(name=target, dtype="float32", shape=(BATCH, len(labels))) for target, labels in spec.targets.items()
        ],
        model=describe_model(spec),
        encoder=describe_encoder(spec),
        metrics=source.metrics,
        dataset=source.dataset,
        variants={"fp32": fp32},
        files=files,
        extra={"opset": OPSET, "optimiser_steps": source.trained.steps, **_search(source)},
    )
