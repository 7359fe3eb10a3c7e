"""Bundles in BentoML's model store, by the command line: in, out again, and every way that fails in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from emotions.bundle.bundle import read_bundle
from emotions.cli import run

# Said by a library that BentoML uses.
pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path) -> Iterator[Path]:
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    store = tmp_path / "store"
    store.mkdir()
    BentoMLContainer.model_store.set(ModelStore(str(store)))
    yield store
    BentoMLContainer.model_store.reset()


def test_a_bundle_goes_in_and_comes_out(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = read_bundle(tiny_bundle)
    assert run(["bundle", "to-bentoml", str(tiny_bundle)]) == 0
    tag = capsys.readouterr().out.strip()
    assert tag.endswith(f":{bundle.manifest.variants['fp32'].sha256[:12]}")
    assert run(["bundle", "from-bentoml", tag, str(tmp_path / "out")]) == 0
    assert read_bundle(tmp_path / "out").manifest == bundle.manifest
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        ["manifest.json", *bundle.manifest.files]
    )


def test_a_tag_can_be_given_and_is_taken_once(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bundle", "to-bentoml", str(tiny_bundle), "--tag", "mine:v1"]
    assert run(command) == 0
    assert capsys.readouterr().out == "mine:v1\n"
    assert run(command) == 2
    assert "already exists" in capsys.readouterr().err


def test_what_the_store_does_not_hold_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "from-bentoml", "nothing:v1", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: nothing:v1: Model 'nothing:v1' is not found")
    assert not (tmp_path / "out").exists()


def test_a_tag_that_bentoml_does_not_take_is_said(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "to-bentoml", str(tiny_bundle), "--tag", "a b"]) == 2
    assert "Invalid Tag a b" in capsys.readouterr().err


def test_a_stored_bundle_that_was_altered_is_refused(
    tiny_bundle: Path, own_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bundle", "to-bentoml", str(tiny_bundle), "--tag", "mine:v1"]) == 0
    (own_store / "mine" / "v1" / "model.onnx").write_bytes(b"another")
    assert run(["bundle", "from-bentoml", "mine:v1", str(tmp_path / "out")]) == 2
    assert "is not the file that was exported" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
