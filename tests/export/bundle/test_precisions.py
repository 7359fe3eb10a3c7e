"""Smaller variants: batches do not change them, the frontend stays, and the gate keeps out what loses too much."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from emotions.audio.windows import FloatArray, IntArray, Windows
from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import read_probe
from emotions.bundle.variants import choose_variant, lossy
from emotions.cli import run
from emotions.errors import ConfigError, ExportError
from emotions.runtime.batch_shape import Probabilities
from emotions.runtime.session import onnx_session, open_session
from export.bundle import variants
from export.bundle.export import export_run
from export.bundle.variants import ExportOptions
from export.commands import export_options
from export.graph.fp16 import to_half
from export.graph.int8 import to_int8
from export.proof.gate import MAX_DIFFERING, GateClips, Verdict, judge, share_bounds

LABELS = {"emotion": ["a", "b"]}


def nodes(path: Path) -> list[onnx.NodeProto]:
    return list(onnx.load(path).graph.node)


@pytest.mark.parametrize("variant", ["fp16", "int8"])
def test_a_variant_answers_alone_as_in_a_batch(full: Path, variant: str) -> None:
    bundle = read_bundle(full)
    session, probe = open_session(bundle, device="cpu", variant=variant), read_probe(bundle)
    together = session.run(probe.waveform * np.float32(3), probe.length)
    for row in range(len(probe.length)):
        alone = session.run(probe.waveform[row : row + 1] * np.float32(3), probe.length[row : row + 1])
        for target, values in together.items():
            np.testing.assert_allclose(alone[target][0], values[row], atol=1e-5)


def test_int8_leaves_the_frontend_alone(full: Path) -> None:
    found = nodes(full / "model.int8.onnx")
    frontend = [node for node in found if any("classifier.frontend" in name for name in node.input)]
    assert {node.op_type for node in frontend} >= {"MatMul"}
    assert not any(node.op_type in ("MatMulInteger", "QuantizeLinear") for node in frontend)
    assert sum(node.op_type == "MatMulInteger" for node in found) == 2
    assert sum(node.op_type == "DequantizeLinear" for node in found) > 20
    weights = onnx.load(full / "model.int8.onnx").graph.initializer
    assert (
        max(int(np.abs(onnx.numpy_helper.to_array(w)).max()) for w in weights if w.data_type == TensorProto.INT8) < 65
    )


def test_fp16_keeps_the_frontend_and_the_answers_in_fp32(full: Path) -> None:
    graph = onnx.load(full / "model.fp16.onnx").graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert all(kind != TensorProto.FLOAT16 for name, kind in kinds.items() if "frontend" in name)
    assert sum(kind == TensorProto.FLOAT16 for kind in kinds.values()) > 20
    assert {value.type.tensor_type.elem_type for value in graph.output} == {TensorProto.FLOAT}
    assert all(not name.endswith(".half") for node in graph.node if node.op_type == "Softmax" for name in node.input)


def test_the_same_bytes_come_out_twice(full: Path) -> None:
    graph, probe = onnx.load(full / "model.onnx"), read_probe(read_bundle(full))
    fixed = {"classifier.frontend.cosines", "classifier.frontend.sines", "classifier.frontend.bands"}
    inputs = {"waveform": probe.waveform, "length": probe.length}
    for make in (lambda: to_half(graph, fixed), lambda: to_int8(graph, inputs, fixed)):
        one, other = (make().SerializeToString(deterministic=True) for _ in range(2))
        assert one == other


def test_a_graph_with_branches_has_no_half() -> None:
    branch = onnx.helper.make_graph([], "b", [], [])
    node = onnx.helper.make_node("If", ["c"], ["y"], "n1", then_branch=branch, else_branch=branch)
    graph = onnx.helper.make_graph([node], "g", [], [])
    with pytest.raises(ExportError, match="node n1: fp16 graphs cannot hold branches"):
        to_half(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]))


def test_every_variant_is_verified_and_shown(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "verify", str(full)]) == 0
    assert "fp32 on cpu, fp16 on cpu, int8 on cpu answer its probe" in capsys.readouterr().out
    assert run(["info", str(full)]) == 0
    shown = capsys.readouterr().out
    assert "model.int8.onnx" in shown
    assert "embedding float32 [batch, 256]" in shown
    runs = "fp32" if "int8" in lossy(read_bundle(full).manifest) else "int8"  # the gate decides by the run's weights
    assert f"{runs} on cpu, unless another variant is asked for" in shown


def test_a_damaged_variant_is_found(full: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in full.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.ts").write_bytes(b"another")
    assert run(["bundle", "verify", str(tmp_path)]) == 2
    assert "model.ts is not the file that was exported" in capsys.readouterr().err


def clips(count: int, truth: list[int] | None = None) -> GateClips:
    one = Windows(np.zeros((1, 4), np.float32), np.array([4]), np.array([0]))
    known = {} if truth is None else {"emotion": truth}
    return GateClips([one] * count, [np.ones(1)] * count, known, "test", np.arange(count), count)


def answering(labels: list[int], sure: float = 0.505) -> object:
    rest = iter(labels)

    def run(_: FloatArray, __: IntArray) -> Probabilities:
        label = next(rest)
        return {"emotion": np.array([[sure, 1 - sure] if label == 0 else [1 - sure, sure]], np.float32)}

    return run


@pytest.mark.parametrize(
    ("count", "differing", "verdict"),
    [
        (20, 0, "too few clips to tell"),
        (100, 0, "kept"),
        (100, 3, "too few clips to tell"),
        (300, 5, "kept"),
        (300, 25, "refused"),
        (20, 8, "refused"),
    ],
)
def test_a_variant_is_kept_where_few_labels_are_shown_to_differ(count: int, differing: int, verdict: str) -> None:
    before, after = [0] * count, [1] * differing + [0] * (count - differing)
    found = judge(answering(before), answering(after), clips(count), LABELS)  # type: ignore[arg-type]
    assert (found.clips, found.judged, found.differing) == (count, count, differing)
    assert found.verdict == verdict
    assert (found.faults == []) == found.figures()["passed"] == (verdict == "kept")
    if verdict == "too few clips to tell":
        assert f"they do on {differing} of {count} clips, so it may be up to" in found.faults[0]


@pytest.mark.parametrize(("surer", "verdict"), [(0.515, "kept"), (0.6, "refused")])
def test_probabilities_may_change_a_little(surer: float, verdict: str) -> None:
    labels = [0, 1] * 100
    found = judge(answering(labels), answering(labels, surer), clips(200), LABELS)  # type: ignore[arg-type]
    assert (found.differing, found.verdict) == (0, verdict)
    assert found.change[0] == pytest.approx(surer - 0.505, abs=1e-6)


def test_uar_may_not_be_shown_to_fall() -> None:
    truth = [0] * 190 + [1] * 10
    one, five = [1, *truth[1:]], [*truth[:195], *[0] * 5]
    assert judge(answering(truth), answering(one), clips(200, truth), LABELS).faults == []  # type: ignore[arg-type]
    found = judge(answering(truth), answering(five), clips(200, truth), LABELS)  # type: ignore[arg-type]
    assert found.faults == ["UAR of emotion falls from 1.000 to 0.750 (at most 0.005 lower)"]


@pytest.mark.slow
@pytest.mark.parametrize(("recordings", "copies"), [(20, 9), (50, 3), (200, 0), (1_000, 0)])
def test_a_verdict_is_wrong_in_at_most_5_of_100_cases(
    recordings: int, copies: int, capsys: pytest.CaptureFixture[str]
) -> None:
    units, cases, told = np.tile(np.arange(recordings), copies + 1), 1_000, []
    for rate in (0.001, 0.01, 0.05, 0.1, 0.2):
        random = np.random.default_rng(recordings)
        own = random.beta(rate * 9, (1 - rate) * 9, (cases, recordings))  # a correlation of 0.1 between copies
        found = [share_bounds((random.random(len(units)) < each[units]) * 1.0, units) for each in own]
        kept = np.mean([high <= MAX_DIFFERING for _, high in found])
        refused = np.mean([low > MAX_DIFFERING for low, _ in found])
        told.append(f"{rate}: {kept:.3f}/{refused:.3f}")
        assert (kept if rate >= MAX_DIFFERING else 0) <= 0.064  # a binomial of 0.05 lies above it once in 40
        assert (refused if rate <= MAX_DIFFERING else 0) <= 0.064
    with capsys.disabled():
        print(f"\n{recordings} recordings, {copies} copies of each, kept/refused: " + ", ".join(told))


def test_what_loses_too_much_is_left_out_with_its_figures(
    trained_run: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from export.bundle import export

    lossy = Verdict("test", 50, 50, 9, (0.1, 0.3), (0.0, 0.1), {"эмоция": (0.9, 0.7)}, {"эмоция": 0.1})
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.load(bundle / "model.onnx"))
    monkeypatch.setattr(variants, "judge", lambda *_: lossy)
    command = ["export", "--run", str(trained_run), "--variant", "int8", "--output"]
    assert run([*command, str(tmp_path / "strict")]) == 0
    said = capsys.readouterr().out
    assert "int8: REFUSED; labels differ on 9 of 50 clips, 10.0% to 30.0% (at most 5%), probabilities by" in said
    assert "UAR of эмоция 0.900 to 0.700" in said
    assert list(read_bundle(tmp_path / "strict").manifest.variants) == ["fp32"]
    assert not (tmp_path / "strict" / "model.int8.onnx").exists()
    assert json.loads((tmp_path / "strict" / "report.json").read_text())["refused"]["int8"]["differing"] == 9
    assert run([*command, str(tmp_path / "lax"), "--allow-loss"]) == 0
    kept = read_bundle(tmp_path / "lax")
    assert list(kept.manifest.variants) == ["fp32", "int8"]
    assert choose_variant(kept, "cpu") == "fp32"
    assert "**int8 loses more than it may (labels differ" in (tmp_path / "lax" / "README.md").read_text()
    capsys.readouterr()
    assert run(["info", str(tmp_path / "lax")]) == 0
    assert "loses, or may lose, more than it may: runs only when named" in capsys.readouterr().out


def test_a_model_that_cannot_compute_in_eight_bits_stores_its_weights_in_them(
    trained_run: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lossy = Verdict("test", 50, 50, 9, (0.1, 0.3), (0.0, 0.01), {}, {})
    verdicts = [lossy, Verdict("test", 200, 200, 0, (0.0, 0.01), (0.0, 0.001), {}, {})]
    monkeypatch.setattr(variants, "judge", lambda *_: verdicts.pop(0))
    output = tmp_path / "b"
    assert run(["export", "--run", str(trained_run), "--variant", "int8", "--output", str(output)]) == 0
    form = "weights in eight bits, computed in fp32, as in eight bits labels differ from fp32's on 9 of 50 clips"
    assert f"{form}, more than 5%" in " ".join(capsys.readouterr().out.split())
    assert f"int8: {form}" in (output / "README.md").read_text()
    made = read_bundle(output)
    assert made.manifest.variants["int8"].bytes < 0.8 * made.manifest.variants["fp32"].bytes
    assert made.manifest.variants["int8"].device == "any"
    assert choose_variant(made, "cpu") == choose_variant(made, "cuda") == "fp32"  # it is smaller, but not faster
    assert not {node.op_type for node in nodes(output / "model.int8.onnx")} & {"MatMulInteger", "QuantizeLinear"}
    probe = read_probe(made)
    fp32, int8 = (open_session(made, device="cpu", variant=each).run for each in ("fp32", "int8"))
    for target, values in fp32(probe.waveform, probe.length).items():
        np.testing.assert_allclose(int8(probe.waveform, probe.length)[target], values, atol=0.05)


@pytest.mark.parametrize("small", ["fits", "loses"])
def test_eight_bits_that_are_slower_than_fp32_do_not_run_by_default(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: str
) -> None:
    good = Verdict("test", 200, 200, 0, (0.0, 0.01), (0.0, 0.001), {}, {})
    lossy = Verdict("test", 50, 50, 9, (0.1, 0.3), (0.0, 0.01), {}, {})
    verdicts = [good, good if small == "fits" else lossy]
    monkeypatch.setattr(variants, "judge", lambda *_: verdicts.pop(0))
    monkeypatch.setattr(variants, "relative_speed", lambda *_: 0.8)
    path = export_run(trained_run, tmp_path / "b", wanted=ExportOptions(variants=("int8",)))
    form = json.loads((path / "report.json").read_text())["variants"]["int8"]["form"]
    assert form == (
        "weights in eight bits, computed in fp32, as in eight bits it has 0.80 of fp32's speed"
        if small == "fits"
        else "runs where it is named: it has 0.80 of fp32's speed"
    )
    assert choose_variant(read_bundle(path), "cpu") == "fp32"


def test_recordings_that_are_named_judge_variants(
    trained_run: Path, corpus: Path, exported_before: None, tmp_path: Path
) -> None:
    path = export_run(
        trained_run / "best.ckpt",
        tmp_path / "b",
        data=corpus,
        wanted=ExportOptions(variants=("int8",), allow_loss=True),
    )
    gate = json.loads((path / "report.json").read_text())["variants"]["int8"]["gate"]
    assert (gate["source"], gate["clips"]) == ("recordings that the user named", 20)
    assert set(gate["uar"]) == {"эмоция", "state"}


def test_an_unknown_form_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"--variant: 'int4' is none; did you mean 'int8'\? allowed: fp16, int8"):
        export_options(["onnx"], ["int4"])
    with pytest.raises(ConfigError, match="--format: 'torchscrip' is none; did you mean 'torchscript'"):
        export_options(["torchscrip"], [])


def test_a_variant_needs_nothing_but_onnxruntime(full: Path) -> None:
    session = onnx_session(full / "model.int8.onnx", threads=1)
    assert [value.name for value in session.get_outputs()] == ["эмоция", "state", "embedding"]
