"""Each target with a few cases, the same each time, and with those that once were faults."""

from __future__ import annotations

import pytest

from tests.security.fuzz.all_targets import TARGETS
from tests.security.fuzz.attack import fault_of
from tests.security.fuzz.regressions import REGRESSIONS
from tests.security.fuzz.target import Target, examine, files_of
from tests.security.fuzz.training_targets import TRAINING_TARGETS

FEW = 12
SEED = "0"


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_in_it_a_file_is_read_or_refused_in_one_line(
    name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = [examine(TARGETS[name], files_of(TARGETS[name], name, SEED, number)) for number in range(FEW)]
    assert len(outcomes) == FEW
    if name not in TRAINING_TARGETS:  # which show a progress bar where they take long
        assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("case", REGRESSIONS)
def test_what_once_was_a_fault_is_refused(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    name, build, outcome = REGRESSIONS[case]
    assert examine(TARGETS[name], build()) == outcome
    assert capfd.readouterr() == ("", "")


def test_a_case_is_the_same_each_time() -> None:
    for name, target in TARGETS.items():
        assert files_of(target, name, SEED, 3) == files_of(target, name, SEED, 3)
    assert len({str(files_of(TARGETS["lists"], "lists", SEED, number)) for number in range(20)}) > 10


def test_faults_are_found() -> None:
    """What examines is worth something: an exception, a file beside the case and a long message each are a fault."""

    def fails(check: object) -> bool:
        try:
            examine(Target(lambda _: {}, check), {"a": b"x"})  # type: ignore[arg-type]
        except (AssertionError, ZeroDivisionError):
            return True
        return False

    assert fails(lambda _: 1 // 0)
    assert fails(lambda folder: (folder.parent / "written").touch())
    assert not fails(lambda folder: (folder / "a").read_bytes())
    assert fault_of("/v1/predict", 500, "application/json", b"{}")
    assert fault_of("/v1/predict", 200, "application/json", b'{"probabilities": {"emotion": {"a": 0.5, "b": 0.1}}}')
    assert fault_of("/v1/predict", 200, "application/json", b'{"probabilities": {"emotion": {"a": NaN}}}')
    assert not fault_of("/v1/predict", 415, "application/json", b'{"error": {"code": "not_audio", "message": "x"}}')
