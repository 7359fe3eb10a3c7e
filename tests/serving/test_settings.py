from __future__ import annotations

from pathlib import Path

import pytest

from emotions.errors import ConfigError
from serving.settings import Settings, read_settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"EMOTIONS_BUNDLE": "", "EMOTIONS_WORKERS": ""}) == Settings()
    assert Settings().max_bytes == 32 * 1024 * 1024


def test_every_setting_is_read_from_its_variable() -> None:
    given = {
        "EMOTIONS_BUNDLE": "bundles/mine",
        "EMOTIONS_DEVICE": "cpu",
        "EMOTIONS_THREADS": "2",
        "EMOTIONS_MAX_BATCH": "8",
        "EMOTIONS_MAX_BYTES": "1000",
        "EMOTIONS_MAX_SECONDS": "12.5",
        "EMOTIONS_MAX_ITEMS": "7",
        "EMOTIONS_MAX_ITEMS_BYTES": "5000",
        "EMOTIONS_MAX_QUEUE_SEC": "60",
        "EMOTIONS_MAX_IN_FLIGHT": "5",
        "EMOTIONS_TIMEOUT_SEC": "3",
        "EMOTIONS_DRAIN_SEC": "9",
        "EMOTIONS_DRAIN_DELAY_SEC": "2",
        "EMOTIONS_WORKERS": "4",
        "EMOTIONS_DECODE_THREADS": "1",
        "EMOTIONS_VARIANT": "int8",
        "EMOTIONS_API_KEYS_FILE": "keys.txt",
        "EMOTIONS_ALLOW_ANONYMOUS": "1",
        "EMOTIONS_LOG_FORMAT": "json",
        "EMOTIONS_TRACE_RATE": "0.5",
    }
    settings = read_settings(given)
    assert settings == Settings(
        bundle=Path("bundles/mine"),
        device="cpu",
        threads=2,
        max_batch=8,
        max_bytes=1000,
        max_seconds=12.5,
        max_items=7,
        max_items_bytes=5000,
        max_queue_sec=60,
        max_in_flight=5,
        timeout_sec=3,
        drain_sec=9,
        drain_delay_sec=2,
        workers=4,
        decode_threads=1,
        variant="int8",
        api_keys_file=Path("keys.txt"),
        allow_anonymous=True,
        log_format="json",
        trace_rate=0.5,
    )
    assert set(given) == {f"EMOTIONS_{name.upper()}" for name in Settings.model_fields}


def test_all_wrong_values_are_reported_at_once() -> None:
    wrong = {"EMOTIONS_DEVICE": "gpu", "EMOTIONS_WORKERS": "0", "EMOTIONS_TIMEOUT_SEC": "nan", "EMOTIONS_CACHE": "/x"}
    with pytest.raises(ConfigError) as caught:
        read_settings(wrong)
    assert [fault.where for fault in caught.value.faults] == [
        "EMOTIONS_DEVICE",
        "EMOTIONS_TIMEOUT_SEC",
        "EMOTIONS_WORKERS",
    ]
    assert "EMOTIONS_DEVICE: got 'gpu'; input should be 'auto', 'cpu' or 'cuda'" in str(caught.value)


def test_batches_are_larger_on_a_gpu_unless_set() -> None:
    assert (Settings().batch_limit("cpu"), Settings().batch_limit("cuda")) == (16, 64)
    assert Settings(max_batch=5).batch_limit("cuda") == 5


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.settings.available_cores", lambda: 8)
    assert Settings().cores == 8
    assert Settings(workers=3).cores == 2
    assert Settings(workers=20).cores == 1
