"""From a folder of Hugging Face to a bundle that everything after the export can use."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
import torch
from prometheus_client import CollectorRegistry

import emotions
from emotions.audio.windows import FloatArray, pool, split, window_weights
from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import read_probe
from emotions.cli import run
from emotions.errors import ConfigError, ExportError, OutputExists
from emotions.folder.predict_files import predict_files
from emotions.inputs.discovery import find_files
from emotions.pipeline.runner import Context
from emotions.runtime.batcher import padded_batch
from export.bundle import export, variants
from export.bundle.export import export_source
from export.bundle.variants import ExportOptions
from export.commands import EXPORT
from export.config import ExportStep
from export.graph.onnx_files import write_onnx
from export.huggingface.source import Original, load_huggingface
from serving.settings import Settings
from serving.telemetry.metrics import Metrics
from serving.worker.engine import Engine
from tests.export.huggingface.checkpoints import LABELS, make_clips
from tests.export.huggingface.conftest import Checkpoint
from tests.fake_cuda import FakeCuda

WINDOW = 480_000


@pytest.fixture(scope="module")
def predictor(hf_bundle: Path) -> emotions.Predictor:
    return emotions.load(hf_bundle, device="cpu", threads=1)


def clips_of(lengths: list[int]) -> list[FloatArray]:
    """Clips within -1 to 1, as files hold them."""
    waveform, length = make_clips(lengths, seed=2)
    return [row[:samples] / 4 for row, samples in zip(waveform.numpy(), length.tolist(), strict=True)]


def test_the_manifest_says_what_it_is(hf_bundle: Path, classifier: Checkpoint) -> None:
    manifest = read_bundle(hf_bundle).manifest
    assert manifest.name == "wav2vec2-emotion"
    assert manifest.targets == {"emotion": LABELS}
    assert manifest.window.model_dump() == {"samples": WINDOW, "hop_samples": WINDOW, "dynamic": True}
    assert [tensor.shape for tensor in manifest.inputs] == [("batch", "samples"), ("batch",)]
    assert manifest.model["model"] == "Wav2Vec2ForSequenceClassification"
    assert manifest.model["preprocessing"]["do_normalize"] is True
    assert manifest.encoder is not None
    assert manifest.encoder["family"] == "wav2vec2"
    assert set(manifest.encoder) == {"family", "weights_sha256"}
    for path in hf_bundle.iterdir():
        for trace in (str(classifier("wav2vec2-group")), str(Path.home()), "site-packages"):
            assert trace.encode() not in path.read_bytes(), path.name
    assert len(set(read_probe(read_bundle(hf_bundle)).length.tolist())) > 3


def test_the_report_holds_the_proof_against_transformers(hf_bundle: Path) -> None:
    figures = json.loads((hf_bundle / "report.json").read_text())["variants"]["fp32"]
    assert 0 < figures["max_abs_diff"] < figures["limits"]["max_abs_diff"] == 1e-4
    assert figures["batch_difference"] < 1e-5


def test_the_predictor_answers_as_transformers(
    predictor: emotions.Predictor, classifier: Checkpoint, write_wav: Callable[..., Path], tmp_path: Path
) -> None:
    original = load_huggingface(str(classifier("wav2vec2-group"))).original
    assert original is not None
    clips = clips_of([1_600, 16_000, 40_000, WINDOW + 30_000])
    for number, clip in enumerate(clips):
        windows = split(clip, predictor.manifest.window.spec)
        with torch.inference_mode():
            rows = [original(torch.from_numpy(row.copy())[None], torch.tensor([len(row)])) for row in windows.samples]
        weights = window_weights(windows.starts, windows.lengths, WINDOW)
        expected = pool(torch.cat([row[0] for row in rows]).numpy(), weights)
        answer = predictor.predict(clip)
        found = [answer.probabilities["emotion"][label] for label in LABELS]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        assert len(answer.windows) == len(windows) == (2 if len(clip) > WINDOW else 1)
        write_wav(tmp_path / f"{number}.wav", clip, subtype="FLOAT")
    files = predict_files(predictor, find_files([tmp_path]).files)
    for row, clip in zip(files, clips, strict=True):
        assert row.prediction is not None
        alone, together = predictor.predict(clip).probabilities, row.prediction.probabilities
        assert together["emotion"] == pytest.approx(alone["emotion"], abs=1e-5)


def test_on_a_gpus_shapes_the_answers_are_the_same(
    fake_cuda: FakeCuda, predictor: emotions.Predictor, hf_bundle: Path
) -> None:
    on_gpu = emotions.load(hf_bundle, device="cuda", threads=1)
    clips = clips_of([1_600, 16_000, 400, 40_000, 39_000, 2_640])
    windows = [split(clip, predictor.manifest.window.spec) for clip in clips]
    waveform = padded_batch([each.samples for each in windows], 0)
    length = np.concatenate([each.lengths for each in windows])
    expected, found = predictor.session.run(waveform, length), on_gpu.session.run(waveform, length)
    np.testing.assert_allclose(found["emotion"], expected["emotion"], rtol=0, atol=1e-5)
    for clip in clips:
        alone = predictor.predict(clip).probabilities["emotion"]
        assert on_gpu.predict(clip).probabilities["emotion"] == pytest.approx(alone, abs=1e-5)
    assert {*fake_cuda.runs} <= {1, 2, 4}


@pytest.mark.slow
def test_answers_of_a_thousand_mixed_requests_on_a_gpus_shapes_are_those_of_a_cpu(
    fake_cuda: FakeCuda, predictor: emotions.Predictor, hf_bundle: Path
) -> None:
    on_gpu = emotions.load(hf_bundle, device="cuda", threads=1)
    random = np.random.default_rng(0)
    for _ in range(1_000):
        lengths = np.clip(1_600 * random.lognormal(2.0, 0.8, random.integers(1, 7)), 400, 80_000).astype(int)
        waveform = padded_batch([random.normal(0, 0.1, (1, samples)).astype(np.float32) for samples in lengths], 0)
        expected, found = predictor.session.run(waveform, lengths), on_gpu.session.run(waveform, lengths)
        np.testing.assert_allclose(found["emotion"], expected["emotion"], rtol=0, atol=1e-5)
    assert {*fake_cuda.runs} <= {1, 2, 4, 8}


def test_the_service_answers_clips_of_any_length_together(predictor: emotions.Predictor, tmp_path: Path) -> None:
    clips = clips_of([1_600, 60_000, 400, 16_000])
    paths = [tmp_path / f"{number}.wav" for number in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        soundfile.write(path, clip, 16_000, subtype="FLOAT")

    async def classify() -> list[Any]:
        engine = Engine(predictor, Settings(bundle=predictor.bundle.path), Metrics(CollectorRegistry()))
        engine.warm_up()
        try:
            return await asyncio.gather(*(engine.classify(path) for path in paths))
        finally:
            engine.close()

    for answer, clip in zip(asyncio.run(classify()), clips, strict=True):
        expected = predictor.predict(clip).probabilities["emotion"]
        assert answer.prediction.probabilities["emotion"] == pytest.approx(expected, abs=1e-5)


def test_it_is_used_without_torch_and_without_a_network(hf_bundle: Path, tmp_path: Path) -> None:
    script = """
import socket, sys
def refuse(*_): raise AssertionError("the network was used")
socket.socket.connect = refuse
for name in ("torch", "onnx", "transformers", "training", "export"):
    sys.modules[name] = None
import emotions
print(emotions.load(sys.argv[1], device="cpu").predict(sys.argv[2]).label)
"""
    (clip,) = clips_of([1_600])
    soundfile.write(tmp_path / "clip.wav", clip, 16_000, subtype="FLOAT")
    command = [sys.executable, "-c", script, str(hf_bundle), str(tmp_path / "clip.wav")]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, encoding="utf-8")
    assert done.stdout.strip() == emotions.load(hf_bundle, device="cpu").predict(clip).label


def test_the_cards_snippet_runs(hf_bundle: Path, tmp_path: Path) -> None:
    card = (hf_bundle / "README.md").read_text(encoding="utf-8")
    (clip,) = clips_of([9_000])
    for file in hf_bundle.glob("model.onnx*"):
        (tmp_path / file.name).symlink_to(file)
    soundfile.write(tmp_path / "clip.wav", clip, 16_000, subtype="FLOAT")
    snippet = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert snippet is not None
    command = [sys.executable, "-X", "utf8", "-c", snippet[1]]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path, encoding="utf-8")
    expected = emotions.load(hf_bundle, device="cpu").predict(clip).probabilities["emotion"]
    assert eval(done.stdout) == pytest.approx(expected, abs=1e-5)  # noqa: S307
    assert "at most 480000 samples" in card
    assert "Hugging Face" in card


@pytest.mark.slow
def test_two_conversions_are_the_same_bytes(hf_bundle: Path, classifier: Checkpoint, tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from export.graph.deployable import Deployable
from export.huggingface.source import load_huggingface
from export.graph.onnx_files import write_onnx
from export.graph.packed import packed
from export.graph.to_onnx import to_onnx
source = load_huggingface(sys.argv[1])
graph = to_onnx(Deployable(source.classifier, ["emotion"]), source.window.samples, True)
write_onnx(Path("again.onnx"), packed(graph))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(export.__file__).parents[2])}
    command = [sys.executable, "-c", script, str(classifier("wav2vec2-group"))]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "again.onnx").read_bytes() == (hf_bundle / "model.onnx").read_bytes()


@pytest.mark.parametrize("name", ["short-ast", pytest.param("short-whisper", marks=pytest.mark.slow)])
def test_the_step_exports_models_of_a_fixed_length(
    classifier: Checkpoint, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    context = Context(classifier(name).parent, seed=0, workers=0, config={}, quiet=True)
    output = [str(tmp_path / "b")]
    step = ExportStep.model_validate({"source": f"hf:{name}", "output": output, "target": "mood", "name": "n"})
    EXPORT.run(step, context)
    assert "bundle: " in capsys.readouterr().out
    predictor = emotions.load(tmp_path / "b", device="cpu", threads=1)
    assert predictor.manifest.targets == {"mood": LABELS}
    assert predictor.manifest.window.samples == {"short-ast": 16_240, "short-whisper": 32_000}[name]
    assert predictor.manifest.window.dynamic
    assert predictor.predict(clips_of([1_600])[0]).label in LABELS


def test_weights_beyond_the_limit_lie_beside_the_graph(
    hf_bundle: Path, classifier: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.load(hf_bundle / "model.onnx"))
    for module in (export, variants):
        monkeypatch.setattr(module, "write_onnx", lambda path, graph: write_onnx(path, graph, limit=1_000))
    folder, wanted = str(classifier("wav2vec2-group")), ExportOptions(variants=("fp16",), allow_loss=True)
    bundle = export_source(lambda: load_huggingface(folder), tmp_path / "b", wanted=wanted)
    manifest = read_bundle(bundle).manifest
    assert (bundle / "model.onnx").stat().st_size < (bundle / "model.onnx.data").stat().st_size
    assert manifest.variants["fp32"].bytes > (bundle / "model.onnx.data").stat().st_size
    (clip,) = clips_of([5_000])
    expected = emotions.load(hf_bundle, device="cpu").predict(clip).probabilities["emotion"]
    assert emotions.load(bundle, device="cpu").predict(clip).probabilities["emotion"] == pytest.approx(expected)
    assert (bundle / "model.fp16.onnx.data").stat().st_size < (bundle / "model.onnx.data").stat().st_size
    half = emotions.load(bundle, device="cpu", variant="fp16").predict(clip).probabilities["emotion"]
    assert half == pytest.approx(expected, abs=0.02)


def test_a_forward_that_is_not_that_of_transformers_is_refused(
    hf_bundle: Path, classifier: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.load(hf_bundle / "model.onnx"))
    source = load_huggingface(str(classifier("wav2vec2-group")))
    assert isinstance(source.original, Original)
    source.original.extractor.do_normalize = False
    with pytest.raises(ExportError, match="does not answer as the model does: probabilities differ by"):
        export_source(lambda: replace(source, plan=replace(source.plan, whole=False)), tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_an_output_that_is_there_is_refused_before_anything_is_loaded(hf_bundle: Path) -> None:
    with pytest.raises(OutputExists):
        export_source(lambda: pytest.fail("something was loaded"), hf_bundle)


def test_a_target_is_for_classifiers_of_hugging_face(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["export", "--run", str(tmp_path), "--target", "mood", "--output", str(tmp_path / "b")]) == 2
    assert "a target or labels are named for checkpoints of others only" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["file", "a.b"])
def test_a_target_that_clashes_with_a_column_is_refused(classifier: Checkpoint, target: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a target"):
        load_huggingface(str(classifier("wav2vec2-group")), target)
