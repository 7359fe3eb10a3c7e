from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from serving.telemetry.metrics import DIRECTORY, use_metrics_dir


def test_workers_of_a_server_share_a_folder_that_no_other_server_empties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "prometheus_multiproc_dir"
    monkeypatch.setenv(DIRECTORY, str(shared))
    use_metrics_dir()
    ours = Path(os.environ[DIRECTORY])
    assert ours.is_dir()
    assert not ours.is_relative_to(shared)
    use_metrics_dir()
    assert Path(os.environ[DIRECTORY]) == ours
    monkeypatch.setenv(DIRECTORY, str(shared))
    monkeypatch.setattr("os.getppid", os.getpid)
    use_metrics_dir()
    assert Path(os.environ[DIRECTORY]) != ours
    assert ours.is_dir(), "of a server that runs"


def test_the_folder_of_a_server_that_ended_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "prometheus_multiproc_dir"))
    folders = tmp_path / "emotions_metrics"
    ended = folders / f"{platform.node()}_{os.getpid()}_1"
    elsewhere, foreign = folders / f"{platform.node()}x_1_1", folders / f"{platform.node()}_mine_1"
    for folder in (ended, elsewhere, foreign):
        folder.mkdir(parents=True)
        (folder / "counter_3.db").touch()
    use_metrics_dir()
    assert not ended.exists()
    assert elsewhere.is_dir()
    assert foreign.is_dir()


@pytest.mark.parametrize("given", [None, "", "/somewhere/mine"])
def test_another_folder_is_left_alone(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    if given is None:
        monkeypatch.delenv(DIRECTORY, raising=False)
    else:
        monkeypatch.setenv(DIRECTORY, given)
    use_metrics_dir()
    assert os.environ.get(DIRECTORY) == given
