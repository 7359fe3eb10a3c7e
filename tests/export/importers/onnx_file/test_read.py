"""ONNX files are data: what is broken, too large, or lies outside of the folder is one line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from emotions.errors import ConfigError
from export.importers.onnx_file import read
from export.importers.onnx_file.read import read_model
from tests.export.importers.onnx_file.graphs import make_model


def write_outside(folder: Path, **place: str) -> Path:
    """A model with one constant in a file of its own; ``place`` replaces where that is said to be."""
    model = make_model()
    weight = next(each for each in model.graph.initializer if each.name == "weight")
    (folder / "weights.bin").write_bytes(bytes(16) + weight.raw_data)
    found = {"location": "weights.bin", "offset": "16", "length": str(len(weight.raw_data)), **place}
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in found.items():
        weight.external_data.add(key=key, value=value)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return folder / "m.onnx"


def test_constants_beside_the_graph_are_read(tmp_path: Path) -> None:
    model = read_model(write_outside(tmp_path))
    known = {each.name: numpy_helper.to_array(each) for each in make_model().graph.initializer}
    found = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    assert all(np.array_equal(found[name], value) for name, value in known.items())


@pytest.mark.parametrize(
    ("place", "match"),
    [
        ({"location": "../weights.bin"}, "no file of its own folder"),
        ({"location": "/etc/passwd"}, "no file of its own folder"),
        ({"location": "..\\weights.bin"}, "no file of its own folder"),
        ({"location": ""}, "no file of its own folder"),
        ({"location": ".."}, "cannot read weight"),
        ({"location": "missing.bin"}, r"cannot read weight from missing\.bin"),
        ({"offset": "-4"}, "are not what it needs"),
        ({"offset": "x"}, "cannot read weight"),
        ({"offset": "99999999999999999999"}, "cannot read weight"),
        ({"offset": "20"}, "is too short for it"),
        ({"length": "8"}, "are not what it needs"),
        ({"length": str(2**62)}, "are not what it needs"),
    ],
)
def test_constants_elsewhere_are_refused(tmp_path: Path, place: dict[str, str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_model(write_outside(tmp_path, **place))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    path = write_outside(folder)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ConfigError, match="no file of its own folder"):
        read_model(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="is no ONNX model that can be read"):
        read_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"onnx"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^--onnx: m\.onnx ") as raised:
        read_model(tmp_path / "m.onnx")
    assert "\n" not in str(raised.value)


def test_a_model_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_BYTES", 1_000)
    onnx.save(make_model(), tmp_path / "m.onnx")
    with pytest.raises(ConfigError, match="is larger than 1,000 bytes"):
        read_model(tmp_path / "m.onnx")
