from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emotions.errors import ConfigError
from serving.benchmark.report.prices import audio_hour_prices, price_rows, read_prices

REPORT: dict[str, Any] = {
    "layers": {"folder": {"audio_sec_per_sec": {"median": 200.0}}, "service": {"audio_sec_per_sec": {"median": 50.0}}},
    "prices": {"small": 0.1, "large": 2},
}


def test_an_hour_of_audio_costs_the_machines_hour_by_the_speed() -> None:
    found = audio_hour_prices(REPORT)
    assert found["folder"] == pytest.approx({"small": 0.0005, "large": 0.01})
    assert found["service"] == pytest.approx({"small": 0.002, "large": 0.04})
    assert audio_hour_prices({**REPORT, "prices": {}}) == {}


def test_the_table_has_a_row_a_layer_and_a_column_a_machine() -> None:
    assert price_rows(REPORT) == [
        ("layer", "small", "large"),
        ("folder", "0.0005", "0.01"),
        ("service", "0.002", "0.04"),
    ]
    assert price_rows({"layers": {}}) == [("layer",)]


def test_prices_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"c7i.large": 0.09, "g6.xlarge": 1}')
    assert read_prices(file) == {"c7i.large": 0.09, "g6.xlarge": 1.0}


@pytest.mark.parametrize(
    "written", ["[]", "{}", '{"a": 0}', '{"a": -1}', '{"a": "1"}', '{"a": true}', '{"a": 1e999}', "{", None]
)
def test_what_is_no_table_of_prices_is_told(tmp_path: Path, written: str | None) -> None:
    file = tmp_path / "prices.json"
    if written is not None:
        file.write_text(written)
    with pytest.raises(ConfigError, match=r"prices\.json"):
        read_prices(file)
    file.write_text(json.dumps({f"m{number}": 1 for number in range(101)}))
    with pytest.raises(ConfigError, match="at most 100"):
        read_prices(file)
