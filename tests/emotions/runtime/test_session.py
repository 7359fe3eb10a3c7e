from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import Probe, read_probe, write_probe
from emotions.errors import BundleError, DeviceError
from emotions.files.content import sha256
from emotions.runtime.session import open_session


def rehash(bundle: Path, name: str) -> None:
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name] = sha256(bundle / name)
    for variant in manifest["variants"].values():
        variant["sha256"] = manifest["files"][variant["file"]]
    path.write_text(json.dumps(manifest))


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def test_a_session_answers_as_the_probe_says(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    session = open_session(bundle, device="cpu", threads=1)
    probe = read_probe(bundle)
    answers = session.run(probe.waveform, probe.length)
    for target, expected in probe.probabilities.items():
        assert np.abs(answers[target] - expected).max() < 1e-6
    assert (session.device, session.variant, session.threads) == ("cpu", "fp32", 1)


def test_a_model_that_answers_otherwise_than_at_export_is_refused(copy: Path) -> None:
    probe = read_probe(read_bundle(copy))
    wrong = {target: np.roll(values, 1, axis=1) for target, values in probe.probabilities.items()}
    manifest = read_bundle(copy).manifest
    write_probe(copy, Probe(probe.waveform, probe.length, wrong), manifest.targets, manifest.window)
    rehash(copy, "probe.npz")
    with pytest.raises(BundleError, match="answers its probe otherwise than at export"):
        open_session(read_bundle(copy), device="cpu")


def test_a_probe_of_nan_is_no_proof(copy: Path) -> None:
    probe = read_probe(read_bundle(copy))
    wrong = {target: np.full_like(values, np.nan) for target, values in probe.probabilities.items()}
    manifest = read_bundle(copy).manifest
    write_probe(copy, Probe(probe.waveform, probe.length, wrong), manifest.targets, manifest.window)
    rehash(copy, "probe.npz")
    with pytest.raises(BundleError, match="otherwise than at export"):
        open_session(read_bundle(copy), device="cpu")


def test_a_file_that_is_no_model_is_refused(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"not a graph")
    rehash(copy, "model.onnx")
    with pytest.raises(BundleError, match="ONNX Runtime cannot load it"):
        open_session(read_bundle(copy), device="cpu")


def test_the_cpu_never_stands_in_for_a_gpu_that_was_asked_for(tiny_bundle: Path) -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    bundle = read_bundle(tiny_bundle)
    with pytest.raises(DeviceError, match="no NVIDIA GPU"):
        open_session(bundle, device="cuda")
    assert open_session(bundle, device="auto").device == "cpu"


def test_an_opset_that_the_runtime_cannot_read_is_said(copy: Path) -> None:
    content = (copy / "model.onnx").read_bytes()
    assert content.endswith(b"\x10\x14")  # opset_import's version: 20
    (copy / "model.onnx").write_bytes(content[:-1] + bytes([99]))
    rehash(copy, "model.onnx")
    with pytest.raises(
        BundleError, match=r"cannot load it \(Opset 99 is newer than ONNX Runtime \S+ reads; update onnxr"
    ):
        open_session(read_bundle(copy), device="cpu")
