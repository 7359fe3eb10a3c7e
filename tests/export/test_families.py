"""Every model family, trained and exported: the graph answers as the model, and names no path of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import emotions
from emotions.bundle.manifest import read_bundle
from emotions.pipeline.runner import Context
from export.bundle.export import export_run
from export.sources import describe_encoder, describe_model
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
}


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_family_answers_from_its_bundle_as_it_was_trained(
    family: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    model, kind, architecture = FAMILIES[family]
    if kind is not None:
        architecture = {**architecture, "encoder": str(make_encoder(tmp_path / "secret" / kind, kind))}
    step = build_step(corpus, tmp_path / "run", model=model, model_architecture=architecture)
    run = fit(step, Context(tmp_path, seed=0, workers=0, config={"seed": 0}, quiet=True))
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
