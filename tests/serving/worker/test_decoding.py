"""Uploads that cost much beside those that do not."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time

import httpx
import psutil
import pytest

from tests import hostile_audio
from tests.serving.conftest import StartService, error_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="decoders are processes of Linux")


@pytest.fixture(scope="module")
def dear() -> bytes:
    """FLAC that takes one or two seconds of a core, and is silent."""
    return hostile_audio.flac_silence(8, 192_000, 60.0)


@pytest.fixture(scope="module")
def dearest() -> bytes:
    """FLAC that takes many seconds, on a fast machine too."""
    return hostile_audio.flac_silence(8, 192_000, 600.0)


def busy_sec(seconds: float) -> float:
    """Processor time that decoders use while nothing is asked of them."""

    def used() -> float:
        found = 0.0
        for each in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += each.cpu_times().user
        return found

    before = used()
    time.sleep(seconds)
    return used() - before


def are_idle_soon() -> bool:
    """Whether decoders do nothing any more, long before the dearest recording is decoded."""
    return any(busy_sec(0.3) < 0.1 for _ in range(5))


def test_what_claims_too_many_samples_is_refused_at_once(start: StartService) -> None:
    content = hostile_audio.vorbis_silence(64, 192_000, 300.0)
    service = start()
    started = time.perf_counter()
    assert error_of(service.post(content)) == (413, "too_long")
    assert time.perf_counter() - started < 3  # to decode it takes many times as long


def test_the_limit_of_samples_is_a_setting(start: StartService, clip: bytes) -> None:
    assert start(max_samples=19_200).post(clip).status_code == 200
    assert error_of(start(max_samples=19_199).post(clip)) == (413, "too_long")


def test_a_decoder_at_its_processor_time_is_the_recordings_error(start: StartService, dearest: bytes) -> None:
    service = start(decoder_cpu_sec=1, max_samples=10**12)
    response = service.post(dearest)
    assert error_of(response) == (422, "crashed")
    assert "processor time" in response.json()["error"]["message"]


def test_a_deadline_ends_the_decoder(start: StartService, dearest: bytes, clip: bytes) -> None:
    service = start(timeout_sec=0.5, max_samples=10**12)
    service.engine.warm_up()  # decoders are not being started when it is measured what they do
    waits = []
    for _ in range(3):  # the machine may be busy with something else, but not each time
        started = time.perf_counter()
        assert error_of(service.post(dearest)) == (504, "timeout")
        waits.append(time.perf_counter() - started)
    assert min(waits) < 1
    assert are_idle_soon()
    assert service.post(clip).status_code == 200


def test_a_client_that_leaves_ends_the_decoder(start: StartService, dearest: bytes) -> None:
    service = start(max_samples=10**12)
    service.engine.warm_up()

    async def scene() -> None:
        async with service.client() as client:
            request = asyncio.create_task(client.post("/v1/predict", content=dearest))
            await asyncio.sleep(0.7)
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)

    asyncio.run(scene())
    assert are_idle_soon()


@pytest.mark.parametrize("plain", [False, True])
def test_dear_uploads_do_not_delay_the_others(
    start: StartService, dear: bytes, clip: bytes, monkeypatch: pytest.MonkeyPatch, *, plain: bool
) -> None:
    monkeypatch.setattr("serving.worker.decoding._QUICK_SEC", 2.0)  # where a busy machine takes long for a quick one
    dear = hostile_audio.flac_silence(1, 192_000, 590.0) if plain else dear  # plain, and long
    service = start(timeout_sec=6)
    service.engine.warm_up()
    quick = hostile_audio.m4a(1.0)

    async def scene() -> tuple[list[float], list[httpx.Response], list[httpx.Response]]:
        waits, good = [], []
        async with service.client() as client:
            uploads = [asyncio.create_task(client.post("/v1/predict", content=dear)) for _ in range(20)]
            await asyncio.sleep(0.5)
            for _ in range(8):
                started = time.perf_counter()
                good.append(await client.post("/v1/predict", content=clip))
                waits.append(time.perf_counter() - started)
                await asyncio.sleep(0.2)
            good.append(await client.post("/v1/predict", content=quick))
            return waits, good, await asyncio.gather(*uploads)

    waits, good, answers = asyncio.run(scene())
    assert [response.status_code for response in good[:-1]] == [200] * 8
    assert good[-1].json()["error"]["code"] == "silent"  # decoded, while the others wait
    assert max(waits) < 1
    codes = [error_of(answer) for answer in answers]
    assert set(codes) <= {(422, "silent"), (503, "overloaded"), (504, "timeout")}
    assert codes.count((503, "overloaded")) >= 5  # at once, rather than queued past their deadline


def test_a_short_plain_recording_waits_for_no_thread(start: StartService, clip: bytes) -> None:
    service, held = start(decode_threads=1), threading.Event()

    async def scene() -> tuple[int, bool]:
        busy = asyncio.ensure_future(service.engine.in_decoder(held.wait, 30))
        async with service.client() as client:
            answered = await client.post("/v1/predict", content=clip)
            waited = busy.done()
            held.set()
            await busy
        return answered.status_code, waited

    assert asyncio.run(scene()) == (200, False)
