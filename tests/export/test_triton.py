"""A model repository for Triton: names, types and shapes are the bundle's, and the text is what Triton parses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from emotions.bundle.manifest import read_bundle
from emotions.cli import run
from export.triton import config

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
