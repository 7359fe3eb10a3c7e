from __future__ import annotations

from pathlib import Path

from emotions.files.json_text import read_json
from tests.lay_out_emodb4 import lay_out


def test_the_layout_is_that_of_the_test_data(emodb4: Path, tmp_path: Path) -> None:
    flat = tmp_path / "wav"
    flat.mkdir()
    for file in emodb4.glob("*/*.wav"):
        (flat / file.name).symlink_to(file)
    (flat / "03a01Ab.wav").symlink_to(emodb4 / "Sad" / "03a02Tb.wav")  # another class is left out
    assert lay_out(flat, tmp_path) == 339
    assert read_json(tmp_path / "emodb4" / "annotations.json") == read_json(emodb4 / "annotations.json")
    for file in emodb4.glob("*/*.wav"):
        assert (tmp_path / "emodb4" / file.relative_to(emodb4)).read_bytes() == file.read_bytes()
