"""A bare ONNX classifier: the bundle answers as the file does for each clip alone, or a line says why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torchaudio.functional import resample

import emotions
from emotions.cli import run
from emotions.errors import ConfigError, ExportError
from emotions.runtime.session import onnx_session
from export.graph.onnx_files import write_onnx
from export.importers.onnx_file.importer import OnnxOptions, onnx_source
from tests.export.huggingface.checkpoints import make_clips
from tests.export.importers.layouts import LENGTHS
from tests.export.importers.onnx_file.graphs import LABELS, make_model, write_model

SHAPES: dict[str, dict[str, Any]] = {
    "rows": {},
    "one row": {"shape": [1, "samples"], "scores": [1, 3], "softmax": True},
    "samples": {"shape": ["samples"]},
    "a channel": {"shape": ["batch", 1, "samples"], "opset": 13},
}


def source_of(path: Path, **options: Any) -> Any:
    return onnx_source(path, OnnxOptions(**{"labels": LABELS, **options}))


def expected(path: Path, clip: np.ndarray, rank: int, *, softmax: bool) -> np.ndarray:
    """What the file itself answers for a clip alone: (classes,) probabilities."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"sound": clip.reshape([1] * (rank - 1) + [-1])})
    scores = np.asarray(found).reshape(-1)
    powers = np.exp(scores - scores.max())
    return scores if softmax else powers / powers.sum()


@pytest.mark.parametrize("name", SHAPES)
def test_each_clip_of_a_batch_is_answered_as_if_it_were_alone(tmp_path: Path, name: str) -> None:
    options = SHAPES[name]
    path = write_model(tmp_path / "others.onnx", **options)
    source = source_of(path)
    write_onnx(tmp_path / "model.onnx", source.graph)
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    waveform, length = (value.numpy() for value in make_clips(LENGTHS, seed=3))
    rank = len(options.get("shape", [0, 0]))
    clips = [row[:samples] for row, samples in zip(waveform, length.tolist(), strict=True)]
    wanted = np.stack([expected(path, clip, rank, softmax=options.get("softmax", False)) for clip in clips])
    (together,) = session.run(["emotion"], {"waveform": waveform, "length": length})
    np.testing.assert_allclose(together, wanted, rtol=0, atol=1e-6)
    for row, clip in enumerate(clips):
        feed = {"waveform": clip[None], "length": length[row : row + 1]}
        assert np.array_equal(session.run(["emotion"], feed)[0][0], together[row])
    assert np.ptp(wanted, axis=0).max() > 0.05
    assert source.description["config"]["output_kind"] == ("probabilities" if options.get("softmax") else "logits")


def test_a_file_becomes_a_bundle_that_answers_as_it_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path / "others.onnx")
    command = ["export", "--onnx", str(path), "--labels", ",".join(LABELS), "--target", "mood"]
    assert run([*command, "--output", str(tmp_path / "b")]) == 0
    assert "importer: onnx" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "b" / "manifest.json").read_text())
    assert (manifest["targets"], manifest["extra"]["importer"]) == ({"mood": [*LABELS]}, "onnx")
    clip = np.random.default_rng(1).normal(0, 0.1, 20_000).astype(np.float32)
    found = emotions.load(tmp_path / "b").predict(clip).probabilities["mood"]
    np.testing.assert_allclose([*found.values()], expected(path, clip, 2, softmax=False), rtol=0, atol=1e-5)


def test_a_file_that_takes_no_short_clips_gets_zeros_after_them(tmp_path: Path) -> None:
    wide = numpy_helper.from_array(np.random.default_rng(0).normal(0, 0.3, (8, 1, 3_000)).astype(np.float32), "filters")
    model = make_model()
    kept = [tensor for tensor in model.graph.initializer if tensor.name != "filters"]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, wide])
    onnx.save(model, tmp_path / "others.onnx")
    source = source_of(tmp_path / "others.onnx")
    assert source.description["config"]["shortest"] == 3_200
    write_onnx(tmp_path / "model.onnx", source.graph)
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    clip = np.random.default_rng(1).normal(0, 0.1, 500).astype(np.float32)
    (found,) = session.run(["emotion"], {"waveform": clip[None], "length": np.array([500])})
    wanted = expected(tmp_path / "others.onnx", np.pad(clip, (0, 2_700)), 2, softmax=False)
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
def test_a_file_for_another_sampling_rate_gets_that(tmp_path: Path, rate: int) -> None:
    path = write_model(tmp_path / "others.onnx")
    source = source_of(path, sampling_rate=rate)
    write_onnx(tmp_path / "model.onnx", source.graph)
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    waveform, length = (value.numpy() for value in make_clips(LENGTHS, seed=3))
    (together,) = session.run(["emotion"], {"waveform": waveform, "length": length})
    for row, samples in enumerate(length.tolist()):
        clip = waveform[row, : max(samples, source.description["config"]["shortest"])].copy()
        clip[samples:] = 0
        resampled = resample(torch.from_numpy(clip), 16_000, rate).numpy()
        np.testing.assert_allclose(together[row], expected(path, resampled, 2, softmax=False), rtol=0, atol=1e-5)
        feed = {"waveform": waveform[row : row + 1, :samples], "length": length[row : row + 1]}
        np.testing.assert_allclose(session.run(["emotion"], feed)[0][0], together[row], rtol=0, atol=1e-6)


def tensor(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def node(name: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(name, inputs, [f"{name}.out"], **attributes)


SOUND = tensor("sound", ["batch", "samples"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"inputs": [SOUND, tensor("mask", ["batch", "samples"])]}, r"has 2 inputs \(sound, mask\)"),
        ({"outputs": [tensor("scores", ["b", 3]), tensor("mean", ["b", 8])]}, r"has 2 outputs \(scores, mean\)"),
        ({"shape": ["batch", 16_000]}, "takes exactly 16,000 samples"),
        ({"shape": [4, "samples"]}, r"takes sound of \[4, 0\]; a waveform has one channel"),
        ({"shape": ["batch", 2, "samples"]}, "a waveform has one channel"),
        ({"shape": ["batch", 1, 1, "samples"]}, "takes sound of 4 axes"),
        ({"inputs": [tensor("sound", ["b", "s"], TensorProto.DOUBLE)]}, "is not valid ONNX|another type than float32"),
        ({"scores": ["batch", 7]}, "is not valid ONNX|gives 7 scores, and --labels names 3"),
        ({"opset": 12}, "is of opset 12; only 13 and later"),
        ({"extra": [node("Own", "sound", domain="com.others")]}, r"has the custom operator com\.others\.Own"),
        ({"extra": [node("Missing", "sound")]}, "is not valid ONNX"),
    ],
)
def test_what_is_no_classifier_of_a_waveform_is_refused(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    path = write_model(tmp_path / "others.onnx", **options)
    with pytest.raises(ConfigError, match=rf"^--onnx: others\.onnx .*({match})") as raised:
        source_of(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("target", ["scores", "sound", "row", "rows"])
def test_a_target_may_be_called_like_a_value_of_the_file(tmp_path: Path, target: str) -> None:
    source = source_of(write_model(tmp_path / "others.onnx"), target=target)
    write_onnx(tmp_path / "model.onnx", source.graph)
    feed = {"waveform": np.zeros((2, 800), np.float32), "length": np.array([800, 500])}
    assert onnx_session(tmp_path / "model.onnx", threads=1).run([target], feed)[0].shape == (2, 3)


def test_branches_of_the_file_are_taken_along(tmp_path: Path) -> None:
    branches = {
        name: helper.make_graph(
            [helper.make_node(kind, ["scores.raw"], [f"{name}.out"])], name, [], [tensor(f"{name}.out", ["b", 3])]
        )
        for name, kind in (("then_branch", "Neg"), ("else_branch", "Identity"))
    }
    model = make_model()
    model.graph.node[-1].output[0] = "scores.raw"
    model.graph.node.append(helper.make_node("If", ["yes"], ["scores"], **branches))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    onnx.save(model, tmp_path / "others.onnx")
    source = source_of(tmp_path / "others.onnx")
    write_onnx(tmp_path / "model.onnx", source.graph)
    clip = np.random.default_rng(1).normal(0, 0.1, 2_000).astype(np.float32)
    feed = {"waveform": clip[None], "length": np.array([2_000])}
    (found,) = onnx_session(tmp_path / "model.onnx", threads=1).run(["emotion"], feed)
    np.testing.assert_allclose(found[0], expected(tmp_path / "others.onnx", clip, 2, softmax=False), rtol=0, atol=1e-6)


def test_a_loop_without_a_known_end_is_refused(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["goes"])],
        "body",
        [tensor("i", [], TensorProto.INT64), tensor("go", [], TensorProto.BOOL)],
        [tensor("goes", [], TensorProto.BOOL)],
    )
    path = write_model(tmp_path / "others.onnx", extra=[helper.make_node("Loop", ["", ""], [], body=body)])
    with pytest.raises(ConfigError, match="has the operator Loop, whose end nobody knows"):
        source_of(path)


def test_a_value_of_absurd_size_is_refused(tmp_path: Path) -> None:
    size = numpy_helper.from_array(np.array([10**11], np.int64), "size")
    model = make_model(extra=[helper.make_node("ConstantOfShape", ["size"], ["huge"])])
    model.graph.initializer.append(size)
    onnx.save(model, tmp_path / "others.onnx")
    with pytest.raises(ConfigError, match="makes huge of 100,000,000,000 numbers"):
        source_of(tmp_path / "others.onnx")


def test_an_operator_that_no_gpu_runs_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "others.onnx", extra=[helper.make_node("RandomNormalLike", ["sound"], ["noise"])])
    with pytest.raises(ExportError, match="ONNX Runtime has no RandomNormalLike for GPUs"):
        source_of(path)


def constant_model() -> ModelProto:
    model = make_model()
    weight = next(each for each in model.graph.initializer if each.name == "weight")
    weight.CopyFrom(numpy_helper.from_array(np.zeros((8, 3), np.float32), "weight"))
    return model


def test_answers_that_do_not_depend_on_the_input_prove_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(constant_model(), tmp_path / "others.onnx")
    command = ["export", "--onnx", str(tmp_path / "others.onnx"), "--labels", "a,b,c", "--output", str(tmp_path / "b")]
    assert run(command) != 0
    assert "gives every recording the same probabilities" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "softmax", "match"),
    [
        ({"output_kind": "probabilities"}, False, "do not add up to 1, so they are no probabilities"),
        ({"output_kind": "logits"}, True, "add up to 1, so they are no logits"),
        ({"output_kind": "scores"}, True, "--output-kind: 'scores' is none; allowed are logits and probabilities"),
        ({"sampling_rate": 400}, True, "--sampling-rate: 400; allowed are 4000 to 96000 Hz"),
        ({"sampling_rate": 15_999}, True, "--sampling-rate: 15999; 16000 Hz and that have too little in common"),
        ({"labels": ("a", "b")}, True, "gives 3 scores, and --labels names 2"),
    ],
)
def test_what_the_user_says_has_to_be_so(tmp_path: Path, options: dict[str, Any], softmax: bool, match: str) -> None:
    path = write_model(tmp_path / "others.onnx", softmax=softmax)
    with pytest.raises(ConfigError, match=match):
        source_of(path, **options)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--onnx", "m.onnx"], "name its labels with --labels"),
        (["--from", "m", "--output-kind", "logits"], "is named for --onnx only"),
        (["--onnx", "m.onnx", "--labels", "a,b,c", "--variant", "int8"], "no other format, variant or embedding"),
        (["--onnx", "m.onnx", "--from", "m"], "say what to export"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    match: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "m.onnx")
    assert run(["export", *arguments]) != 0
    assert match in " ".join(capsys.readouterr().err.split())
