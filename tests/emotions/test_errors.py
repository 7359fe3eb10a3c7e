from __future__ import annotations

import inspect

from emotions import errors


def test_every_error_is_drawn_in_the_tree_and_documented() -> None:
    classes = {
        name: item for name, item in vars(errors).items() if inspect.isclass(item) and issubclass(item, Exception)
    }
    for name, item in classes.items():
        assert name in (errors.__doc__ or "")
        assert item.__doc__
        assert issubclass(item, errors.EmotionsError)


def test_codes_are_the_names_in_snake_case() -> None:
    assert errors.NotAudio("").code == "not_audio"
    assert errors.ConfigError("").code == "config"
    assert errors.EmotionsError("").code == "emotions"


def test_a_config_error_tells_all_faults() -> None:
    faults = [errors.Fault("pipeline[0].seed", "found -1", "at least 0"), errors.Fault("x", "", "is missing")]
    lines = str(errors.ConfigError("run.json", faults)).splitlines()
    assert lines == ["run.json", "  pipeline[0].seed: found -1; at least 0", "  x: is missing"]


def test_a_message_is_lines_that_can_be_shown() -> None:
    told = str(errors.DataError("a\nb\x1b[31m" + "c" * 100_000))
    assert told.startswith("a\\nb\\x1b[31mccc")
    assert "92012 characters more" in told
    assert len(told) < 9_000
    assert "\n" not in told


def test_of_very_many_faults_the_first_are_told() -> None:
    faults = [errors.Fault(f"pipeline[{number}].name", "x" * 500, "must be shorter") for number in range(1000)]
    lines = str(errors.ConfigError("run.json", faults)).split("\n")
    assert lines[0] == "run.json"
    assert lines[1].startswith("  pipeline[0].name: x")
    assert lines[-1] == f"  ... and {1000 - (len(lines) - 2)} more"
    assert sum(map(len, lines)) < 30_000


def test_a_missing_extra_says_how_to_get_it() -> None:
    assert "pip install 'emotions-toolkit[train]'" in str(errors.MissingExtra("train", "torch"))
