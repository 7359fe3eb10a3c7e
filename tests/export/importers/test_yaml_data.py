"""YAML of others is data: tags are text, and a file that grows exponentially or holds itself is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotions.errors import ConfigError
from export.importers.yaml_data import TAG, read_yaml
from training.models.frontends.hub import Checkpoint


def read(folder: Path, text: str) -> object:
    (folder / "config.yaml").write_text(text)
    return read_yaml(Checkpoint("--from", "model", folder), "config.yaml")


def test_a_tag_is_kept_as_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a: !new:os.system {command: touch x}\n") == {
        "a": {TAG: "new:os.system", "command": "touch x"}
    }
    assert read(tmp_path, "a: &one [1]\nb: *one\n") == {"a": [1], "b": [1]}


def test_a_file_that_grows_exponentially_is_refused(tmp_path: Path) -> None:
    lines = ["l0: &l0 [1]"] + [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(ConfigError, match="more than 16 aliases"):
        read(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "- 1\n", "a: [", "a: !!python/object:os.system {}\n"])
def test_what_cannot_be_data_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml"):
        read(tmp_path, text)
