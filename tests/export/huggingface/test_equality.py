"""Equal to transformers on each clip alone, whatever batch it rides in, from 0.025 s to a whole window."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.graph.to_onnx import to_onnx
from export.huggingface.filterbanks import KaldiFilterbank, SpectralClassifier
from export.huggingface.source import load_huggingface
from export.sources import Source
from tests.export.huggingface.checkpoints import OTHERS, SPEECH, make_clips
from tests.export.huggingface.conftest import Checkpoint
from tests.export.importers.layouts import assert_equals
from tests.training.models.encoders import TINY

pytestmark = pytest.mark.slow

EXPORTED = ["wav2vec2-group", "wav2vec2-layer-weighted", "hubert-group", "wavlm-layer", "ast", "whisper"]
OTHER_EXPORTED = [
    "data2vec", "unispeech-sat", "conformer-relative", "conformer-rotary", "sew-thirds", "bert", "bert-weighted",
]  # fmt: skip
SHORT = [400, 719, 1_600, 5_432, 16_000]


def expected_of(source: Source, waveform: Tensor, length: Tensor) -> Tensor:
    """What transformers itself answers, clip by clip."""
    original = source.original
    assert original is not None
    with torch.inference_mode():
        return torch.cat([original(waveform[row : row + 1], length[row : row + 1])[0] for row in range(len(length))])


@pytest.mark.parametrize("name", [*SPEECH, *OTHERS, "short-ast", "short-whisper"])
def test_torch_equals_transformers(classifier: Checkpoint, name: str) -> None:
    source = load_huggingface(str(classifier(name)))
    waveform, length = make_clips([samples for samples in SHORT if samples <= source.window.samples])
    expected = expected_of(source, waveform, length)
    model = Deployable(source.classifier, ["emotion"])
    with torch.inference_mode():
        (found,) = model(waveform, length)
        (silent,) = model(torch.zeros(1, 8_000), torch.tensor([8_000]))
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)
    assert float((expected.amax(0) - expected.amin(0)).max()) > 0.05
    assert bool(silent.isfinite().all())


@pytest.mark.parametrize("name", EXPORTED)
def test_onnx_equals_transformers(classifier: Checkpoint, hf_bundle: Path, tmp_path: Path, name: str) -> None:
    source = load_huggingface(str(classifier(name)))
    window, graph = source.window.samples, tmp_path / "model.onnx"
    if name == "wav2vec2-group":
        graph = hf_bundle / "model.onnx"  # seconds saved: that bundle is of the same classifier
    else:
        onnx.save(to_onnx(Deployable(source.classifier, ["emotion"]), window, True), graph)
    session = onnx_session(graph, threads=1)

    def answer(waveform: Tensor, length: Tensor) -> np.ndarray:
        feed = {"waveform": waveform.numpy(), "length": length.numpy()}
        return session.run(["emotion"], feed)[0]  # type: ignore[no-any-return]

    waveform, length = make_clips([1_600, window, 400, 40_000, window // 2])
    expected = expected_of(source, waveform, length).numpy()
    tolerance = 5e-4 if name == "ast" else 1e-4
    together = answer(waveform, length)
    np.testing.assert_allclose(together, expected, rtol=0, atol=tolerance)
    for row, samples in enumerate(length.tolist()):
        alone = answer(waveform[row : row + 1, :samples].contiguous(), length[row : row + 1])
        np.testing.assert_allclose(alone[0], expected[row], rtol=0, atol=tolerance)
        np.testing.assert_allclose(alone[0], together[row], rtol=0, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.05
    assert operators(graph)["MultiHeadAttention"] == 2
    masked = {len(node.input) > 3 for node in onnx.load(graph).graph.node if node.op_type == "MultiHeadAttention"}
    assert masked == {name in SPEECH}, "kernels fuse attention without a mask for any number of frames"


@pytest.mark.parametrize("name", OTHER_EXPORTED)
def test_onnx_of_other_encoders_equals_transformers(classifier: Checkpoint, tmp_path: Path, name: str) -> None:
    source = load_huggingface(str(classifier(name)))
    original = source.original
    assert original is not None
    assert_equals(source, lambda clip: original(clip[None], torch.tensor([len(clip)]))[0][0], tmp_path / "model.onnx")


def test_attention_of_base_size_becomes_one_node_without_a_mask() -> None:
    features = KaldiFilterbank(ASTFeatureExtractor())  # type: ignore[no-untyped-call]
    config = ASTConfig(num_hidden_layers=1)
    config._attn_implementation = "sdpa"
    classifier = SpectralClassifier(features, ASTForAudioClassification(config).eval(), "emotion")
    graph = to_onnx(Deployable(classifier, ["emotion"]), 16_000, dynamic=True)
    (node,) = [node for node in graph.graph.node if node.op_type == "MultiHeadAttention"]
    assert len(node.input) == 3
    assert config._attn_implementation == "sdpa", "what the proof compares with is left as it was"


def operators(graph: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(graph).graph.node)


def test_what_onnx_runtime_has_as_one_node_becomes_one(hf_bundle: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(hf_bundle / "model.onnx", options, providers=["CPUExecutionProvider"])
    found = operators(tmp_path / "optimised.onnx")
    assert (found["MultiHeadAttention"], found["BiasGelu"], found["SkipLayerNormalization"]) == (2, 2, 5)
    assert (found["Gelu"], found["Erf"]) == (len(TINY["conv_dim"]) + 1, 0)
    assert found["Softmax"] == 1  # of the answer


def test_a_model_that_listens_past_the_window_is_cut(classifier: Checkpoint) -> None:
    source = load_huggingface(str(classifier("short-whisper")))
    waveform, _ = make_clips([source.window.samples + 4_000])
    length = torch.tensor([source.window.samples])
    with torch.inference_mode():
        whole = source.classifier(waveform, length)["emotion"]
        cut = source.classifier(waveform[:, : int(length[0])], length)["emotion"]
    assert torch.equal(whole, cut)
