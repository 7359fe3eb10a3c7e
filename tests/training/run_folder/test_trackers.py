from __future__ import annotations

from pathlib import Path

import pytest

from emotions.errors import ConfigError
from training.run_folder import trackers
from training.run_folder.trackers import add_bundle, add_pictures, check_installed, remember_runs, runs_of


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
