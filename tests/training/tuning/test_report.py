"""Reports of a search, whatever state it is in: a table, JSON, CSV, and pictures that can be looked at."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from emotions.errors import CheckpointError
from emotions.pipeline.energy.config import EnergyConfig
from tests.fake_codecarbon import Tracker
from tests.pages import text_of
from tests.training.tuning.conftest import make_search
from tests.training.tuning.test_records import make_trial
from training.run_folder.energy import measured_part
from training.tuning.plots import importance
from training.tuning.records import Results
from training.tuning.report import print_results


def write(folder: Path, trials: int, **search: object) -> Results:
    results = Results(folder)
    results.write_search(make_search(**search))
    for number in range(trials):
        rate, batch = 10 ** (-4 + 0.25 * number), 4 if number % 2 else 8
        values = {"learn_params.lr.base_lr": rate, "learn_params.batch_size": batch}
        results.write_trial(make_trial(number, [0.0, 0.05 * number], values=values))
    return results


def test_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = write(tmp_path, 3)
    results.write_trial(make_trial(3, [], state="failed", reason="training diverged [/]"))
    print_results(tmp_path)
    out = capsys.readouterr().out
    assert "4 of 3 trials ended, running" in out
    assert "trial 3 failed: training diverged [/]" in out
    assert "protocol of val/emotion_uar: speaker-disjoint hold-out, validation part" in out
    assert out.index("0.0001") > out.index("0.000316")  # the best first


def test_json_and_csv_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, 3)
    print_results(tmp_path, "json")
    document = json.loads(capsys.readouterr().out)
    assert [trial["trial"] for trial in document["trials"]] == [2, 1, 0]
    assert document["trials"][0]["val/emotion_uar"] == pytest.approx(0.1)
    print_results(tmp_path, "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["trial"] for row in rows] == ["2", "1", "0"]
    assert {"state", "epochs", "seconds", "parameters", "base_lr", "batch_size", "checkpoint"} <= {*rows[0]}


def test_a_search_without_a_trial_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, 0)
    for form in ("table", "json", "csv"):
        print_results(tmp_path, form)  # type: ignore[arg-type]
    assert "0 of 3 trials ended" in capsys.readouterr().out
    assert not [*tmp_path.glob("*.png")]


def test_energy_is_that_of_each_trial_and_the_sum(
    tmp_path: Path, codecarbon: type[Tracker], capsys: pytest.CaptureFixture[str]
) -> None:
    results = write(tmp_path, 3)
    for number in (0, 2):
        with measured_part(results.trial_folder(number), EnergyConfig(country="DEU"), resumed=False):
            pass
    print_results(tmp_path, "json")
    trials = {trial["trial"]: trial for trial in json.loads(capsys.readouterr().out)["trials"]}
    assert trials[0]["joules"] >= 0
    assert trials[2]["grams_co2e"] > 0
    assert (trials[1]["joules"], trials[1]["grams_co2e"]) == (None, None)
    print_results(tmp_path)
    assert "estimated; covers 2 of 3 parts" in capsys.readouterr().out
    page = text_of((tmp_path / "report.html").read_text()).lower()
    assert "joules" in page
    assert "energy of the trials" in page


@pytest.mark.usefixtures("drawn")
def test_pictures_are_drawn(tmp_path: Path) -> None:
    write(tmp_path, 12)
    print_results(tmp_path)
    for name in ("best_so_far.png", "parallel_coordinates.png", "importance.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 200
            assert len(picture.convert("L").getcolors() or []) > 20


def test_importance_finds_what_matters(tmp_path: Path) -> None:
    results = write(tmp_path, 12)
    search = results.read_search()
    scored = [(trial, found[1]) for trial in results.trials() if (found := trial.best(search)) is not None]
    shares = importance(search, scored)
    assert list(shares) == ["base_lr", "batch_size"]
    assert sum(shares.values()) == pytest.approx(1)
    assert importance(search, scored[:3]) == {}


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment_state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is not the results folder of a search"):
        print_results(tmp_path)
