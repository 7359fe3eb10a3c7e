"""CUDA graphs where they are asked for: the same answers, each graph with its own buffers and thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.bundle import Bundle, read_bundle
from emotions.errors import BundleError, ConfigError, OutOfMemory
from emotions.runtime.session import open_session
from tests.fake_cuda import FakeCuda

SAMPLES = 8_000


def batch(windows: int) -> tuple[FloatArray, IntArray]:
    waveform = np.random.default_rng(windows).normal(0, 0.1, (windows, SAMPLES)).astype(np.float32)
    return waveform, np.full(windows, SAMPLES, np.int64)


@pytest.fixture
def bundle(fake_cuda: FakeCuda, half_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A bundle on a machine where graphs are asked for."""
    monkeypatch.setenv("EMOTIONS_GPU_GRAPHS", "on")
    return read_bundle(half_bundle)


def test_answers_of_several_callers_are_those_of_a_cpu(bundle: Bundle, fake_cuda: FakeCuda) -> None:
    session, cpu = open_session(bundle, device="cuda", streams=2), open_session(bundle, device="cpu", variant="fp16")
    sizes = [1, 2, 4, 8, 16, 1, 5, 3] * 4
    with ThreadPoolExecutor(4) as callers:
        answers = [*callers.map(lambda size: session.run(*batch(size))["emotion"], sizes)]
    for size, found in zip(sizes, answers, strict=True):
        np.testing.assert_allclose(found, cpu.run(*batch(size))["emotion"], rtol=0, atol=1e-5)
    assert all(options["enable_cuda_graph"] == "1" for options in fake_cuda.asked)
    assert {1, 2, 4, 8, 16} <= {*fake_cuda.replayed}


def test_where_shapes_share_a_session_the_others_run_plainly(bundle: Bundle, fake_cuda: FakeCuda) -> None:
    fake_cuda.driver.free = 0
    session, cpu = open_session(bundle, device="cuda"), open_session(bundle, device="cpu", variant="fp16")
    fake_cuda.replayed.clear()
    for size in (1, 2, 4, 1, 2):
        found = session.run(*batch(size))["emotion"]
        np.testing.assert_allclose(found, cpu.run(*batch(size))["emotion"], rtol=0, atol=1e-5)
    assert len({*fake_cuda.replayed}) <= 1


def test_failures_reach_the_caller(bundle: Bundle, fake_cuda: FakeCuda) -> None:
    predictor = emotions.load(bundle.path, device="cuda")
    fake_cuda.set("run memory 0")
    with pytest.raises(OutOfMemory):
        predictor.predict(np.full(SAMPLES, 0.1, np.float32))
    fake_cuda.set("")
    assert predictor.predict(np.full(SAMPLES, 0.1, np.float32)).probabilities
    fake_cuda.refused.add("enable_cuda_graph")
    with pytest.raises(BundleError, match="enable_cuda_graph"):
        open_session(bundle, device="cuda")


def test_they_are_off_unless_asked_for_and_never_for_windows_of_any_length(
    bundle: Bundle, fake_cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    dynamic = bundle.manifest.window.model_copy(update={"dynamic": True})
    of_any_length = replace(bundle, manifest=bundle.manifest.model_copy(update={"window": dynamic}))
    with pytest.raises(ConfigError, match=r"EMOTIONS_GPU_GRAPHS=on: the windows of .* are of any length"):
        open_session(of_any_length, device="cuda")
    monkeypatch.setenv("EMOTIONS_GPU_GRAPHS", "yes")
    with pytest.raises(ConfigError, match="must be on or off"):
        open_session(bundle, device="cuda")
    monkeypatch.delenv("EMOTIONS_GPU_GRAPHS")
    open_session(bundle, device="cuda")
    assert not any("enable_cuda_graph" in options for options in fake_cuda.asked)
    assert fake_cuda.replayed == []
