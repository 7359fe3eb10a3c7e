"""Forms beside files as bodies, sent to a real service."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.multipart import form_cost
from tests.conftest import Tone, WriteWav


@pytest.mark.slow
def test_a_form_is_measured_beside_a_file_as_the_body(
    tiny_bundle: Path, tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    for number in range(3):
        write_wav(tmp_path / f"{number}.wav", tone(0.5, 300 + 100 * number))
    median, lowest, highest = form_cost(tiny_bundle, tmp_path, 3, 2)
    assert -50 < lowest <= median <= highest < 50
