"""A model repository for Triton: names, types and shapes are the bundle's, and the text is what Triton parses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.http as triton

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.cli import run
from export.triton import MAX_BATCH, config
from tests.conftest import make_tiny_bundle

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "triton.md").read_text(encoding="utf-8")
TOKEN = re.compile(r'\s*(?:(\w+)\s*:?|"((?:[^"\\]|\\.)*)"|([{}\[\],]))')


def parsed(text: str) -> dict[str, list[Any]]:
    """Protobuf's text format, as far as a model's configuration uses it: field -> values."""
    tokens = [(word, quoted, mark) for word, quoted, mark in TOKEN.findall(text)]
    assert TOKEN.sub("", text).strip() == ""

    def message(end: str | None) -> dict[str, list[Any]]:
        fields: dict[str, list[Any]] = {}
        while tokens and tokens[0][2] != end:
            (name, _, _) = tokens.pop(0)
            fields.setdefault(name, []).extend(value())
        if end:
            tokens.pop(0)
        return fields

    def value() -> list[Any]:
        word, quoted, mark = tokens.pop(0)
        if mark == "{":
            return [message("}")]
        if mark != "[":
            return [int(word) if word.isdigit() else word or quoted]
        values: list[Any] = []
        while tokens[0][2] != "]":
            if tokens[0][2] == ",":
                tokens.pop(0)
            else:
                values += value()
        tokens.pop(0)
        return values

    return message(None)


def test_the_configuration_is_the_bundles(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    fields = parsed(config(bundle, "mine"))
    assert fields["name"] == ["mine"]
    assert fields["platform"] == ["onnxruntime_onnx"]
    assert fields["max_batch_size"] == [64]
    assert fields["dynamic_batching"][0]["max_queue_delay_microseconds"] == [500]
    waveform, length = fields["input"]
    assert (waveform["name"], waveform["data_type"]) == (["waveform"], ["TYPE_FP32"])
    assert waveform["dims"] == [bundle.manifest.window.samples]
    assert (length["name"], length["data_type"], length["dims"]) == (["length"], ["TYPE_INT64"], [1])
    assert length["reshape"] == [{"shape": []}]
    assert [(out["name"], out["dims"]) for out in fields["output"]] == [
        ([target], [len(labels)]) for target, labels in bundle.manifest.targets.items()
    ]


def test_the_command_writes_a_repository(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, repository = read_bundle(tiny_bundle), tmp_path / "models"
    command = ["bundle", "to-triton", str(tiny_bundle), str(repository), "--name", "mine"]
    assert run(command) == 0
    assert capsys.readouterr().out == f"{repository / 'mine'}\n"
    model = repository / "mine" / "1" / "model.onnx"
    assert model.read_bytes() == (tiny_bundle / "model.onnx").read_bytes()
    fields = parsed((repository / "mine" / "config.pbtxt").read_text())
    assert fields["default_model_filename"] == ["model.onnx"]
    for output, labels in zip(fields["output"], bundle.manifest.targets.values(), strict=True):
        (file,) = output["label_filename"]
        assert (repository / "mine" / file).read_text().splitlines() == labels
    assert run(command) == 2
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--variant", "int8"], "has no ONNX variant 'int8'"), (["--name", "../x"], "is no folder name")],
)
def test_what_cannot_be_written_is_said(
    tiny_bundle: Path, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bundle", "to-triton", str(tiny_bundle), str(tmp_path / "models"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


class Server:
    """Stands in for Triton: checks a request against ``config.pbtxt`` as it does, and runs the repository's graph."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self.batches: list[int] = []

    def __call__(self, address: str) -> Server:
        assert address == "127.0.0.1:8000"
        return self

    def infer(self, name: str, inputs: Sequence[triton.InferInput]) -> Server:
        fields = parsed((self._repository / name / "config.pbtxt").read_text())
        arrays = {}
        for declared, given in zip(fields["input"], inputs, strict=True):
            (kind,) = declared["data_type"]
            assert ([given.name()], f"TYPE_{given.datatype()}") == (declared["name"], kind)
            batch, *dims = given.shape()
            assert batch <= fields["max_batch_size"][0]
            assert [declared["dims"]] == [dims]
            dtype = {"TYPE_FP32": np.float32, "TYPE_INT64": np.int64}[kind]
            array = np.frombuffer(given._get_binary_data(), dtype)
            arrays[given.name()] = array.reshape(batch) if "reshape" in declared else array.reshape(batch, *dims)
        self.batches.append(batch)
        graph = self._repository / name / "1" / fields["default_model_filename"][0]
        names = [output["name"][0] for output in fields["output"]]
        values = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(names, arrays)
        self._answer = dict(zip(names, values, strict=True))
        return self

    def as_numpy(self, name: str) -> Any:
        return self._answer[name]


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.7, 70.3])
def test_the_client_of_the_page_gets_the_toolkits_answer(
    seconds: float,
    tmp_path: Path,
    write_wav: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = make_tiny_bundle(tmp_path / "bundles" / "mine", pooling="coverage")
    rng = np.random.default_rng(0)
    write_wav(Path("clip.wav"), 0.1 * rng.standard_normal(int(16_000 * seconds)).astype(np.float32))
    command = re.search(r"^emotions (bundle to-triton .*)$", PAGE, re.M)
    assert command
    assert run(command[1].split()) == 0
    server = Server(tmp_path / "models")
    monkeypatch.setattr(triton, "InferenceServerClient", server)
    [client] = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    capsys.readouterr()
    exec(client, {})  # noqa: S102 - the page's own
    printed = capsys.readouterr().out
    prediction = emotions.load(bundle).predict("clip.wav")
    target = next(iter(prediction.probabilities))
    found = json.loads(printed.replace("'", '"'))
    assert found == pytest.approx(prediction.probabilities[target], abs=1e-5)
    windows = int(np.ceil(16_000 * seconds / read_bundle(bundle).manifest.window.samples))
    assert sum(server.batches) == windows
    assert max(server.batches) <= MAX_BATCH


def test_the_configuration_on_the_page_is_what_is_written(tiny_bundle: Path) -> None:
    shown = next(block for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL) if "max_batch_size" in block)
    written = config(read_bundle(tiny_bundle), "speech-emotion")
    second = re.compile(r"output \{\n  name: \"state\".*?\n\}\n", re.DOTALL)  # the page's bundle has one target
    sizes = re.compile(r"(dims: )\[ (?!1 )\d+ \]")
    assert sizes.sub(r"\1N", shown) == sizes.sub(r"\1N", second.sub("", written))
