"""Which importer takes a checkpoint, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotions.cli import run
from emotions.errors import ConfigError
from export.importers.importer import ImportOptions
from export.importers.registry import IMPORTERS, choose
from tests.export.huggingface.conftest import Checkpoint


def test_every_importer_has_a_name_of_its_own() -> None:
    names = [importer.name for importer in IMPORTERS]
    assert len({*names}) == len(names)


def test_a_classifier_of_transformers_is_taken_and_the_others_say_why_not(classifier: Checkpoint) -> None:
    choice = choose(str(classifier("wav2vec2-group")))
    assert choice.importer.name == "transformers"
    assert str(choice).startswith("importer: transformers, a classifier of transformers")
    assert choice.load(ImportOptions()).extra["importer"] == "transformers"
    asked = [importer.name for importer in IMPORTERS[: IMPORTERS.index(choice.importer)]]
    assert [*choice.misfits] == asked
    assert all(f"not {name}: {reason}" in str(choice) for name, reason in choice.misfits.items())


def test_labels_that_the_user_names_are_taken(classifier: Checkpoint) -> None:
    choice = choose(str(classifier("wav2vec2-group")))
    assert choice.load(ImportOptions(labels=("a", "b", "c", "d"))).targets == {"emotion": ["a", "b", "c", "d"]}
    with pytest.raises(ConfigError, match="id2label names 3 labels, the weights have 4"):
        choice.load(ImportOptions(labels=("a", "b", "c")))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (None, r"transformers: no config\.json"),
        ({"model_type": "bert"}, "is of model type bert; allowed are wav2vec2, hubert"),
        ({}, "is of model type none"),
    ],
)
def test_what_fits_none_has_the_reason_of_each(tmp_path: Path, settings: dict[str, str] | None, reason: str) -> None:
    if settings is not None:
        (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=f"^--from: .* fits no importer .*{reason}") as raised:
        choose(str(tmp_path))
    assert "\n" not in str(raised.value)
    assert all(f"{importer.name}: " in str(raised.value) for importer in IMPORTERS)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"m\.bin is no folder"):
        choose(str(tmp_path / "m.bin"))


def test_the_command_says_which_importer_it_took(
    classifier: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(classifier("short-ast"))
    assert run(["export", "--hf", folder, "--target", "mood", "--output", str(tmp_path / "b")]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("importer: transformers, ")
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["extra"]["importer"] == "transformers"
