from __future__ import annotations

from pathlib import Path

import pytest

from emotions.files.json_text import read_json
from emotions.pipeline.energy.config import EnergyConfig
from emotions.pipeline.energy.energy import in_short
from tests.fake_codecarbon import Tracker
from training.run_folder.energy import ENERGY_FILE, energy_of_run, measured_part

GERMANY = EnergyConfig(country="DEU")


def part(folder: Path, config: EnergyConfig | None = GERMANY, *, resumed: bool = False) -> None:
    with measured_part(folder, config, resumed=resumed):
        pass


def test_without_a_wish_there_is_no_file(tmp_path: Path) -> None:
    part(tmp_path, None)
    part(tmp_path, None, resumed=True)
    assert not [*tmp_path.iterdir()]
    assert energy_of_run(tmp_path) is None


def test_a_resumed_training_has_the_sum_of_its_parts(tmp_path: Path, codecarbon: type[Tracker]) -> None:
    part(tmp_path)
    first = energy_of_run(tmp_path)
    part(tmp_path, resumed=True)
    both = energy_of_run(tmp_path)
    assert first is not None
    assert both is not None
    assert both.joules > first.joules > 0
    assert (both.measured, both.of) == (2, 2)


def test_a_part_whose_process_was_killed_counts_as_one_that_was_not_measured(
    tmp_path: Path, codecarbon: type[Tracker]
) -> None:
    with measured_part(tmp_path, GERMANY, resumed=False):
        killed = (tmp_path / ENERGY_FILE).read_text()
    (tmp_path / ENERGY_FILE).write_text(killed)
    assert energy_of_run(tmp_path) is None
    part(tmp_path, resumed=True)
    part(tmp_path, None, resumed=True)
    found = energy_of_run(tmp_path)
    assert found is not None
    assert (found.measured, found.of) == (1, 3)
    assert "covers 1 of 3 parts" in in_short(found)


def test_parts_before_the_wish_are_counted_and_a_new_training_begins_anew(
    tmp_path: Path, codecarbon: type[Tracker]
) -> None:
    part(tmp_path, resumed=True)
    found = energy_of_run(tmp_path)
    assert found is not None
    assert (found.measured, found.of) == (1, 2)
    part(tmp_path)
    assert len(read_json(tmp_path / ENERGY_FILE)) == 1
    part(tmp_path, None)
    assert not (tmp_path / ENERGY_FILE).exists()


def test_what_ends_with_an_error_is_measured(tmp_path: Path, codecarbon: type[Tracker]) -> None:
    with pytest.raises(KeyboardInterrupt), measured_part(tmp_path, GERMANY, resumed=False):
        raise KeyboardInterrupt
    assert energy_of_run(tmp_path) is not None


@pytest.mark.parametrize("damaged", ["", "{}", "[1]", '[{"joules": -1}]', "[null]"])
def test_a_damaged_file_is_no_energy_and_no_error(
    tmp_path: Path, codecarbon: type[Tracker], damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ENERGY_FILE).write_text(damaged)
    assert energy_of_run(tmp_path) is None
    part(tmp_path, resumed=True)
    found = energy_of_run(tmp_path)
    assert found is not None
    assert (found.measured, found.of) == (1, 2)
    assert ("is damaged" in caplog.text) == (damaged != "[null]")
