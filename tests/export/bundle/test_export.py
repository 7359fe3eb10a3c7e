"""From a run folder to a bundle: whole or not at all, the same bytes every time, nothing of this machine in it."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import emotions
from emotions.audio.decode import decode
from emotions.audio.windows import pool, split, window_weights
from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import read_probe
from emotions.errors import CheckpointError, ConfigError, DataError, DiskFull, ExportError, OutputExists
from export.bundle import export
from export.bundle.export import export_run
from tests.export.conftest import SPEAKERS, TARGETS, WINDOW
from training.run_folder.read import load_run


def checkpoint_of(run: Path) -> Path:
    return run / "best.ckpt"


def test_a_bundle_holds_what_the_run_knew(bundle: Path, trained_run: Path) -> None:
    manifest = read_bundle(bundle).manifest
    run = load_run(trained_run)
    assert sorted(path.name for path in bundle.iterdir()) == [
        *("README.md", "confusion_matrix.png", "curves.png", "manifest.json", "model.onnx", "probe.npz", "report.json")
    ]
    assert manifest.name == "tiny"
    assert manifest.targets == TARGETS
    assert (manifest.window.samples, manifest.window.hop_samples, manifest.window.dynamic) == (WINDOW, WINDOW, False)
    assert [tensor.shape for tensor in manifest.inputs] == [("batch", WINDOW), ("batch",)]
    assert [(tensor.name, tensor.shape) for tensor in manifest.outputs] == [
        *(("эмоция", ("batch", 2)), ("state", ("batch", 2)))
    ]
    assert manifest.metrics == {"protocol": run.protocol, **run.metrics}
    assert manifest.model == run.trained.spec.model_dump(exclude={"encoder"})
    assert manifest.encoder is None
    assert manifest.dataset is not None
    assert manifest.dataset.clips == 20
    assert manifest.dataset.license == "CC0"
    assert manifest.created.utcoffset().total_seconds() == 0  # type: ignore[union-attr]


def test_the_card_shows_the_runs_pictures(bundle: Path, trained_run: Path) -> None:
    card, shown = (bundle / "README.md").read_text(), read_bundle(bundle).manifest.files
    for name in ("confusion_matrix.png", "curves.png"):
        assert f"]({name})" in card
        assert name in shown
        assert (bundle / name).read_bytes() == (trained_run / name).read_bytes()


def test_the_bundle_answers_as_the_trained_model(bundle: Path, trained_run: Path, corpus: Path) -> None:
    run = load_run(trained_run)
    model, heat = run.trained.model, {target: found["temperature"] for target, found in run.calibration.items()}
    assert all(value != 1 for value in heat.values())
    predictor = emotions.load(bundle, device="cpu")
    seen = set()
    for path in sorted(corpus.glob("*.wav")):
        windows = split(decode(path), predictor.manifest.window.spec)
        with torch.inference_mode():
            logits = model(torch.from_numpy(windows.samples.copy()), torch.from_numpy(windows.lengths))
        answer = predictor.predict(path)
        for target, labels in TARGETS.items():
            weights = window_weights(windows.starts, windows.lengths, WINDOW)
            expected = pool((logits[target] / heat[target]).softmax(dim=1).numpy(), weights)
            found = [answer.probabilities[target][label] for label in labels]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        seen.add(answer.label)
    assert seen == set(TARGETS["эмоция"])


@pytest.mark.slow
def test_two_exports_are_the_same_bytes(bundle: Path, trained_run: Path, tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from export.bundle.export import export_run; "
    script += "export_run(Path(sys.argv[1]), Path('again'))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(export.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", script, str(trained_run)], cwd=tmp_path, env=environment, check=True)
    for name in ("model.onnx", "probe.npz", "report.json", "README.md", "confusion_matrix.png"):
        assert (tmp_path / "again" / name).read_bytes() == (bundle / name).read_bytes(), name


def test_no_trace_of_this_machine_or_of_a_speaker(bundle: Path, corpus: Path, trained_run: Path) -> None:
    traces = [str(corpus), str(trained_run), str(Path.home()), str(Path(sys.prefix).parent), "site-packages", ".wav"]
    traces += [f"{speaker}_" for speaker in SPEAKERS]
    for path in bundle.iterdir():
        content = path.read_bytes()
        if path.name == "README.md":
            content = content.replace(b"clip.wav", b"")
        assert [trace for trace in traces if trace.encode() in content] == [], path.name
    assert b".py" not in (bundle / "model.onnx").read_bytes()


def test_every_graph_is_used_without_torch_and_without_a_network(full: Path, corpus: Path) -> None:
    script = """
import socket, sys
def refuse(*_): raise AssertionError("the network was used")
socket.socket.connect = socket.getaddrinfo = refuse
for name in ("torch", "onnx", "lightning", "training", "export"):
    sys.modules[name] = None
import emotions
for variant in ("fp32", "fp16", "int8"):
    print(emotions.load(sys.argv[1], device="cpu", variant=variant).predict(sys.argv[2]).label)
"""
    clip = corpus / "anna_neutral_0.wav"
    command = [sys.executable, "-c", script, str(full), str(clip)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"}
    )
    variants = [emotions.load(full, device="cpu", variant=name) for name in ("fp32", "fp16", "int8")]
    assert done.stdout.split() == [predictor.predict(clip).label for predictor in variants]


def test_the_probe_is_mixed_and_its_answers_vary(bundle: Path) -> None:
    probe = read_probe(read_bundle(bundle))
    assert len(set(probe.length.tolist())) > 3
    assert probe.length.max() == WINDOW
    assert all(np.ptp(values, axis=0).max() > 1e-3 for values in probe.probabilities.values())


def test_an_output_that_is_there_is_refused_before_any_work(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    monkeypatch.setattr(export, "load_source", lambda _: pytest.fail("something was computed"))
    with pytest.raises(OutputExists, match="is there already"):
        export_run(tmp_path / "no run", bundle)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_a_default_output_that_is_there_is_refused(trained_run: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    with pytest.raises(OutputExists):
        export_run(trained_run, bundles=tmp_path)


@pytest.mark.parametrize("file", ["model.onnx", "probe.npz", "manifest.json"])
def test_a_full_disk_leaves_nothing(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported_before: None, file: str
) -> None:
    real = os.fsync

    def fsync(handle: int) -> None:
        if file in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DiskFull, match="the disk is full; make room"):
        export_run(trained_run, tmp_path / "out" / "b")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_graph_that_differs_is_not_written(
    bundle: Path, trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def altered(*_: object) -> onnx.ModelProto:
        graph = onnx.load(bundle / "model.onnx")
        bias = next(tensor for tensor in graph.graph.initializer if tensor.name.endswith("outputs.0.bias"))
        values = np.frombuffer(bias.raw_data, np.float32) + np.array([0.01, 0], np.float32)
        bias.raw_data = values.tobytes()
        return graph

    monkeypatch.setattr(export, "to_onnx", altered)
    with pytest.raises(ExportError, match=r"probabilities differ by .*e-03 \(at most 1e-04; labels agree on"):
        export_run(trained_run, tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_never_moves_is_not_exported(trained_run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(checkpoint_of(trained_run), weights_only=True)
    for name, value in checkpoint["state_dict"].items():
        if ".outputs.1.weight" in name:
            value.zero_()
    torch.save(checkpoint, tmp_path / "still.ckpt")
    with pytest.raises(ExportError, match=r"the proof says nothing: .* probabilities of state \(0\.0e\+00\)"):
        export_run(tmp_path / "still.ckpt", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_untrained_checkpoint_is_refused(trained_run: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(checkpoint_of(trained_run), weights_only=True)
    checkpoint["global_step"] = 0
    torch.save(checkpoint, tmp_path / "fresh.ckpt")
    with pytest.raises(CheckpointError, match="never trained"):
        export_run(tmp_path / "fresh.ckpt", tmp_path / "b")


def test_a_checkpoint_alone_is_proven_on_synthetic_signals_and_says_so(
    trained_run: Path, exported_before: None, tmp_path: Path
) -> None:
    path = export_run(checkpoint_of(trained_run), bundles=tmp_path)
    report = json.loads((path / "report.json").read_text())
    manifest = read_bundle(path).manifest
    assert path == tmp_path / "spectrogramcnnclassifier-эмоция"
    assert report["signals"]["source"] == "synthetic signals, no recordings"
    assert manifest.metrics == {}
    assert manifest.dataset is None
    assert not [*path.glob("*.png")]
    assert "Nothing was measured" in (path / "README.md").read_text()


def test_recordings_can_be_named(trained_run: Path, corpus: Path, exported_before: None, tmp_path: Path) -> None:
    path = export_run(checkpoint_of(trained_run), tmp_path / "b", data=corpus)
    signals = json.loads((path / "report.json").read_text())["signals"]
    assert signals["source"] == "recordings that the user named"
    assert signals["clips"] == 20
    assert signals["seconds"]["min"] < signals["seconds"]["max"] == WINDOW / 16_000


def test_data_without_a_usable_recording_are_refused(trained_run: Path, exported_before: None, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.wav").write_text("no audio")
    with pytest.raises(DataError, match="holds no recording that can be used"):
        export_run(checkpoint_of(trained_run), tmp_path / "b", data=tmp_path / "data")


def test_a_run_whose_data_are_gone_asks_for_others(
    corpus: Path, trained_run: Path, exported_before: None, tmp_path: Path
) -> None:
    index = json.loads((trained_run / "run.json").read_text())
    index["dataset_config"]["path"] = str(tmp_path / "gone")
    moved = tmp_path / "run"
    moved.mkdir()
    (moved / "run.json").write_text(json.dumps(index))
    (moved / "best.ckpt").write_bytes(checkpoint_of(trained_run).read_bytes())
    with pytest.raises(DataError, match="name others with --data"):
        export_run(moved, tmp_path / "b")
    assert export_run(moved, tmp_path / "b", data=corpus) == tmp_path / "b"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "x" * 201])
def test_a_name_that_cannot_be_a_folder_is_refused(trained_run: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="the name"):
        export_run(trained_run, name=name)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run folder or checkpoint"):
        export_run(tmp_path / "nothing", tmp_path / "b")
