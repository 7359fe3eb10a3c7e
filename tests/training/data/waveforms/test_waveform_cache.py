from __future__ import annotations

import json
import logging
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.audio.decode import decode
from emotions.errors import DataError
from tests.training.data.helpers import read
from training.data.clips import Clip, ClipTable
from training.data.waveforms.array_store import ArrayStore
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.usable import usable
from training.data.waveforms.waveform_cache import WaveformCache

Tone = Callable[..., Any]
WriteWav = Callable[..., Path]


def clip(file: Path, start: float | None = None, end: float | None = None, label: str = "x") -> Clip:
    return Clip(file, file.name, start, end, {"emotion": label}, None, file.stem, None, {})


@pytest.fixture
def mixed(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> list[Clip]:
    """One clip of every kind of recording."""
    stereo = np.stack([tone(rate=44_100), 0.5 * tone(rate=44_100)], axis=1)
    return [
        clip(write_wav(tmp_path / "u8.wav", tone(hz=300), subtype="PCM_U8")),
        clip(write_wav(tmp_path / "s24.wav", tone(hz=310), subtype="PCM_24")),
        clip(write_wav(tmp_path / "s32.wav", tone(hz=320), subtype="PCM_32")),
        clip(write_wav(tmp_path / "float.wav", tone(hz=330), subtype="FLOAT")),
        clip(write_wav(tmp_path / "stereo.wav", stereo, 44_100)),
        clip(write_wav(tmp_path / "8k.wav", tone(rate=8_000), 8_000)),
        clip(write_wav(tmp_path / "96k.wav", tone(rate=96_000), 96_000)),
    ]


@pytest.fixture
def broken(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> dict[str, Clip]:
    """Error code to a clip that has it."""
    bad = tone()
    bad[100] = np.nan
    (tmp_path / "text.wav").write_text("this is not audio at all " * 20)
    (tmp_path / "empty.wav").write_bytes(b"")
    return {
        "not_finite": clip(write_wav(tmp_path / "nan.wav", bad, subtype="FLOAT")),
        "too_short": clip(write_wav(tmp_path / "none.wav", np.zeros(0))),
        "silent": clip(write_wav(tmp_path / "silent.wav", np.zeros(16_000))),
        "not_audio": clip(tmp_path / "text.wav"),
        "not_audio ": clip(tmp_path / "empty.wav"),
        "unreadable": clip(tmp_path / "gone.wav"),
    }


@pytest.mark.parametrize("workers", [0, 3])
def test_every_kind_of_recording_becomes_what_decode_makes_of_it(mixed: list[Clip], workers: int) -> None:
    cache = WaveformCache()
    facts = cache.prepare(mixed, workers)
    assert [fact.error for fact in facts] == [None] * len(mixed)
    assert [fact.rate for fact in facts] == [16_000] * 4 + [44_100, 8_000, 96_000]
    assert [fact.channels for fact in facts] == [1, 1, 1, 1, 2, 1, 1]
    for each, fact in zip(mixed, facts, strict=True):
        waveform = cache.waveform(each)
        assert isinstance(waveform, np.memmap)
        assert waveform.dtype == np.float32
        assert np.array_equal(waveform, decode(each.file))
        assert fact.samples == len(waveform)
        assert fact.duration_sec == pytest.approx(1, abs=0.01)
        assert 0.2 < fact.peak < 0.32
        assert fact.clipped == 0


def test_a_second_time_nothing_is_decoded(mixed: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    facts = WaveformCache().prepare(mixed)
    monkeypatch.setattr("training.data.waveforms.waveform_cache.read", None)
    assert WaveformCache().prepare(mixed) == facts


def test_a_recording_that_changed_is_decoded_again(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    cache = WaveformCache()
    [before] = cache.prepare([clip(path)])
    write_wav(path, tone(hz=500))
    os.utime(path, ns=(1, 1))
    [after] = cache.prepare([clip(path)])
    assert before.sha256 != after.sha256


def test_bad_clips_have_a_reason_and_no_waveform(broken: dict[str, Clip], mixed: list[Clip]) -> None:
    cache = WaveformCache()
    clips = [*broken.values(), mixed[0]]
    for _ in range(2):
        facts = cache.prepare(clips, 2)
        assert [fact.error_code for fact in facts] == [*(code.strip() for code in broken), None]
        assert all(fact.error and not fact.sha256 for fact in facts[:-1])
    json.dumps([fact.__dict__ for fact in facts], allow_nan=False)
    with pytest.raises(DataError, match=r"silent\.wav: nothing to hear"):
        cache.waveform(broken["silent"])


def test_a_clip_that_is_cut_off_is_used_as_far_as_it_goes_or_left_out(
    tmp_path: Path, tone: Tone, write_wav: WriteWav, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_wav(tmp_path / "cut.wav", tone())
    path.write_bytes(path.read_bytes()[:-16_000])
    cache, clips = WaveformCache(), [clip(path), clip(path, 0, 0.4), clip(path, 0.2, 0.9)]
    facts = cache.prepare(clips)
    assert [fact.samples for fact in facts] == [8_000, 6_400, 4_800]
    assert [bool(fact.warnings) for fact in facts] == [True, False, True], "the second segment is whole"
    assert cache.prepare(clips) == facts
    assert "truncated: is cut off: 16000 bytes" in facts[0].warnings[0]
    names = [clip(Path(f"/x/{n}.wav"), label=label) for n, label in enumerate("aabbc")]
    table, rest = ClipTable(Path("/x"), tuple(names), ("emotion",)), [ClipInfo("00", 400)] * 4
    assert usable(table, [facts[0], *rest]) == (table, [facts[0], *rest])
    assert "1 of 5 clips are cut off or damaged and used as far as they go" in caplog.text
    assert len(usable(table, [facts[0], *rest], strict=True)[0]) == 4
    assert "1 of 5 clips are left out (1 truncated)" in caplog.text


def test_segments_of_one_recording(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> None:
    path = write_wav(tmp_path / "a.wav", np.concatenate([tone(hz=300), tone(hz=400)]))
    whole = decode(path)
    segments = [clip(path, 0, 0.5), clip(path, 0.5, None), clip(path, 1.5, 9), clip(path, 3, 4), clip(path)]
    cache = WaveformCache()
    facts = cache.prepare(segments)
    assert [fact.samples for fact in facts] == [8_000, 24_000, 8_000, 0, 32_000]
    assert [fact.error_code for fact in facts] == [None, None, None, "too_short", None]
    assert "where the recording has ended" in str(facts[3].error)
    assert np.array_equal(cache.waveform(segments[1]), whole[8_000:])


def test_clipping_is_measured(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> None:
    loud = np.clip(8 * tone(), -1, 1)
    [facts] = WaveformCache().prepare([clip(write_wav(tmp_path / "a.wav", loud))])
    assert facts.clipped > 0.3
    assert facts.peak > 0.999


def test_clips_that_sound_the_same_share_one_array(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> None:
    cache = WaveformCache()
    one, two = cache.prepare([clip(write_wav(tmp_path / f"{n}.wav", tone())) for n in "ab"])
    assert one.sha256 == two.sha256
    assert len(list(cache.store.root.glob("??/*.npy"))) == 1


def test_damage_is_logged_and_mended(mixed: list[Clip], caplog: pytest.LogCaptureFixture) -> None:
    cache = WaveformCache()
    facts = cache.prepare(mixed)
    array = cache.store.path(facts[0].sha256)
    array.write_bytes(array.read_bytes()[:-4])
    for path in sorted((cache.store.root / "facts").rglob("*.json"))[:2]:
        path.write_text('{"sha256": ')
    with caplog.at_level(logging.WARNING):
        assert cache.prepare(mixed) == facts
    assert "damaged" in caplog.text
    assert all(np.array_equal(cache.waveform(each), decode(each.file)) for each in mixed)


@pytest.mark.parametrize("what", ["samples", "facts", "swapped facts"])
def test_what_was_altered_is_made_again(mixed: list[Clip], what: str) -> None:
    facts = WaveformCache().prepare(mixed)
    cache = WaveformCache()
    kept = sorted((cache.store.root / "facts").rglob("*.json"))
    if what == "samples":
        path = cache.store.path(facts[0].sha256)
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
    elif what == "facts":
        text = kept[0].read_text()
        kept[0].write_text(text.replace('"rate": ', '"rate": 1'))
        assert kept[0].read_text() != text
    else:
        kept[0].write_bytes(kept[1].read_bytes())
    assert cache.prepare(mixed) == facts
    assert all(np.array_equal(cache.waveform(each), decode(each.file)) for each in mixed)


def test_an_altered_array_is_made_again_for_another_clip_of_the_same_samples(
    tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    first, second = (clip(write_wav(tmp_path / name, tone())) for name in ("a.wav", "b.wav"))
    (facts,) = WaveformCache().prepare([first])
    path = WaveformCache().store.path(facts.sha256)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0?")
    cache = WaveformCache()
    cache.prepare([second])
    assert np.array_equal(cache.waveform(second), decode(second.file))


def test_a_recording_replaced_while_the_clock_was_set_back_is_decoded_again(
    tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    path = write_wav(tmp_path / "a.wav", tone())
    before = path.stat()
    [first] = WaveformCache().prepare([clip(path)])
    write_wav(path, tone(hz=500))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    [second] = WaveformCache().prepare([clip(path)])
    assert first.sha256 != second.sha256


def test_an_array_that_another_process_removed_is_made_again(mixed: list[Clip]) -> None:
    cache = WaveformCache()
    facts = cache.prepare(mixed)
    cache.store.path(facts[0].sha256).unlink()
    assert len(cache.load(facts[0], mixed[0])) == 16_000
    cache.store.path(facts[1].sha256).unlink()
    mixed[1].file.unlink()
    with pytest.raises(DataError, match="is gone"):
        cache.load(facts[1], mixed[1])


def test_a_full_disk_ends_the_work_at_once(mixed: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: ArrayStore, key: str, array: Any) -> None:
        raise DataError("the disk is full")

    monkeypatch.setattr(ArrayStore, "put", full)
    with pytest.raises(DataError, match="the disk is full"):
        WaveformCache().prepare(mixed, 2)


def test_the_cache_can_be_sent_to_workers(mixed: list[Clip]) -> None:
    cache = WaveformCache()
    cache.prepare(mixed)
    assert np.array_equal(pickle.loads(pickle.dumps(cache)).waveform(mixed[0]), cache.waveform(mixed[0]))  # noqa: S301


PREPARE = """
import sys
from pathlib import Path
from training.data.waveforms.waveform_cache import WaveformCache
from training.config.dataset import DatasetConfig
from training.data.clips import read_clips
table = read_clips(DatasetConfig(path=sys.argv[1]), Path("/"))
facts = WaveformCache().prepare(table.clips, 2)
print([fact.sha256 for fact in facts])
"""


def test_two_processes_prepare_the_same_clips_at_once(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> None:
    for number in range(12):
        write_wav(tmp_path / "set" / ("a" if number % 2 else "b") / f"{number}.wav", tone(hz=200 + 10 * number))
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "set")]
    root = Path(__file__).parents[4]
    started = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    table = read(tmp_path / "set")
    cache = WaveformCache()
    assert answers == [f"{[fact.sha256 for fact in cache.prepare(table.clips)]}\n"] * 2
    assert all(np.array_equal(cache.waveform(each), decode(each.file)) for each in table.clips)


def test_usable_leaves_out_bad_clips_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    names = [clip(Path(f"/x/{n}.wav"), label=label) for n, label in enumerate("aabbc")]
    table = ClipTable(Path("/x"), tuple(names), ("emotion",))
    good, bad = ClipInfo("00", 400), ClipInfo(error="silent: really", error_code="silent")
    assert usable(table, [good] * 5) == (table, [good] * 5)
    left, facts = usable(table, [good, bad, good, good, good])
    assert [each.name for each in left.clips] == ["0.wav", "2.wav", "3.wav", "4.wav"]
    assert facts == [good] * 4
    assert "1 of 5 clips are left out (1 silent)" in caplog.text
    assert "1.wav" not in caplog.text
    with pytest.raises(DataError, match="none of the 5 clips"):
        usable(table, [bad] * 5)
    with pytest.raises(DataError, match="at least two classes"):
        usable(table, [good, good, bad, bad, bad])


def test_long_work_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from rich.console import Console

    from training.data import progress

    shown = StringIO()
    monkeypatch.setattr("emotions.pipeline.runner.console", lambda: Console(file=shown, force_terminal=True, width=60))
    assert list(progress.watched(iter(range(3)), 3, "Decoding")) == [0, 1, 2]
    assert shown.getvalue() == ""
    monkeypatch.setattr(progress, "_PATIENCE_SEC", -1)
    assert list(progress.watched(iter(range(3)), 3, "Decoding")) == [0, 1, 2]
    assert "Decoding" in shown.getvalue()


def test_emodb4_decodes_without_a_warning(emodb4: Path) -> None:
    table = read(emodb4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts = WaveformCache().prepare(table.clips, 2)
    assert not [fact for fact in facts if fact.error]
    assert sum(fact.duration_sec for fact in facts) > 600
