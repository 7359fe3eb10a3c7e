"""What travels to nodes that share no folder: the data by its relative path, the code, and no more than Ray carries."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from emotions.errors import ConfigError
from emotions.pipeline.runner import Context
from tests.training.tuning.conftest import MakeTune
from training.data.clips import read_clips
from training.tuning import runtime_env
from training.tuning.runtime_env import runtime_environment


def test_relative_data_travels_and_reads_the_same(
    make_tune: MakeTune, context: Context, corpus_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus_folder, tmp_path / "recordings" / "all")
    (tmp_path / "recordings" / ".gitignore").write_text("*\n", encoding="utf-8")
    step = make_tune(dataset__path="recordings/all")
    with runtime_environment(step, context) as environment:
        there = Path(environment["working_dir"])
        assert there != tmp_path
        assert (
            read_clips(step.dataset, there).fingerprint == read_clips(step.dataset, tmp_path).fingerprint  # type: ignore[attr-defined]
        )
        assert {Path(path).name for path in environment["py_modules"]} == {"emotions", "training"}
    assert not there.exists()


def test_absolute_data_stays(make_tune: MakeTune, context: Context) -> None:
    with runtime_environment(make_tune(), context) as environment:
        assert list(Path(environment["working_dir"]).iterdir()) == []


def test_more_than_ray_carries_is_refused(
    make_tune: MakeTune, context: Context, corpus_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(corpus_folder, tmp_path / "data")
    monkeypatch.setattr(runtime_env, "MAX_BYTES", 1000)
    step = make_tune().model_copy(update={"dataset": make_tune().dataset.model_copy(update={"path": None})})
    with (
        pytest.raises(ConfigError, match=r"tune\.storage_path: the recordings .* absolute path"),
        runtime_environment(step, replace(context, root=tmp_path)),
    ):
        pass
