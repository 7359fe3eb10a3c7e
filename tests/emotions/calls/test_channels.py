from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emotions
from emotions.calls.channels import by_channel, channel_count, channels_of, check_speakers, one_channel, speakers_of
from emotions.errors import ConfigError, NoChannel
from emotions.inputs.input_file import InputFile
from tests.conftest import Tone, WriteWav


@pytest.fixture
def stereo(tone: Tone, write_wav: WriteWav, tmp_path: Path) -> InputFile:
    both = np.stack([tone(1.0, 300), tone(1.0, 3_000)], axis=1)
    return InputFile(write_wav(tmp_path / "stereo.wav", both), "stereo.wav")


@pytest.fixture
def mono(tone: Tone, write_wav: WriteWav, tmp_path: Path) -> InputFile:
    return InputFile(write_wav(tmp_path / "mono.wav", tone(1.0, 300)), "mono.wav")


@pytest.mark.parametrize(("text", "found"), [("mix", "mix"), ("first", "first"), ("split", "split"), ("64", 64)])
def test_channels_are_words_or_a_number(text: str, found: str | int) -> None:
    assert channels_of(text) == found


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "left", "1.0", "²", "9" * 5_000])
def test_other_channels_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^channels: got .*; mix, first, split, or a number from 1 to 64$"):
        channels_of(text)


def test_one_channel_is_read_by_its_number() -> None:
    assert [one_channel(each) for each in ("mix", "first", 3)] == [None, 1, 3]
    with pytest.raises(ConfigError, match="split makes several predictions"):
        one_channel("split")


def test_names_of_channels() -> None:
    assert speakers_of(" agent, customer") == ("agent", "customer")
    assert speakers_of("") == ()
    for names in (["a", "a"], ["a", ""], ["a\n"], ["a" * 101], [str(number) for number in range(65)]):
        with pytest.raises(ConfigError, match=r"^speakers: "):
            check_speakers(names)


@given(st.text())
def test_any_text_is_names_or_refused(text: str) -> None:
    try:
        names = speakers_of(text)
    except ConfigError:
        return
    assert len(set(names)) == len(names) <= 64
    assert all(name and name.isprintable() for name in names)


def test_each_channel_is_a_file_of_its_own(stereo: InputFile, mono: InputFile, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    broken = InputFile(tmp_path / "text.wav", "text.wav")
    assert [channel_count(file) for file in (stereo, mono, broken)] == [2, 1, 0]
    found = by_channel([stereo, mono, broken], "split", ("agent",))
    assert [(file.name, file.channel, file.speaker) for file in found] == [
        ("stereo.wav", 1, "agent"),
        ("stereo.wav", 2, "channel 2"),
        ("mono.wav", 1, "agent"),
        ("text.wav", 1, "agent"),
    ]
    assert len(by_channel([mono], "split", ("agent", "customer", "supervisor"))) == 3
    assert by_channel([stereo], "mix") == (stereo,)
    assert [file.channel for file in by_channel([stereo], 2)] == [2]


def test_a_channel_is_answered_as_a_recording_of_its_own(tiny_bundle: Path, stereo: InputFile, tone: Tone) -> None:
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    results = [*predictor.predict_folder(stereo.source, channels="split", speakers=("agent", "customer", "nobody"))]
    assert [(each.channel, each.speaker, each.code) for each in results] == [
        (1, "agent", None),
        (2, "customer", None),
        (3, "nobody", "no_channel"),
    ]
    for number, hertz in enumerate((300, 3_000), 1):
        alone = predictor.predict(tone(1.0, hertz)).probabilities["emotion"]
        whole = results[number - 1].prediction
        assert whole is not None
        assert whole.probabilities["emotion"] == pytest.approx(alone, abs=1e-3)
        by_number = predictor.predict(stereo.path, channels=number)
        assert by_number.probabilities["emotion"] == pytest.approx(alone, abs=1e-3)
    first, mix = (predictor.predict(stereo.path, channels=each).probabilities for each in ("first", "mix"))
    assert first["emotion"] == pytest.approx(predictor.predict(stereo.path, channels=1).probabilities["emotion"])
    assert mix["emotion"] != pytest.approx(first["emotion"], abs=1e-3)
    with pytest.raises(NoChannel):
        predictor.predict(tone(1.0), channels=2)
    assert predictor.predict(tone(1.0), channels=1).probabilities == predictor.predict(tone(1.0)).probabilities
