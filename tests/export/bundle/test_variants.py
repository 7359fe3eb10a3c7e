"""Other forms of a model: each answers as it does, opens without this project, and is in the manifest."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import read_probe
from emotions.errors import DiskFull, ExportError
from export.bundle import export
from export.bundle.gate_clips import MIN_JUDGED, gate_clips
from export.bundle.variants import ExportOptions
from export.graph.deployable import Deployable
from export.graph.torch_programs import write_pt2, write_torchscript
from export.proof.proof import prove_embedding
from export.proof.signals import signals_of, synthetic_voices
from export.sources import load_source
from tests.export.conftest import SPEAKERS, TARGETS, WINDOW, Standin

FILES = {
    "fp32": ("model.onnx", "any"),
    "torchscript": ("model.ts", "any"),
    "pt2": ("model.pt2", "any"),
    "fp16": ("model.fp16.onnx", "cuda"),
    "int8": ("model.int8.onnx", "cpu"),
}


def test_every_form_is_listed_measured_and_described(full: Path) -> None:
    manifest, report = read_bundle(full).manifest, json.loads((full / "report.json").read_text())
    assert {name: (form.file, form.device) for name, form in manifest.variants.items()} == FILES
    assert set(report["variants"]) == set(FILES)
    for name in ("torchscript", "pt2"):
        figures = report["variants"][name]
        assert figures["max_abs_diff"] <= 1e-4
        assert figures["batch_difference"] <= 1e-5
        assert figures["agreement"] == 1
    for name in ("fp16", "int8"):
        gate = report["variants"][name]["gate"]
        assert gate["source"] == "validation clips of the run"
        assert gate["clips"] == 4
        assert set(gate["uar"]) == set(TARGETS)
        assert 0 < manifest.variants[name].max_abs_diff < 0.2
        assert manifest.variants[name].bytes < manifest.variants["fp32"].bytes
    card = (full / "README.md").read_text()
    assert "| int8 | model.int8.onnx |" in card
    assert "the input of the output layers, 256 values" in card


def test_programs_answer_in_a_process_without_this_project(full: Path, tmp_path: Path) -> None:
    script = """
import sys, warnings
sys.modules["export"] = sys.modules["training"] = sys.modules["emotions"] = None
warnings.simplefilter("ignore")
import torch
waveform, length = torch.load("rows.pt")
for program in (torch.jit.load("model.ts"), torch.export.load("model.pt2").module()):
    with torch.inference_mode():
        print([round(float(value), 4) for value in program(waveform, length)[0][:, 0]])
"""
    probe = read_probe(read_bundle(full))
    rows = 5  # not what they were traced with
    torch.save((torch.from_numpy(probe.waveform[:rows]), torch.from_numpy(probe.length[:rows])), tmp_path / "rows.pt")
    for name in ("model.ts", "model.pt2"):
        (tmp_path / name).symlink_to(full / name)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, env={**os.environ}
    )
    expected = probe.probabilities["эмоция"][:rows, 0]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    for answer in answers:
        np.testing.assert_allclose(answer, expected, atol=2e-4)


def test_no_trace_of_this_machine_in_any_file(full: Path, corpus: Path, trained_run: Path) -> None:
    traces = [str(corpus), str(trained_run), str(Path(sys.prefix).parent), "site-packages", "/export/", *SPEAKERS]
    contents = [(path.name, path.read_bytes()) for path in full.iterdir() if path.suffix not in (".ts", ".pt2")]
    for path in (full / "model.ts", full / "model.pt2"):
        with zipfile.ZipFile(path) as archive:
            contents += [(name, archive.read(name)) for name in archive.namelist()]
    assert [(name, trace) for name, content in contents for trace in traces if trace.encode() in content] == []


def test_the_embedding_is_one_more_output(full: Path) -> None:
    bundle = read_bundle(full)
    assert bundle.manifest.embedding is not None
    assert bundle.manifest.embedding.shape == ("batch", 256)
    assert [tensor.name for tensor in bundle.manifest.outputs] == list(TARGETS)
    session = onnxruntime.InferenceSession(full / "model.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == [*TARGETS, "embedding"]
    probe = read_probe(bundle)
    inputs = {"waveform": probe.waveform, "length": probe.length}
    (whole,) = session.run(["embedding"], inputs)
    alone = [session.run(["embedding"], {name: rows[i : i + 1] for name, rows in inputs.items()})[0] for i in range(6)]
    assert whole.shape == (6, 256)
    assert np.ptp(whole, axis=0).max() > 1e-2
    np.testing.assert_allclose(whole, np.concatenate(alone), atol=1e-4)


def test_the_embedding_is_what_the_last_layer_hears(full: Path) -> None:
    graph = onnx.load(full / "model.onnx").graph
    heads = [node for node in graph.node if node.op_type == "Gemm"]
    assert [node.input[0] for node in heads] == ["embedding"] * len(TARGETS)


def test_the_predictor_takes_a_bundle_with_an_embedding(full: Path, bundle: Path, corpus: Path) -> None:
    clip = corpus / "anna_neutral_0.wav"
    one, other = (emotions.load(path, device="cpu", variant="fp32").predict(clip) for path in (full, bundle))
    assert one.probabilities.keys() == other.probabilities.keys()
    assert one.label == other.label


def test_the_embedding_is_proven(full: Path) -> None:
    proof = json.loads((full / "report.json").read_text())["embedding"]
    assert proof["dims"] == 256
    assert proof["max_relative_diff"] <= proof["limit"] == 1e-3


def test_an_embedding_that_is_another_fails(bundle: Path, full: Path) -> None:
    class Other:
        dims = 256

        def __call__(self, waveform: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (waveform[:, :256],)

    signals = signals_of(synthetic_voices(8, WINDOW, seed=3), WINDOW, seed=0, source="test")
    with pytest.raises(ExportError, match="the exported embedding differs by"):
        prove_embedding(Other(), full / "model.onnx", signals)  # type: ignore[arg-type]


def test_a_disk_that_is_full_at_the_last_form_leaves_nothing(
    trained_run: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if "model.ts" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.load(bundle / "model.onnx"))
    with pytest.raises(DiskFull, match="the disk is full; make room"):
        export.export_run(trained_run, tmp_path / "b", wanted=ExportOptions(("torchscript",)))
    assert list(tmp_path.iterdir()) == []


def test_a_model_whose_last_layer_is_unknown_has_no_embedding() -> None:
    with pytest.raises(ExportError, match="no embedding to export"):
        Deployable(Standin({"emotion": 2}), ["emotion"], embedding=True)


class Stubborn(Standin):
    """Cannot be captured by any exporter."""

    def features(self, *_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("never\nat all")


@pytest.mark.parametrize(("write", "what"), [(write_torchscript, "TorchScript"), (write_pt2, "torch.export")])
def test_a_model_that_cannot_be_captured_is_refused_in_one_line(write: object, what: str, tmp_path: Path) -> None:
    model = Deployable(Stubborn({"emotion": 2}), ["emotion"])
    with pytest.raises(ExportError, match=f"cannot be exported (to|by) {what} ") as caught:
        write(tmp_path / "m", model, WINDOW)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("tested", "words"), [(True, "test clips of the run, as"), (False, "which its refit was")])
def test_a_refit_is_judged_on_clips_that_it_was_not_trained_on_or_it_is_said(
    trained_run: Path, tested: bool, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = load_source(trained_run)
    assert source.run is not None
    assert gate_clips(source, None, 0).source == "validation clips of the run"
    run = replace(source.run, search={"refit": True})
    split = run.split if tested else replace(run.split, test=())
    run.__dict__["split"] = split
    clips = gate_clips(replace(source, run=run), None, 0)
    assert words in clips.source
    assert clips.recordings == len(split.test if tested else split.val)
    assert len(clips.windows) == MIN_JUDGED
    assert len(np.unique(clips.units)) == MIN_JUDGED - 9 * clips.recordings  # at most nine copies, then other voices
    assert all(set(truth[clips.recordings :]) == {-1} for truth in clips.truth.values())
    assert ("was trained on; name others with --data" in caplog.text) == (not tested)
