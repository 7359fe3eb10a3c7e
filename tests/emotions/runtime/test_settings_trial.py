"""The settings that suit a card are found once, by time and by the probe, and remembered for what they depend on."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from emotions.bundle.bundle import read_bundle
from emotions.errors import ConfigError, DeviceError
from emotions.runtime import settings_trial
from emotions.runtime.session import Session, open_session
from tests.fake_cuda import FakeCuda

NHWC = {"prefer_nhwc": "1"}
TRIED = ["prefer_nhwc", "cudnn_conv1d_pad_to_nc1d", "cudnn_conv_algo_search"]


class Clock:
    """Time that goes by in runs alone, by what the provider's options make of them."""

    def __init__(self) -> None:
        self.now, self.alike = 0.0, False

    def __call__(self) -> float:
        return self.now

    def run(self, options: dict[str, str]) -> float:
        """A run on a card on which NHWC is three times as fast, and padding slow; no real time is slept."""
        nhwc, padded = options.get("prefer_nhwc") == "1", "cudnn_conv1d_pad_to_nc1d" in options
        self.now += 0.012 if self.alike else 0.004 * (1 if nhwc else 3) + 0.004 * padded
        return 0.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def card(fake_cuda: FakeCuda, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A card on which runs take the clock's time; trials are on, nothing is remembered."""
    monkeypatch.delenv("EMOTIONS_GPU_TRIAL")
    monkeypatch.setattr(settings_trial, "_remembered", {})
    monkeypatch.setattr(settings_trial, "_clock", clock)
    fake_cuda.run_sec = clock.run
    return fake_cuda


def opened(card: FakeCuda, bundle: Path, variant: str = "fp16") -> tuple[Session, dict[str, str], int]:
    """A session, the settings of its last ONNX session that are tried, and how many were opened."""
    card.asked.clear()
    settings_trial._remembered.clear()  # as in another process
    session = open_session(read_bundle(bundle), device="cuda", variant=variant)
    return session, {name: value for name, value in card.asked[-1].items() if name in TRIED}, len(card.asked)


def test_the_fastest_settings_are_taken_and_remembered(
    card: FakeCuda, half_bundle: Path, private_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        session, settings, sessions = opened(card, half_bundle)
    assert settings == {**NHWC, "cudnn_conv_algo_search": "HEURISTIC"}
    assert sessions == 7  # without, four, one for windows of one size, and the one that is kept
    (line,) = [record.getMessage() for record in caplog.records if "settings of the GPU" in record.getMessage()]
    assert line.startswith("settings of the GPU: prefer_nhwc=1")
    assert np.isfinite(session.run(np.zeros((1, 8_000), np.float32), np.array([8_000]))["emotion"]).all()
    (file,) = (private_cache / "gpu_settings").iterdir()
    assert json.loads(file.read_text())["settings"] == NHWC
    assert opened(card, half_bundle)[1:] == (settings, 1)


def test_another_card_driver_or_model_is_tried_anew(card: FakeCuda, half_bundle: Path, tmp_path: Path) -> None:
    assert opened(card, half_bundle)[2] == 7
    assert opened(card, half_bundle)[2] == 1
    card.driver.capability = (8, 0)
    assert opened(card, half_bundle)[2] == 7
    (tmp_path / "nvidia_version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06")
    assert opened(card, half_bundle)[2] == 7
    assert opened(card, half_bundle)[2] == 1


def test_what_gains_next_to_nothing_is_left_alone(card: FakeCuda, clock: Clock, half_bundle: Path) -> None:
    clock.alike = True
    assert opened(card, half_bundle)[1:] == ({"cudnn_conv_algo_search": "HEURISTIC"}, 7)
    assert opened(card, half_bundle)[2] == 1


def test_settings_that_answer_otherwise_or_do_not_load_are_not_taken(card: FakeCuda, half_bundle: Path) -> None:
    card.wrong_with = {"prefer_nhwc"}
    assert opened(card, half_bundle)[1] == {"cudnn_conv_algo_search": "HEURISTIC"}
    card.wrong_with, card.refused = set(), {"prefer_nhwc"}
    card.driver.capability = (8, 0)
    assert opened(card, half_bundle)[1] == {"cudnn_conv_algo_search": "HEURISTIC"}


def test_a_trial_ends_in_time_with_the_best_so_far(
    card: FakeCuda, half_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOTIONS_GPU_TRIAL", "0.3")
    _, settings, sessions = opened(card, half_bundle)
    assert sessions == 3  # without, one candidate, and the one that is kept
    assert settings["prefer_nhwc"] == "1"


def test_off_tries_nothing_and_other_words_are_refused(
    card: FakeCuda, half_bundle: Path, monkeypatch: pytest.MonkeyPatch, private_cache: Path
) -> None:
    assert opened(card, half_bundle)[2] == 7
    monkeypatch.setenv("EMOTIONS_GPU_TRIAL", "off")
    assert opened(card, half_bundle)[1:] == ({"cudnn_conv_algo_search": "HEURISTIC"}, 1)
    for word in ("yes", "nan", "-1", "1e9"):
        monkeypatch.setenv("EMOTIONS_GPU_TRIAL", word)
        with pytest.raises(ConfigError, match=r"EMOTIONS_GPU_TRIAL=.*must be off, or seconds above 0, at most 600"):
            opened(card, half_bundle)


@pytest.mark.parametrize("written", ["not JSON", "[]", '{"settings": {"enable_cuda_graph": "1"}}', '{"settings": 3}'])
def test_a_file_that_holds_anything_else_does_not_count(
    card: FakeCuda, half_bundle: Path, private_cache: Path, written: str
) -> None:
    opened(card, half_bundle)
    (file,) = (private_cache / "gpu_settings").iterdir()
    file.write_text(written)
    assert opened(card, half_bundle)[2] == 7
    assert opened(card, half_bundle)[2] == 1


def test_a_card_that_fails_is_no_reason_to_remember_anything(
    card: FakeCuda, half_bundle: Path, private_cache: Path
) -> None:
    card.set("run memory 0")
    with pytest.raises(DeviceError, match="its memory is too small"):
        opened(card, half_bundle)
    assert not [*(private_cache / "gpu_settings").iterdir()]
    card.set("")
    assert opened(card, half_bundle)[2] == 7


def test_settings_that_end_the_process_are_not_tried_again(
    card: FakeCuda, half_bundle: Path, private_cache: Path
) -> None:
    left: dict[Path, bytes] = {}

    def crash(options: dict[str, str]) -> float:
        if "prefer_nhwc" in options:  # what lies on the disk at this moment is what a process that dies leaves
            left.update({path: path.read_bytes() for path in (private_cache / "gpu_settings").iterdir()})
            raise SystemExit(139)
        return 0.0

    card.run_sec = crash
    with pytest.raises(SystemExit):
        opened(card, half_bundle)
    ((path, content),) = left.items()
    path.write_bytes(content)
    assert opened(card, half_bundle)[1:] == ({"cudnn_conv_algo_search": "HEURISTIC"}, 1)


def test_a_trial_that_is_broken_off_leaves_nothing(card: FakeCuda, half_bundle: Path, private_cache: Path) -> None:
    def interrupt(_: dict[str, str]) -> float:
        raise KeyboardInterrupt

    card.run_sec = interrupt
    with pytest.raises(KeyboardInterrupt):
        opened(card, half_bundle)
    assert not [*(private_cache / "gpu_settings").iterdir()]


def test_fp16_that_misses_its_probe_still_gives_way_to_fp32(card: FakeCuda, half_bundle: Path) -> None:
    card.set("fp16")
    session, settings, _ = opened(card, half_bundle, "auto")
    assert session.variant == "fp32"
    assert settings["prefer_nhwc"] == "1"
