"""A bundle and a run folder that release 0.1 wrote, before the modules moved, still load and answer the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import read_probe
from export.bundle.export import export_run
from tests.conftest import WriteWav

WRITTEN = Path(__file__).with_name("written_before")


def test_a_bundle_answers_as_its_probe_says() -> None:
    predictor = emotions.load(WRITTEN / "bundle", device="cpu")
    probe = read_probe(read_bundle(WRITTEN / "bundle"))
    answers = predictor.session.run(probe.waveform, probe.length)
    np.testing.assert_allclose(answers["emotion"], probe.probabilities["emotion"], atol=1e-4)
    waveform, length = probe.waveform[0], int(probe.length[0])
    alone = predictor.predict(waveform[:length]).probabilities["emotion"]
    np.testing.assert_allclose([*alone.values()], probe.probabilities["emotion"][0], atol=1e-4)


@pytest.mark.slow
def test_a_run_folder_exports_to_the_same_model(
    tmp_path: Path, write_wav: WriteWav, tone: Callable[..., np.ndarray]
) -> None:
    run = shutil.copytree(WRITTEN / "run", tmp_path / "run")
    for number in range(4):
        write_wav(tmp_path / "recordings" / f"{number}.wav", tone(0.5 + number))
    bundle = export_run(run, tmp_path / "bundle", data=tmp_path / "recordings")
    probe = read_probe(read_bundle(WRITTEN / "bundle"))
    answers = emotions.load(bundle, device="cpu").session.run(probe.waveform, probe.length)
    np.testing.assert_allclose(answers["emotion"], probe.probabilities["emotion"], atol=1e-4)
