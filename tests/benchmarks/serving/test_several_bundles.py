"""One service with several bundles beside a service for each, real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from benchmarks.serving.several_bundles import measure
from tests.conftest import Tone


@pytest.mark.slow
def test_one_service_takes_less_memory_than_two(
    tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, tone: Tone
) -> None:
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, tone(1.0), 16_000)
    found = measure([tiny_bundle, affect_bundle], [clip], 0.5, rounds=2)
    assert found["one"]["mib"] < found["several"]["mib"]
    assert 0.4 < found["memory_ratio"] < 0.9
    assert min(found["one"]["recordings_a_second"] + found["several"]["recordings_a_second"]) > 1
