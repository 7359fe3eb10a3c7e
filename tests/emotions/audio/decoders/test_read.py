"""Recordings through decoders: the same samples as in this process, and an end for those that cost too much."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from emotions.audio import decode
from emotions.audio.decode import ReadOptions
from emotions.audio.decoders.cancellation import Cancellation
from emotions.audio.decoders.pool import decoder_pool
from emotions.audio.decoders.protocol import DecoderLimits
from emotions.audio.decoders.read import default_limits, in_decoder, open_waveform, read
from emotions.errors import ConfigError, Crashed, NotAudio, TooLong, Truncated
from tests import hostile_audio
from tests.conftest import Tone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="decoders are processes of Linux")


def decoders() -> list[psutil.Process]:
    """The decoder processes of this one, and what they are forked from."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if any("emotions.audio.decoders.nursery" in part for part in process.cmdline()):
                found.append(process)
    return found


def encoded(tone: Tone, container: str, subtype: str, sec: float = 3.0) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(sec, rate=48_000), 48_000, format=container, subtype=subtype)
    return file.getvalue()


@pytest.fixture(scope="module")
def vorbis(tone: Tone) -> bytes:
    return encoded(tone, "OGG", "VORBIS")


@pytest.fixture(scope="module")
def dear() -> bytes:
    """FLAC that takes many seconds to decode, on a fast machine too."""
    return hostile_audio.flac_silence(8, 192_000, 600.0)


@pytest.fixture
def slow_stream(dear: bytes) -> Iterator[psutil.Process]:
    """The decoder of a recording of which one block has been read."""
    with open_waveform(dear, ReadOptions()) as stream:
        next(stream.blocks)
        others = {os.getpid(), *(each.process for each in decoder_pool()._idle)}
        yield next(each for each in decoders() if each.pid not in others and each.ppid() not in others)


@pytest.mark.parametrize(
    ("container", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)
@pytest.mark.parametrize(
    "options", [ReadOptions(), ReadOptions(start=0.7, end=1.9), ReadOptions(strict=True, max_sec=4)]
)
def test_a_decoder_gives_what_this_process_gives(
    tone: Tone, tmp_path: Path, container: str, subtype: str, options: ReadOptions
) -> None:
    content = encoded(tone, container, subtype)
    path = tmp_path / "clip"
    path.write_bytes(content)
    here = decode.read(content, max_sec=options.max_sec, strict=options.strict, start=options.start, end=options.end)
    for source in (content, path):
        with in_decoder(source, options) as stream:
            forced = decode.recording_of(stream)
        for there in (read(source, options), forced):
            assert (there.rate, there.channels, there.flaws) == (here.rate, here.channels, here.flaws)
            np.testing.assert_array_equal(there.waveform, here.waveform)


def test_plain_recordings_need_no_decoder(tone: Tone) -> None:
    content = encoded(tone, "WAV", "PCM_16")
    program = (
        "import sys, psutil; from emotions.audio.decoders.read import read; read(sys.stdin.buffer.read());"
        "print(len(psutil.Process().children()))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=content, capture_output=True, check=True)
    assert done.stdout.strip() == b"0"


def test_errors_and_flaws_come_from_a_decoder_as_they_are(tone: Tone, vorbis: bytes, tmp_path: Path) -> None:
    mp3 = encoded(tone, "MP3", "MPEG_LAYER_III")
    cut = mp3[: len(mp3) // 2]
    assert [type(flaw) for flaw in read(cut).flaws] == [Truncated]
    with pytest.raises(Truncated, match="cut off"):
        read(cut, ReadOptions(strict=True))
    with pytest.raises(TooLong, match="longer than 1 s"):
        read(vorbis, ReadOptions(max_sec=1))
    with pytest.raises(NotAudio):
        read(vorbis[:200])
    with pytest.raises(FileNotFoundError) as missing:
        read(tmp_path / "none.ogg")
    assert missing.value.filename == str(tmp_path / "none.ogg")


def test_damaged_flac_is_read_on_by_a_decoder(tone: Tone) -> None:
    content = bytearray(encoded(tone, "FLAC", "PCM_16", 30.0))
    content[len(content) * 3 // 4 : len(content) * 3 // 4 + 500] = bytes(500)
    here, there = decode.read(bytes(content)), read(bytes(content))
    assert there.warnings == here.warnings != ()
    np.testing.assert_array_equal(there.waveform, here.waveform)


@pytest.mark.parametrize("name", ["claims.m4a", "fragments.mp4"])
def test_tables_that_count_more_than_the_file_has_are_refused_before_a_decoder_opens_it(name: str) -> None:
    content = {
        "claims.m4a": hostile_audio.m4a_that_claims(85_000_000),
        "fragments.mp4": hostile_audio.fragments_that_claim(85_000_000),
    }[name]
    started = time.process_time()
    with pytest.raises(NotAudio, match="counts 85000000 entries"):
        decode.read(content)
    assert time.process_time() - started < 1


def test_an_honest_m4a_is_read() -> None:
    assert abs(len(read(hostile_audio.m4a()).waveform) / decode.SAMPLE_RATE - 2.0) < 0.05


def test_samples_of_all_channels_are_limited_as_claimed_and_as_found() -> None:
    options = ReadOptions(max_sec=600, max_samples=20_000_000)
    contents = hostile_audio.vorbis_silence(8, 48_000, 300.0), hostile_audio.opus_silence(300.0)
    started = time.perf_counter()
    for claimed in contents:
        with pytest.raises(TooLong, match="in all its channels"):
            read(claimed, options)
    assert time.perf_counter() - started < 5
    with pytest.raises(TooLong, match="in all its channels"):
        read(hostile_audio.matroska_silence(60.0), options)


def test_eight_planes_are_read() -> None:
    recording = read(hostile_audio.matroska_silence(1.0))
    assert (recording.channels, len(recording.waveform)) == (8, 16_000)


def test_a_decoder_is_ended_at_its_memory(dear: bytes) -> None:
    with pytest.raises(Crashed, match="decoder"):
        read(dear, limits=DecoderLimits(memory=1 << 20))
    assert len(read(hostile_audio.flac_silence(8, 192_000, 1.0)).waveform) == 16_000


def test_a_decoder_is_ended_at_its_processor_time(dear: bytes) -> None:
    with pytest.raises(Crashed, match="more than 1 s of processor time"):
        read(dear, limits=DecoderLimits(cpu_sec=1))


def test_a_decoder_that_is_killed_is_one_recordings_error(slow_stream: psutil.Process, vorbis: bytes) -> None:
    slow_stream.kill()
    deadline = time.monotonic() + 60
    with contextlib.suppress(psutil.NoSuchProcess):
        while slow_stream.status() != psutil.STATUS_ZOMBIE:  # its parent waits for it when it is asked for another
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert len(read(vorbis).waveform) == 48_000


def test_a_killed_decoder_raises_crashed(dear: bytes, vorbis: bytes) -> None:
    with pytest.raises(Crashed, match="killed"), open_waveform(dear, ReadOptions()) as stream:
        next(stream.blocks)
        for process in decoders():
            if process.ppid() != os.getpid():
                process.kill()
        for _ in stream.blocks:
            pass
    assert len(read(vorbis).waveform) == 48_000


def test_what_decoders_are_forked_from_is_started_again(vorbis: bytes) -> None:
    read(vorbis)
    found = decoders()
    (nursery,) = [process for process in found if process.ppid() == os.getpid()]
    nursery.kill()
    assert psutil.wait_procs([process for process in found if process != nursery], timeout=30)[1] == []
    assert len(read(vorbis).waveform) == 48_000


def test_a_deadline_ends_decoding(dear: bytes, vorbis: bytes) -> None:
    read(vorbis)  # no decoder has to be started first
    assert _least_sec(lambda: read(dear, cancellation=Cancellation(time.monotonic() + 0.2))) < 1
    _no_decoder_is_busy()


def test_another_thread_ends_decoding(dear: bytes, vorbis: bytes) -> None:
    def cancelled() -> None:
        cancellation = Cancellation()
        threading.Timer(0.2, cancellation.cancel).start()
        read(dear, cancellation=cancellation)

    read(vorbis)
    assert _least_sec(cancelled) < 1
    _no_decoder_is_busy()


def _least_sec(ended: Callable[[], object]) -> float:
    """Seconds until a decoding is ended, of three: the machine may be busy with something else, but not each time."""
    taken = []
    for _ in range(3):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            ended()
        taken.append(time.monotonic() - started)
    return min(taken)


def _no_decoder_is_busy() -> None:
    time.sleep(0.1)
    before = {process.pid: process.cpu_times().user for process in decoders()}
    time.sleep(0.3)
    assert all(process.cpu_times().user - before.get(process.pid, 0) < 0.1 for process in decoders())


def test_decoders_are_used_again_and_leave_no_zombies(vorbis: bytes) -> None:
    decoder_pool().close()  # of other tests, some may have grown and ended while they were idle
    read(vorbis)
    before = {process.pid for process in decoders()}
    for _ in range(10):
        read(vorbis)
    assert {process.pid for process in decoders()} == before
    assert all(process.status() != psutil.STATUS_ZOMBIE for process in psutil.Process().children(recursive=True))


def test_threads_have_decoders_of_their_own(vorbis: bytes) -> None:
    expected = decode.read(vorbis).waveform
    results: list[bool] = []

    def work() -> None:
        results.extend(np.array_equal(read(vorbis).waveform, expected) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 30


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_decoders_end_with_their_process(dear: bytes, tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "dear.flac"
    path.write_bytes(dear)
    # Where the tests run in the background, SIGINT is ignored, and what they start inherits that.
    program = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from emotions.audio.decoders.read import read\nwhile True: print(read({str(path)!r}).rate, flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    children: list[psutil.Process] = []
    until = time.monotonic() + 120
    while len(children) < 2 and time.monotonic() < until:
        time.sleep(0.2)
        children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.send_signal(number)
    process.wait(30)
    assert psutil.wait_procs(children, timeout=30)[1] == []


def test_the_environment_names_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_DECODER_MEMORY", "1000000")
    assert default_limits().memory == 1_000_000
    monkeypatch.setenv("EMOTIONS_DECODER_MEMORY", "much")
    with pytest.raises(ConfigError, match="EMOTIONS_DECODER_MEMORY"):
        default_limits()


def test_a_decoder_that_had_a_deadline_is_ready_at_once(vorbis: bytes) -> None:
    read(vorbis)  # no decoder has to be started first
    started = time.monotonic()
    for _ in range(3):
        read(vorbis, cancellation=Cancellation(time.monotonic() + 30))
    assert time.monotonic() - started < 5
