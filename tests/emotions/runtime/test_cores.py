from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from emotions.runtime.cores import available_cores, keep_to_available_cores


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 4), ("150000 100000", 2), ("50000 100000", 1), ("900000 100000", 4), ("", 4)]
)
def test_a_containers_quota_bounds_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert available_cores(tmp_path / "none") == 4
    (tmp_path / "cpu.max").write_text(quota)
    assert available_cores(tmp_path / "cpu.max") == cores


@pytest.mark.parametrize(
    ("cores", "given", "expected"), [(2, None, "2"), (2, "5", "5"), (8, None, None), (8, "3", "3")]
)
def test_libraries_start_no_more_threads_than_a_quota_has_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, given: str | None, expected: str | None
) -> None:
    monkeypatch.setattr("emotions.runtime.cores.available_cores", lambda: cores)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", "")  # so that what is set below is undone
        monkeypatch.delenv("OMP_NUM_THREADS")
    keep_to_available_cores()
    assert os.environ.get("OMP_NUM_THREADS") == expected


@pytest.mark.parametrize("given", [None, "2"])
def test_a_command_in_a_container_with_a_quota_trains_on_as_many_threads(given: str | None) -> None:
    code = (
        "import emotions.runtime.cores as cores; cores.available_cores = lambda: 1\n"
        "from emotions.cli import run; run(['--help'])\n"
        "import torch; print(torch.get_num_threads())"
    )
    settings = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    settings |= {} if given is None else {"OMP_NUM_THREADS": given}
    done = subprocess.run([sys.executable, "-c", code], env=settings, stdout=subprocess.PIPE, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) == min(int(given or 1), os.cpu_count() or 1)
