"""Every model family, trained and exported: the graph answers as the model, and names no path of this machine."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import emotions
from emotions.audio.windows import FloatArray
from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import read_probe
from emotions.files.json_text import read_json, write_json
from emotions.pipeline.runner import Context
from emotions.runtime.probe_replay import PROBE_TOLERANCE
from emotions.runtime.session import onnx_run, onnx_session
from export.bundle.export import export_run, export_source
from export.bundle.gate_clips import gate_clips
from export.bundle.variants import ExportOptions
from export.graph.fp16_rounding import rounded_as_fp16
from export.proof.gate import judge
from export.sources import describe_encoder, describe_model, load_source
from tests.conftest import BuildOnce
from tests.export.conftest import TARGETS, WINDOW, build_step
from tests.training.models.encoders import make_encoder
from training.config.train import ModelSpec
from training.loop.fit import fit
from training.run_folder.read import load_run

pytestmark = pytest.mark.slow

FN = {"conv_h_count": 1, "conv_w_count": 1, "layer_1_size": 8, "layer_2_size": 8}
VIT = {"patch_transformer_size": 4, "layer_1_size": 16, "layer_2_size": 16, "transformer_depth": 1}
FAMILIES: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "fn-projection": ("Wav2Vec2FnClassifier", "wav2vec2-group", FN),
    "fn-weighted": ("Wav2Vec2FnClassifier", "wavlm-layer", {**FN, "embedding": "weighted"}),
    "cnn-conv": ("Wav2Vec2CnnClassifier", "wav2vec2-layer", {"backbone": "test_efficientnet"}),
    "cnn-layer": ("Wav2Vec2CnnClassifier", "hubert-group", {"backbone": "test_efficientnet", "embedding": 1}),
    "transformer": ("TransformerClassifier", None, VIT),
    "functionals": ("FunctionalsClassifier", None, {"members": 2, "layer_1_size": 8}),
    "whisper": ("Wav2Vec2FnClassifier", "whisper", {**FN, "embedding": [0, 2]}),
    "bert": ("Wav2Vec2FnClassifier", "wav2vec2-bert", {**FN, "embedding": 1, "pooling": "mean_deviation"}),
    "functionals-data2vec": (
        "FunctionalsClassifier",
        "data2vec-audio",
        {"members": 2, "layer_1_size": 8, "embedding": [1, 2]},
    ),
    "functionals-whisper": (
        "FunctionalsClassifier",
        "whisper",
        {"members": 2, "layer_1_size": 8, "embedding": [1, 2], "pooling": "mean_deviation"},
    ),
}


def trained_run(family: str, corpus: Path, folder: Path, seed: int = 0) -> Path:
    """A run folder of a tiny model of a family."""
    model, kind, architecture = FAMILIES[family]
    if kind is not None:
        architecture = {**architecture, "encoder": str(make_encoder(folder / "secret" / kind, kind))}
    step = build_step(corpus, folder / "run", model=model, model_architecture=architecture)
    return fit(step, Context(folder, seed=seed, workers=0, config={"seed": seed}, quiet=True))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_family_answers_from_its_bundle_as_it_was_trained(
    family: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    _, kind, _ = FAMILIES[family]
    run = trained_run(family, corpus, tmp_path)
    bundle = export_run(run, tmp_path / "bundle")
    loaded, predictor = load_run(run), emotions.load(bundle, device="cpu")
    trained, calibration = loaded.trained, loaded.calibration
    answers = []
    for rows in (1, 3, 4):
        waveform = 0.1 * torch.randn(rows, WINDOW, generator=torch.Generator().manual_seed(rows)).cumsum(dim=1) / 20
        with torch.inference_mode():
            logits = trained.model(waveform, torch.full((rows,), WINDOW))
        for row in range(rows):
            answer = predictor.predict(waveform[row].numpy())
            for target, labels in TARGETS.items():
                found = [answer.probabilities[target][label] for label in labels]
                expected = (logits[target][row] / calibration[target]["temperature"]).softmax(0).numpy()
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
            answers.append(answer.probabilities["эмоция"]["гнев"])
    assert np.std(answers) > 0
    manifest = read_bundle(bundle).manifest
    assert (manifest.encoder is None) == (kind is None)
    if manifest.encoder is not None:
        assert (manifest.encoder["name"], manifest.encoder["frozen"]) == (kind, True)
        assert f"Features come from {kind}" in (bundle / "README.md").read_text()
    if family == "transformer":
        nodes = [node.op_type for node in onnx.load(bundle / "model.onnx").graph.node]
        assert nodes.count("MultiHeadAttention") == VIT["transformer_depth"]
    assert not [path.name for path in bundle.iterdir() if b"secret" in path.read_bytes()]


ENCODERS = (
    "wav2vec2-layer",
    "hubert-group",
    "wavlm-group",
    "whisper",
    "data2vec-audio",
    "unispeech-sat-layer",
    "wav2vec2-bert",
)


@pytest.fixture(scope="module")
def recordings(build_once: BuildOnce, emodb4: Path) -> Path:
    """Four recordings of each speaker of EmoDB, one of each emotion where there is one."""
    return build_once("recordings-of-families", lambda folder: take_recordings(emodb4, folder))


def take_recordings(emodb4: Path, folder: Path) -> Path:
    """Copy them, with their part of the annotations."""
    kept: dict[tuple[str, str], str] = {}
    rows = read_json(emodb4 / "annotations.json")
    for name in sorted(rows):
        kept.setdefault((rows[name]["speaker"], rows[name]["emotion"]), name)
    for name in kept.values():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(emodb4 / name, folder / name)
    write_json(folder / "annotations.json", {name: rows[name] for name in kept.values()})
    return folder


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_encoder_of_each_family_trains_on_recordings_exports_and_answers_for_a_folder(
    kind: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    architecture = {**FN, "encoder": str(make_encoder(tmp_path / kind, kind)), "embedding": "weighted"}
    step = build_step(
        recordings,
        tmp_path / "run",
        model="Wav2Vec2FnClassifier",
        model_architecture={**architecture, "pooling": "attentive_statistics"},
        learn_params={"padding_sec": 1, "max_epoch": 2, "batch_size": 8},
        dataset={"path": str(recordings), "speaker": {"column": "speaker"}, "targets": ["emotion", "state"]},
    )
    run = fit(step, Context(tmp_path, seed=0, workers=0, config={"seed": 0}, quiet=True))
    bundle = export_run(run, tmp_path / "bundle")
    proof = read_json(bundle / "report.json")["variants"]["fp32"]
    assert max(proof["max_abs_diff"], proof["batch_difference"]) <= 1e-4
    predictor = emotions.load(bundle, device="cpu")
    results = list(predictor.predict_folder(recordings))
    assert len(results) == len([*recordings.rglob("*.wav")]) > 30
    for result in results:
        assert result.prediction is not None, result.error
    for result in results[:3]:
        alone, together = predictor.predict(recordings / result.name), result.prediction
        assert together is not None
        for target, found in alone.probabilities.items():
            assert found == pytest.approx(together.probabilities[target], abs=1e-5)


def sharpen(classifier: nn.Module, times: int, clips: list[FloatArray]) -> None:
    """Make the last layers' logits so many times as far apart, around their mean, as long training does."""
    layers = [layer for name, layer in classifier.named_modules() if re.search(r"outputs\.\d+$", name)]
    seen: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda *called: seen.append(called[2])) for layer in layers]
    waveform = torch.from_numpy(np.stack([np.pad(clip, (0, WINDOW - len(clip))) for clip in clips]))
    with torch.inference_mode():
        classifier(waveform, torch.tensor([len(clip) for clip in clips]))
    with torch.no_grad():
        for layer, logits, hook in zip(layers, seen, hooks, strict=True):
            assert isinstance(layer, nn.Linear)
            hook.remove()
            layer.weight *= times
            layer.bias.copy_(times * (layer.bias - logits.mean(dim=0)) if times > 1 else layer.bias)


@pytest.mark.parametrize("sharper", [1, 10, 40])
@pytest.mark.parametrize("family", ["fn-projection", "fn-weighted", "cnn-conv", "transformer", "functionals"])
def test_fp16_is_proven_with_the_rounding_of_a_gpu(
    family: str, sharper: int, corpus: Path, build_once: BuildOnce, tmp_path: Path
) -> None:
    # Logits 40 times as far apart are near the limit of the proof in fp32: a seed with which that is passed.
    run = build_once(f"rounded-{family}", lambda folder: trained_run(family, corpus, folder, seed=1))
    source = load_source(run)
    clips = gate_clips(source, None, 0)
    sharpen(source.classifier, sharper, [clip.samples[0] for clip in clips.windows])
    wanted = ExportOptions(variants=("fp16",), allow_loss=True)
    bundle = read_bundle(export_source(lambda: source, tmp_path / "bundle", wanted=wanted))
    graph = rounded_as_fp16(onnx.load(bundle.path / "model.fp16.onnx"))
    onnx.save(graph, tmp_path / "as_on_a_gpu.onnx")
    emulated = onnx_run(onnx_session(tmp_path / "as_on_a_gpu.onnx", 1), list(TARGETS))
    probe, figures = read_probe(bundle), read_json(bundle.path / "report.json")["variants"]["fp16"]
    answers = emulated(probe.waveform, probe.length)
    off = max(float(np.abs(answers[target] - known).max()) for target, known in probe.probabilities.items())
    tolerance = PROBE_TOLERANCE + 2 * bundle.manifest.variants["fp16"].max_abs_diff
    assert off <= tolerance
    fp32 = onnx_run(onnx_session(bundle.path / "model.onnx", 1), list(TARGETS))
    gate = judge(fp32, emulated, clips, TARGETS)
    assert figures["gate"]["differing"] == gate.differing
    assert figures["gate"]["passed"] == (not gate.faults)
    assert emotions.load(bundle.path, device="cpu", variant="fp16").session.variant == "fp16"


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        ("facebook/wav2vec2-base", "facebook/wav2vec2-base"),
        ("/data/anna/encoders/tiny", "tiny"),
        ("./tiny", "tiny"),
        ("random:/data/anna/config.json", "random:config.json"),
        ("random:tiny", "random:tiny"),
    ],
)
def test_an_encoder_is_named_without_its_folder(encoder: str, name: str) -> None:
    spec = ModelSpec(
        model="Wav2Vec2FnClassifier",
        architecture={"encoder": encoder, "freeze": False},
        window_samples=WINDOW,
        spectrogram_size=32,
        targets=TARGETS,
        encoder={"normalize": True, "config": {"model_type": "wav2vec2"}},
    )
    described = describe_encoder(spec)
    assert described is not None
    assert (described["name"], described["frozen"], described["normalize"]) == (name, False, True)
    assert describe_model(spec)["architecture"]["encoder"] == name
    assert "encoder" not in describe_model(spec)
