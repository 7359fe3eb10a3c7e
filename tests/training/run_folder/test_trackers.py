from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from emotions.errors import ConfigError
from training.run_folder import trackers
from training.run_folder.trackers import add_bundle, add_pictures, check_installed, prepare, remember_runs, runs_of


def test_a_package_that_lacks_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed([])
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "mlflow" else object())
    check_installed(["wandb", "trackio"])
    with pytest.raises(
        ConfigError, match=r"^saving_data_params\.loggers: mlflow is not installed: pip install mlflow$"
    ):
        check_installed(["wandb", "mlflow"])


def test_a_run_folder_remembers_its_runs(tmp_path: Path) -> None:
    assert runs_of(tmp_path) == {}
    remember_runs(tmp_path, {"mlflow": "abc", "another": "x"})
    assert runs_of(tmp_path) == {"mlflow": "abc"}


@pytest.mark.parametrize("damaged", ["", "[]", '{"mlflow": 3}', "{"])
def test_a_damaged_memory_counts_as_none(tmp_path: Path, damaged: str) -> None:
    (tmp_path / "trackers.json").write_text(damaged)
    assert runs_of(tmp_path) == {}


def test_what_a_tracker_cannot_take_is_told_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, list[Path], Path | None]] = []

    def fails(run: str, pictures: list[Path], bundle: Path | None) -> None:
        taken.append((run, pictures, bundle))
        if bundle is not None:
            raise OSError("no route to host")

    (tmp_path / "curves.png").touch()
    remember_runs(tmp_path, {"mlflow": "abc"})
    monkeypatch.setattr(trackers, "find_spec", lambda _: object())
    monkeypatch.setattr(trackers, "_ADDING", {"mlflow": fails})
    assert add_pictures(tmp_path) == []
    assert add_bundle(tmp_path, tmp_path / "bundle") == ["mlflow: the bundle is not in its run (no route to host)"]
    assert taken == [("abc", [tmp_path / "curves.png"], None), ("abc", [], tmp_path / "bundle")]


class _Mlflow:
    """A server of MLflow, as far as experiments go."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.experiments = fails, list[str]()

    def get_experiment_by_name(self, name: str) -> str | None:
        if self.fails:
            raise OSError("no route to host\nand more")
        return name if name in self.experiments else None

    def create_experiment(self, name: str) -> None:
        self.experiments.append(name)


def test_an_experiment_is_made_once_before_trials_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    server = _Mlflow()
    monkeypatch.setattr(trackers, "find_spec", lambda _: object())
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=lambda: server))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "voices")
    prepare(["wandb"])
    assert server.experiments == []
    for _ in range(2):
        prepare(["wandb", "mlflow"])
    assert server.experiments == ["voices"]
    server.fails = True
    with pytest.raises(ConfigError, match=r"^saving_data_params\.loggers: mlflow: no route to host$"):
        prepare(["mlflow"])
