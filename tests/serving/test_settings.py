from __future__ import annotations

from pathlib import Path

import pytest

from emotions.errors import ConfigError
from emotions.runtime.devices import cpu_parallel_batches
from serving.settings import Settings, read_settings
from serving.worker.startup import open_predictor


def test_an_empty_environment_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings({"EMOTIONS_BUNDLE": "", "EMOTIONS_WORKERS": ""}) == Settings()
    assert Settings().max_bytes == 32 * 1024 * 1024


def test_every_setting_is_read_from_its_variable() -> None:
    given = {
        "EMOTIONS_BUNDLE": "bundles/mine",
        "EMOTIONS_BUNDLES": "a=bundles/a, bundles/more",
        "EMOTIONS_RELOAD_SEC": "1.25",
        "EMOTIONS_SHADOW": "bundles/next",
        "EMOTIONS_SHADOW_SHARE": "0.25",
        "EMOTIONS_DEVICE": "cpu",
        "EMOTIONS_THREADS": "2",
        "EMOTIONS_PARALLEL_BATCHES": "3",
        "EMOTIONS_MAX_BATCH": "8",
        "EMOTIONS_MAX_BYTES": "1000",
        "EMOTIONS_MAX_SECONDS": "12.5",
        "EMOTIONS_MAX_SAMPLES": "600000",
        "EMOTIONS_STRICT": "1",
        "EMOTIONS_MAX_ITEMS": "7",
        "EMOTIONS_MAX_ITEMS_BYTES": "5000",
        "EMOTIONS_MAX_QUEUE_SEC": "60",
        "EMOTIONS_MAX_IN_FLIGHT": "5",
        "EMOTIONS_MAX_RECEIVING": "6",
        "EMOTIONS_MIN_BODY_RATE": "100",
        "EMOTIONS_BODY_GRACE_SEC": "1.5",
        "EMOTIONS_BODY_SEC": "2.5",
        "EMOTIONS_MAX_HELD_BYTES": "9000",
        "EMOTIONS_MAX_JSON_BYTES": "800",
        "EMOTIONS_MAX_CONNECTIONS": "11",
        "EMOTIONS_MAX_HEADER_BYTES": "700",
        "EMOTIONS_MAX_HEADER_COUNT": "12",
        "EMOTIONS_HEADER_SEC": "0.5",
        "EMOTIONS_TRUSTED_PROXIES": "10.0.0.1, 10.1.0.0/16 ::1",
        "EMOTIONS_TIMEOUT_SEC": "3",
        "EMOTIONS_DRAIN_SEC": "9",
        "EMOTIONS_DRAIN_DELAY_SEC": "2",
        "EMOTIONS_WORKERS": "4",
        "EMOTIONS_DECODE_THREADS": "1",
        "EMOTIONS_DECODER_MEMORY": "100000000",
        "EMOTIONS_DECODER_CPU_SEC": "3",
        "EMOTIONS_VARIANT": "int8",
        "EMOTIONS_API_KEYS_FILE": "keys.txt",
        "EMOTIONS_ALLOW_ANONYMOUS": "1",
        "EMOTIONS_MAX_STREAMS": "13",
        "EMOTIONS_STREAM_SEC": "14",
        "EMOTIONS_STREAM_IDLE_SEC": "15",
        "EMOTIONS_STREAM_AHEAD_SEC": "16",
        "EMOTIONS_UI": "0",
        "EMOTIONS_DRIFT_WINDOW": "100",
        "EMOTIONS_LOG_FORMAT": "json",
        "EMOTIONS_TRACE_RATE": "0.5",
        "EMOTIONS_CORS_ORIGINS": "https://App.example.org:443/, http://localhost:5173",
    }
    settings = read_settings(given)
    assert settings == Settings(
        bundle=Path("bundles/mine"),
        reload_sec=1.25,
        shadow=Path("bundles/next"),
        shadow_share=0.25,
        bundles=(("a", Path("bundles/a")), ("", Path("bundles/more"))),
        device="cpu",
        threads=2,
        parallel_batches=3,
        max_batch=8,
        max_bytes=1000,
        max_seconds=12.5,
        max_samples=600_000,
        strict=True,
        max_items=7,
        max_items_bytes=5000,
        max_queue_sec=60,
        max_in_flight=5,
        max_receiving=6,
        min_body_rate=100,
        body_grace_sec=1.5,
        body_sec=2.5,
        max_held_bytes=9000,
        max_json_bytes=800,
        max_connections=11,
        max_header_bytes=700,
        max_header_count=12,
        header_sec=0.5,
        trusted_proxies=("10.0.0.1", "10.1.0.0/16", "::1"),
        timeout_sec=3,
        drain_sec=9,
        drain_delay_sec=2,
        workers=4,
        decode_threads=1,
        decoder_memory=100_000_000,
        decoder_cpu_sec=3,
        variant="int8",
        api_keys_file=Path("keys.txt"),
        allow_anonymous=True,
        max_streams=13,
        stream_sec=14,
        stream_idle_sec=15,
        stream_ahead_sec=16,
        ui=False,
        drift_window=100,
        log_format="json",
        trace_rate=0.5,
        cors_origins=("https://app.example.org", "http://localhost:5173"),
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


def test_a_file_holds_settings_and_a_variable_goes_before_it(tmp_path: Path) -> None:
    file = tmp_path / "service.json"
    file.write_text('{"max_in_flight": 64, "timeout_sec": 5, "log_format": "json", "allow_anonymous": true}')
    settings = read_settings({"EMOTIONS_CONFIG": str(file), "EMOTIONS_TIMEOUT_SEC": "7"})
    assert settings == Settings(max_in_flight=64, timeout_sec=7, log_format="json", allow_anonymous=True)
    assert read_settings({"EMOTIONS_CONFIG": ""}) == Settings()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "service.json: cannot be read"),
        ("{", "is not JSON"),
        ("[1]", "service.json: is no object of settings"),
        ('{"max_batches": 3}', "service.json: max_batches: no such setting; did you mean 'max_batch'"),
        ('{"max_batch": 0}', "service.json: max_batch: got 0; input should be greater than or equal to 1"),
        ('{"max_batch": "many"}', "service.json: max_batch: got 'many'"),
        ('{"bundle": 3}', "service.json: bundle: got 3"),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "service.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings({"EMOTIONS_CONFIG": str(file)})
    assert told in str(caught.value)


def test_batches_are_larger_on_a_gpu_unless_set() -> None:
    assert (Settings().batch_limit("cpu"), Settings().batch_limit("cuda")) == (16, 64)
    assert Settings(max_batch=5).batch_limit("cuda") == 5


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.settings.available_cores", lambda: 8)
    assert Settings().cores == 8
    assert Settings(workers=3).cores == 2
    assert Settings(workers=20).cores == 1


def test_each_gpu_has_a_worker_of_its_own(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.settings.gpu_count", lambda: 3)
    asked: list[int] = []
    monkeypatch.setattr("serving.worker.startup.open_session", lambda _, **options: asked.append(options["device_id"]))
    for worker in range(5):
        open_predictor(Settings(bundle=tiny_bundle), worker)
    assert asked == [0, 1, 2, 0, 1]
    assert Settings().processes == 3
    assert Settings(workers=5).processes == 5
    assert Settings(device="cpu").processes == 1


@pytest.mark.parametrize(
    ("threads", "long", "asked", "parallel_batches", "each"),
    [
        *((1, False, None, 1, 1), (2, False, None, 2, 1), (9, False, None, 4, 2), (9, True, None, 1, 9)),
        *((4, False, 1, 1, 4), (2, False, 3, 3, 1), (8, True, 2, 2, 4)),
    ],
)
def test_parallel_batches_share_out_the_threads(
    threads: int, long: bool, asked: int | None, parallel_batches: int, each: int
) -> None:
    assert cpu_parallel_batches(threads, long=long, asked=asked) == (parallel_batches, each)


def test_a_worker_opens_its_model_for_its_parallel_batches(tiny_bundle: Path) -> None:
    settings = Settings(bundle=tiny_bundle, device="cpu", threads=6, parallel_batches=2)
    assert open_predictor(settings).session.threads == 3


def test_without_a_gpu_there_is_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.settings.gpu_count", lambda: 0)
    assert Settings().processes == 1
