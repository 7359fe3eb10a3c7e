"""Frames in blocks of eight: what fused kernels of GPUs take, with the answers of the plain graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM
from export.bundle.export import export_source
from export.bundle.variants import ExportOptions
from export.graph.deployable import Deployable
from export.graph.fp16 import HALF
from export.graph.frame_blocks import FRAMES, frame_blocks
from export.graph.fuse_attention import OPERATOR
from export.graph.to_onnx import to_onnx
from export.huggingface.source import load_huggingface
from export.proof.signals import synthetic_voices
from export.sources import Source
from tests.conftest import BuildOnce
from tests.export.conftest import Standin
from tests.export.huggingface.checkpoints import make_classifier
from tests.training.models.encoders import make_encoder
from training.config.train import ModelSpec
from training.models.registry import build_model

WINDOW = 16_000
LENGTHS = (400, 720, 2_640, 5_432, 9_000, 15_999, WINDOW)
"""1, 2, 8, 16, 27, 49 and 49 frames."""
TARGETS = {"emotion": ["angry", "happy", "neutral"]}
SLOW = pytest.mark.slow


def batch() -> tuple[FloatArray, IntArray]:
    """Voices of several lengths, with noise past their ends."""
    random = np.random.default_rng(0)
    waveform = random.normal(0, 0.1, (len(LENGTHS), WINDOW)).astype(np.float32)
    for row, (samples, voice) in enumerate(zip(LENGTHS, synthetic_voices(len(LENGTHS), WINDOW, 1), strict=True)):
        waveform[row, : min(samples, len(voice))] = voice[:samples]
    return waveform, np.array(LENGTHS, np.int64)


def checkpoint(kind: str, build_once: BuildOnce) -> Source:
    return load_huggingface(str(build_once(f"classifier-{kind}", lambda folder: make_classifier(folder / kind, kind))))


def fused(model: ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == OPERATOR]


def run(model: ModelProto, waveform: FloatArray, length: IntArray) -> tuple[FloatArray, set[int]]:
    """The first target's probabilities, and the frames that attention was computed for."""
    shown = ModelProto()
    shown.CopyFrom(model)
    for node in fused(model):
        kind = TensorProto.FLOAT16 if node.output[0].endswith(HALF) else TensorProto.FLOAT
        shown.graph.output.append(helper.make_tensor_value_info(node.output[0], kind, None))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session.run(None, {WAVEFORM: waveform, LENGTH: length})
    return answers[0], {each.shape[1] for each in answers[len(model.graph.output) :]}


def check(plain: ModelProto, blocks: ModelProto, tolerance: float) -> None:
    """Whole blocks, and the same answers: together, alone, and cut to the longest of a batch."""
    assert len(fused(blocks)) == len(fused(plain)) > 0
    # A bias, (batch, heads or 1, frames, frames), and no mask of keys: what kernels take on every card.
    assert all(len(node.input) == 6 and not any(node.input[3:5]) and node.input[5] for node in fused(blocks))
    waveform, length = batch()
    expected, found_frames = run(plain, waveform, length)
    found, frames = run(blocks, waveform, length)
    assert any(count % FRAMES for count in found_frames)
    assert all(count % FRAMES == 0 for count in frames)
    assert np.abs(expected - expected[0]).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    for row in range(len(length)):
        alone, frames = run(blocks, waveform[row : row + 1], length[row : row + 1])
        assert all(count % FRAMES == 0 for count in frames)
        np.testing.assert_allclose(alone[0], found[row], rtol=0, atol=max(1e-5, tolerance))


@pytest.mark.parametrize(
    "kind", ["wavlm-layer", *(pytest.param(kind, marks=SLOW) for kind in ("wav2vec2-layer-weighted", "hubert-layer"))]
)
def test_windows_of_any_length_have_whole_blocks_and_the_same_answers(kind: str, build_once: BuildOnce) -> None:
    source = checkpoint(kind, build_once)
    model = Deployable(source.classifier, list(source.targets))
    plain = to_onnx(model, WINDOW, dynamic=True)
    with frame_blocks(model) as changed:
        blocks = to_onnx(model, WINDOW, dynamic=True)
    assert changed
    check(plain, blocks, 1e-5)
    waveform, length = batch()
    for samples in LENGTHS[1:5]:
        rows = length <= samples
        cut, frames = run(blocks, waveform[rows, :samples], length[rows])
        assert all(count % FRAMES == 0 for count in frames)
        np.testing.assert_allclose(cut, run(plain, waveform, length)[0][rows], rtol=0, atol=1e-5)
    assert to_onnx(model, WINDOW, dynamic=True) == plain, "the model is left as it was"


@SLOW
@pytest.mark.parametrize("kind", ["wav2vec2-layer", "hubert-group", "wavlm-group"])
def test_windows_of_one_size_have_whole_blocks_and_the_same_answers(kind: str, tmp_path: Path) -> None:
    spec = ModelSpec(
        model="Wav2Vec2FnClassifier",
        architecture={
            "encoder": str(make_encoder(tmp_path / kind, kind)),
            "embedding": "weighted",
            "conv_h_count": 1,
            "conv_w_count": 1,
            "layer_1_size": 8,
            "layer_2_size": 8,
        },
        window_samples=WINDOW,
        spectrogram_size=32,
        targets=TARGETS,
    )
    classifier = build_model(spec).eval()
    model = Deployable(classifier, list(TARGETS), 0.02)
    with frame_blocks(model):
        blocks = to_onnx(model, WINDOW)
    check(to_onnx(model, WINDOW), blocks, 1e-4)


@SLOW
def test_fp16_alone_has_whole_blocks(build_once: BuildOnce, tmp_path: Path) -> None:
    source = checkpoint("wav2vec2-group", build_once)
    bundle = export_source(lambda: source, tmp_path / "b", wanted=ExportOptions(variants=("fp16",), allow_loss=True))
    plain, half = (onnx.load(bundle / name) for name in ("model.onnx", "model.fp16.onnx"))
    check(plain, half, 1e-2)


def test_models_without_masked_frames_are_left_alone(build_once: BuildOnce) -> None:
    models = [Standin({"x": 2}), checkpoint("short-ast", build_once).classifier]
    for model in models:
        with frame_blocks(model) as changed:
            assert not changed
