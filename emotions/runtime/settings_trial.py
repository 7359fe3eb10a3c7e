"""Settings of ONNX Runtime's CUDA provider that suit a model on a card: tried at the first start, then remembered.

Which layout and which search for convolutions is fastest depends on the card, the model and the versions, and only a
run tells. What is tried must answer the bundle's probe, and be clearly faster than the settings that it changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from emotions.bundle.probe import Probe
from emotions.errors import BundleError, DeviceError, EmotionsError, first_line
from emotions.files.cache import cache_root, is_own_file, private_folder
from emotions.files.json_text import read_json, write_json
from emotions.runtime.environment import number_of
from emotions.runtime.failures import ORT_ERRORS, is_device_lost, is_out_of_memory
from emotions.runtime.io_binding import Buffers

SWITCH = "EMOTIONS_GPU_TRIAL"
"""Environment variable: ``off`` for ONNX Runtime's own settings, or the most seconds that a trial may take."""
SECONDS = 20.0

Settings = dict[str, str]
_NHWC, _PADDED = {"prefer_nhwc": "1"}, {"cudnn_conv1d_pad_to_nc1d": "1"}
_CANDIDATES: tuple[Settings, ...] = (_NHWC, _PADDED, {**_NHWC, **_PADDED}, {"cudnn_conv_algo_search": "DEFAULT"})
_OF_ONE_SIZE: tuple[Settings, ...] = ({"cudnn_conv_algo_search": "EXHAUSTIVE"},)
"""Those that take long for each new shape: for windows of one size, which have few."""
_BATCHES = (1, 16)
_RUNS, _WARM_RUNS = 7, 2
_LEAST_GAIN = 0.05
_MAX_SECONDS, _MAX_BYTES = 600.0, 10_000
_FAILURES: tuple[type[Exception], ...] = (*ORT_ERRORS, DeviceError, BundleError)

logger = logging.getLogger("emotions")
_clock = time.perf_counter
_remembered: dict[str, Settings] = {}


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        open_session: opens a session of the model with settings changed.
        buffers: of its runs.
        about: what the choice depends on: the card, the model's hash, versions.
        samples: of a window in the timed batches.
        one_size: whether all windows are of one size.
        probe: what the model must answer.
        tolerance: by how much it may differ.
    """

    open_session: Callable[[Mapping[str, str]], ort.InferenceSession]
    buffers: Buffers
    about: tuple[str, ...]
    samples: int
    one_size: bool
    probe: Probe
    tolerance: float

    @property
    def candidates(self) -> tuple[Settings, ...]:
        """The settings to try, each against none."""
        return (*_CANDIDATES, *(_OF_ONE_SIZE if self.one_size else ()))


def tried_settings(trial: Trial) -> Settings:
    """The settings that suit a model, as they were found when it first ran on such a card, or are found now.

    Args:
        trial: the model and where it runs.

    Raises:
        ConfigError: the switch is neither ``off`` nor a number of seconds.
    """
    seconds = _seconds_allowed()
    if not seconds:
        return {}
    known = json.dumps([*trial.about, trial.one_size, trial.candidates])
    key = hashlib.sha256(known.encode()).hexdigest()
    found = _recall(key, trial)
    if found is not None:
        return found
    _keep(key, {}, {})  # settings that end this process are not tried again by the next
    chosen = None
    try:
        chosen = _try(trial, key, seconds)
    finally:
        if chosen is None:
            _forget(key)
    return chosen or {}


def _seconds_allowed() -> float:
    off = os.environ.get(SWITCH) == "off"
    return 0.0 if off else number_of(SWITCH, SECONDS, _MAX_SECONDS, "off, or seconds")


def _try(trial: Trial, key: str, seconds: float) -> Settings | None:
    """Time the candidates until the time is over; None, and nothing is remembered, where the card fails."""
    began = _clock()
    taken: list[tuple[float, Settings]] = []
    try:
        plain = _times(trial, {})
        if plain is None:
            return None  # it misses its probe whatever the settings: the caller finds that out
        for settings in trial.candidates:
            if _clock() - began > seconds:
                break
            if times := _times_or_none(trial, settings):
                taken.append((_ratio(times, plain), settings))
    except _FAILURES as error:
        logger.info("no settings were tried on the GPU (%s)", first_line(error))
        return None
    ratio, best = min(taken, key=lambda each: each[0], default=(1.0, {}))
    chosen = best if ratio < 1 - _LEAST_GAIN else {}
    _keep(key, chosen, {_in_words(settings): round(value, 3) for value, settings in taken})
    share, took = 100 * (1 - ratio if chosen else 0), _clock() - began
    logger.info("settings of the GPU: %s, %.0f %% faster, tried in %.1f s", _in_words(chosen), share, took)
    return chosen


def _times_or_none(trial: Trial, settings: Settings) -> list[float] | None:
    try:
        return _times(trial, settings)
    except _FAILURES as error:
        if is_out_of_memory(error) or is_device_lost(error):
            raise
        return None


def _times(trial: Trial, settings: Settings) -> list[float] | None:
    """Median seconds of each size of batch; None where the probe is answered otherwise than it must be."""
    session = trial.open_session(settings)
    if not _meets(trial, session):
        return None
    return [_median_sec(trial, session, windows) for windows in _BATCHES]


def _meets(trial: Trial, session: ort.InferenceSession) -> bool:
    probe = trial.probe
    answers = trial.buffers.bound_run(session, *probe.waveform.shape)(probe.waveform, probe.length)
    return all(difference <= trial.tolerance for difference in probe.differences(answers).values())


def _median_sec(trial: Trial, session: ort.InferenceSession, windows: int) -> float:
    run = trial.buffers.bound_run(session, windows, trial.samples)
    waveform = np.random.default_rng(0).normal(0, 0.1, (windows, trial.samples)).astype(np.float32)
    length = np.full(windows, trial.samples, np.int64)
    seconds = []
    for _ in range(_WARM_RUNS + _RUNS):
        began = _clock()
        run(waveform, length)
        seconds.append(_clock() - began)
    return statistics.median(seconds[_WARM_RUNS:])


def _ratio(times: list[float], plain: list[float]) -> float:
    """How long it takes beside the settings that it changes, the geometric mean over sizes of batch."""
    return statistics.geometric_mean([mine / theirs for mine, theirs in zip(times, plain, strict=True)])


def _in_words(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "ONNX Runtime's own"


def _path(key: str) -> Path:
    return cache_root() / "gpu_settings" / f"{key}.json"


def _recall(key: str, trial: Trial) -> Settings | None:
    """What was chosen before; what is not one of the candidates does not count, whoever wrote it."""
    if key in _remembered:
        return _remembered[key]
    found: Any = None
    with contextlib.suppress(EmotionsError, OSError):
        if is_own_file(_path(key)):
            found = read_json(_path(key), _MAX_BYTES)
    settings = found.get("settings") if isinstance(found, dict) else None
    return settings if settings in ({}, *trial.candidates) else None


def _forget(key: str) -> None:
    _remembered.pop(key, None)
    with contextlib.suppress(EmotionsError, OSError):
        _path(key).unlink(missing_ok=True)


def _keep(key: str, settings: Settings, ratios: Mapping[str, float]) -> None:
    """Remember a choice; where the cache cannot be written, as long as this process."""
    _remembered[key] = settings
    with contextlib.suppress(EmotionsError, OSError):
        private_folder(_path(key).parent)
        write_json(_path(key), {"settings": settings, "time": ratios})
