"""The audit finds every planted leak, and nothing among recordings that hold none."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from emotions.audio.decode import decode
from emotions.audio.windows import FloatArray
from emotions.errors import DataError
from tests.conftest import WriteWav
from tests.training.data.voices.helpers import embeddings
from training.config.dataset import Column, DatasetConfig, Pattern, SplitConfig
from training.data.checks import leakage
from training.data.checks.copies import find_matches
from training.data.checks.fingerprints import fingerprint
from training.data.checks.leakage import Leaks, audit, fingerprints
from training.data.clips import Clip, ClipTable, read_clips
from training.data.split.splits import make_split
from training.data.voices.comparison import compare_voices
from training.data.waveforms.waveform_cache import WaveformCache


def encoded(waveform: FloatArray, form: str) -> FloatArray:
    content = io.BytesIO()
    soundfile.write(content, waveform, 16_000, format=form)
    return decode(content.getvalue())


def disguises(waveform: FloatArray) -> dict[str, FloatArray]:
    """A clip as it comes back to a corpus."""
    telephone = soxr.resample(soxr.resample(waveform, 16_000, 8_000), 8_000, 16_000)
    late = np.concatenate([np.zeros(4_800, np.float32), waveform])
    return {
        "copied": waveform.copy(),
        "MP3": encoded(waveform, "MP3"),
        "OGG": encoded(waveform, "OGG"),
        "8 kHz and back": telephone,
        "300 ms later": late,
        "without its first 300 ms": waveform[4_800:],
        "half the gain": (np.round(waveform * 0.5 * 32_767) / 32_767).astype(np.float32),
        "all at once": encoded((np.pad(telephone, (4_801, 0)) * 0.5).astype(np.float32), "MP3"),
    }


@pytest.fixture(scope="module")
def table(emodb4: Path) -> ClipTable:
    return read_clips(DatasetConfig(path=str(emodb4), targets=["emotion"]), Path("/"))


def test_no_alarm_among_real_recordings_of_the_same_speakers_and_sentences(table: ClipTable) -> None:
    cache = WaveformCache()
    facts = cache.prepare(table.clips, 2)
    assert len(table) == 339
    assert find_matches(fingerprints(table.clips, facts, cache)) == []


def test_every_disguise_of_real_recordings_is_found_among_all(table: ClipTable) -> None:
    waveforms = [decode(clip.file) for clip in table.clips[::12]]
    known = [fingerprint(waveform) for waveform in waveforms]
    for index in range(0, len(waveforms), 3):
        for name, disguised in disguises(waveforms[index]).items():
            matches = find_matches([*known, fingerprint(disguised)])
            assert [match.first for match in matches] == [index], name
            if name == "300 ms later":
                assert matches[0].shift_sec == pytest.approx(0.3, abs=0.02)


@pytest.fixture
def planted(write_wav: WriteWav, tmp_path: Path) -> tuple[ClipTable, DatasetConfig]:
    """Four speakers, two clips of noise each: no leak."""
    random = np.random.default_rng(0)
    clips = []
    for number in range(8):
        noise = soxr.resample(0.1 * random.standard_normal(8_000), 8_000, 16_000)
        file = write_wav(tmp_path / f"{number}.wav", noise)
        columns = {"sentence": str(number)}
        clips.append(
            Clip(file, file.name, None, None, {"emotion": "sad"}, f"s{number // 2}", f"r{number}", None, columns)
        )
    return ClipTable(tmp_path, tuple(clips), ("emotion",)), DatasetConfig()


PARTS = np.array([0, 0, 0, 0, 1, 1, 2, 2])


def found(table: ClipTable, config: DatasetConfig) -> Leaks:
    cache = WaveformCache()
    split = make_split(table, PARTS, "speaker", "test")
    return audit(table, cache.prepare(table.clips), [split], config, cache)


def changed(table: ClipTable, at: int, **values: object) -> ClipTable:
    clips = list(table.clips)
    clips[at] = replace(clips[at], **values)  # type: ignore[arg-type]
    return replace(table, clips=tuple(clips))


def test_a_clean_split_passes(planted: tuple[ClipTable, DatasetConfig]) -> None:
    leaks = found(*planted)
    leaks.raise_for("data")
    assert leaks.summary() == {
        "found": {"speaker": 0, "recording": 0, "audio": 0, "sentence": 0, "voice": None},
        "allowed": [],
    }


def test_a_speaker_on_both_sides_stops(planted: tuple[ClipTable, DatasetConfig]) -> None:
    table, config = planted
    with pytest.raises(DataError, match=r"speaker: s0 \(3 clips, in train and test\)[^$]*allow_leaks: \[\"speaker\"\]"):
        found(changed(table, 7, speaker="s0"), config).raise_for("data")


def test_a_recording_on_both_sides_stops_where_it_is_named(planted: tuple[ClipTable, DatasetConfig]) -> None:
    table, config = planted
    guessed = changed(changed(table, 0, recording="take"), 7, recording="take")
    found(guessed, config).raise_for("data")  # two speakers may call a file alike
    told = config.model_copy(update={"recording": Pattern(pattern="(.)")})
    with pytest.raises(DataError, match=r"recording: take \(2 clips, in train and test\)"):
        found(guessed, told).raise_for("data")


def test_audio_on_both_sides_stops(planted: tuple[ClipTable, DatasetConfig], write_wav: WriteWav) -> None:
    table, config = planted
    original = decode(table.clips[0].file)
    write_wav(table.clips[7].file, original)
    with pytest.raises(DataError, match=r"audio: 0.wav \(train\) and 7.wav \(test\): the same samples"):
        found(table, config).raise_for("data")
    write_wav(table.clips[7].file, np.pad(original * 0.5, (1_600, 0)))
    with pytest.raises(DataError, match=r"0.wav \(train\) and 7.wav \(test\): the same recording, 0.10 s shifted"):
        found(table, config).raise_for("data")


def test_copies_on_one_side_are_no_leak(planted: tuple[ClipTable, DatasetConfig], write_wav: WriteWav) -> None:
    table, config = planted
    write_wav(table.clips[1].file, decode(table.clips[0].file))
    found(table, config).raise_for("data")


def test_what_is_allowed_goes_on_and_is_told(planted: tuple[ClipTable, DatasetConfig]) -> None:
    table, config = planted
    allowing = config.model_copy(update={"split": SplitConfig(allow_leaks=["speaker"])})
    leaks = found(changed(table, 7, speaker="s0"), allowing)
    leaks.raise_for("data")
    assert leaks.summary()["allowed"] == ["speaker"]
    assert leaks.summary()["found"]["speaker"] == 1


def test_a_sentence_on_both_sides_is_told_and_stops_nothing(planted: tuple[ClipTable, DatasetConfig]) -> None:
    table, config = planted
    leaks = found(changed(table, 7, columns={"sentence": "0"}), config)
    leaks.raise_for("data")
    assert leaks.summary()["found"]["sentence"] == 1
    by_name = config.model_copy(update={"sentence": Pattern(pattern="(wav)")})
    assert found(table, by_name).summary()["found"]["sentence"] == 1
    with pytest.raises(DataError, match=r"dataset.sentence.column: there is no column 'words'"):
        found(table, config.model_copy(update={"sentence": Column(column="words")}))


def test_kinds_that_nothing_is_known_of_are_not_called_clean(planted: tuple[ClipTable, DatasetConfig]) -> None:
    table, config = planted
    nameless = replace(table, clips=tuple(replace(clip, speaker=None, columns={}) for clip in table.clips))
    assert found(nameless, config).summary()["found"] == {
        "speaker": None,
        "recording": 0,
        "audio": 0,
        "sentence": None,
        "voice": None,
    }


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speaker encoder is here; s0 sounds like s2, and s1 like nobody."""
    values = embeddings([0, 1, 0, 2], 16)
    names = [f"s{number}" for number in range(4) for _ in range(16)]
    voices = compare_voices(values, names, ["a"] * 64)
    monkeypatch.setattr(leakage, "fetched", lambda _: Path("encoder"))
    monkeypatch.setattr(leakage, "named_voices", lambda *_: voices)


def test_names_on_both_sides_that_sound_like_one_person_are_told_and_stop_nothing(
    planted: tuple[ClipTable, DatasetConfig], alike: None, caplog: pytest.LogCaptureFixture
) -> None:
    leaks = found(*planted)
    leaks.raise_for("data")
    assert leaks.summary()["found"]["voice"] == 1
    [line] = leaks.found["voice"]
    assert re.fullmatch(r"s0 \(2 clips\) and s2 \(2 clips\) sound like one person with over 99 % certainty", line)
    leaks.warn_of_voices()
    assert re.search(r" 1 pair of speakers on both sides of the split .* with over 99 % certainty", caplog.text)
    assert "s0" not in caplog.text


def test_names_on_one_side_that_sound_like_one_person_are_no_leak(
    planted: tuple[ClipTable, DatasetConfig], alike: None, caplog: pytest.LogCaptureFixture
) -> None:
    table, config = planted
    cache = WaveformCache()
    split = make_split(table, np.array([0, 0, 1, 1, 0, 0, 2, 2]), "speaker", "test")
    leaks = audit(table, cache.prepare(table.clips), [split], config, cache)
    leaks.warn_of_voices()
    assert leaks.summary()["found"]["voice"] == 0
    assert not caplog.text
