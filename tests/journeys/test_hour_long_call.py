"""A call of an hour, one speaker a channel, made of real recordings: what ``--calls`` says of it is what was put in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

import emotions
from emotions.audio.decode import SAMPLE_RATE, decode
from emotions.audio.speech.windows import split_speech
from emotions.audio.windows import FloatArray, WindowSpec
from emotions.calls.averages import average, units
from emotions.calls.spans import Span, merged, shared, total, union

REPOSITORY = Path(__file__).parents[2]
HOUR, RATE = 3600, 8_000
GAINS = (1.0, 0.25)
TURNS, CLIPS_IN_TURN = 10, (2, 5)
CUT_IN, CHANGE, NOTE_AT = 1.5, 0.2, 2.0
"""Seconds before the other's end at which a turn is taken, or the turns change; and into it at which a note falls."""
_PROGRAM = """
import re, sys
from emotions.cli import run
code = run(sys.argv[2:])
with open(sys.argv[1], "w") as stream, open("/proc/self/status") as status:
    stream.write(re.search(r"VmHWM:\\s+(\\d+) kB", status.read()).group(1))
sys.exit(code)
"""
_QUIET = 0.02
_MOST_MORE_MIB, _MOST_CPU_SEC, _MOST_CPU_MINUTES = 200, 60, 20
"""The processor time is that of a usual machine; of a slower one, so many times that of a call of a minute."""


@dataclass
class Script:
    """What is put into a call.

    Attributes:
        channels: (2, samples) at 8 kHz.
        spans: where each participant speaks.
        turns: numbers of the turns of each, in order, with the span of each.
        interruptions: made by each.
    """

    channels: FloatArray
    spans: tuple[list[Span], list[Span]] = field(default_factory=lambda: ([], []))
    turns: tuple[list[tuple[int, Span]], list[tuple[int, Span]]] = field(default_factory=lambda: ([], []))
    interruptions: list[int] = field(default_factory=lambda: [0, 0])

    def say(self, who: int, number: int, samples: FloatArray, start: float) -> float:
        """Put a turn in, and give its end."""
        first = round(start * RATE)
        self.channels[who, first : first + len(samples)] += samples
        end = (first + len(samples)) / RATE
        self.spans[who].append((first / RATE, end))
        self.turns[who].append((number, (first / RATE, end)))
        return end


def clips(folder: Path) -> list[FloatArray]:
    """Recordings of one segment of speech each, without the silence at their ends, at 16 kHz."""
    found = []
    for path in sorted(folder.rglob("*.wav"))[::4]:
        samples = decode(path)
        loud = np.flatnonzero(np.abs(samples) > _QUIET * np.abs(samples).max())
        samples = samples[loud[0] : loud[-1]]
        around = np.pad(samples, SAMPLE_RATE)
        if len(split_speech(around, WindowSpec(SAMPLE_RATE, SAMPLE_RATE))[1].spans) == 1:
            found.append(samples / np.abs(samples).max() * 0.5)
    return found


def phrases(voices: list[FloatArray], random: np.random.Generator) -> list[FloatArray]:
    """Turns of a few recordings each, at 16 kHz."""
    counts = random.integers(*CLIPS_IN_TURN, TURNS)
    return [np.concatenate([voices[at] for at in random.integers(0, len(voices), count)]) for count in counts]


def scripted(turns: list[list[FloatArray]], notes: list[FloatArray], random: np.random.Generator) -> Script:
    """An hour in which two take turns: after a pause, with a short overlap, by interruption, or with a note between."""
    script = Script(np.zeros((2, HOUR * RATE), np.float32))
    at, who = 2.0, 0
    while True:
        number = int(random.integers(0, TURNS))
        spoken = turns[who][number]
        if at + len(spoken) / RATE + 10 > HOUR:
            return script
        end = script.say(who, number, spoken, at)
        kind = random.choice(["pause", "change", "interruption", "note"], p=[0.5, 0.2, 0.2, 0.1])
        if kind == "note" and NOTE_AT + len(notes[1 - who]) / RATE + 1 > len(spoken) / RATE:
            kind = "pause"  # it would outlast the turn
        if kind == "note":
            script.say(1 - who, TURNS, notes[1 - who], at + NOTE_AT)
        script.interruptions[1 - who] += kind == "interruption"
        gaps = {"pause": random.uniform(1, 8), "change": -CHANGE, "interruption": -CUT_IN, "note": 2.0}
        at, who = end + gaps[str(kind)], 1 - who


def predicted(folder: Path, bundle: Path, name: str) -> tuple[dict[str, Any], float, float, float]:
    """The line of a call, and the seconds, processor seconds and MiB that it took."""
    command = [sys.executable, "-c", _PROGRAM, "memory", "predict", f"{name}.wav", "--bundle", str(bundle), "--quiet"]
    command += [
        "--output",
        f"{name}.csv",
        "--calls",
        f"{name}.jsonl",
        "--channels",
        "split",
        "--speakers",
        "agent,customer",
    ]
    started = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    line = json.loads((folder / f"{name}.jsonl").read_text())
    return (
        line,
        time.perf_counter() - started,
        usage.ru_utime + usage.ru_stime,
        int((folder / "memory").read_text()) / 1024,
    )


def expected_means(
    predictor: emotions.Predictor, script: Script, spoken: list[FloatArray], who: int
) -> Mapping[str, Any]:
    """Mean probabilities of a participant, of each turn alone, weighted by its length."""
    means = []
    for samples in spoken:
        found = predictor.predict((np.pad(samples, RATE), RATE), segments="speech")
        means.append(average(units(found), 0, found.duration_sec).probabilities["emotion"])
    seconds = [(number, end - start) for number, (start, end) in script.turns[who]]
    talk = sum(length for _, length in seconds)
    return {label: sum(means[number][label] * length for number, length in seconds) / talk for label in means[0]}


@pytest.mark.slow
def test_an_hour_is_summed_up_as_it_was_put_together(
    emodb4: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    voices = clips(emodb4)
    halves = voices[::2], voices[1::2]
    every = [[*phrases(half, random), half[0]] for half in halves]
    turns = [
        [gain * soxr.resample(each, SAMPLE_RATE, RATE) for each in said]
        for said, gain in zip(every, GAINS, strict=True)
    ]
    script = scripted([said[:TURNS] for said in turns], [said[TURNS] for said in turns], random)
    soundfile.write(tmp_path / "hour.wav", script.channels.T, RATE, subtype="PCM_16")
    soundfile.write(tmp_path / "minute.wav", script.channels[:, : 60 * RATE].T, RATE, subtype="PCM_16")

    *_, minute_cpu, little = predicted(tmp_path, tiny_bundle, "minute")
    call, wall, cpu, mib = predicted(tmp_path, tiny_bundle, "hour")

    speech = [merged(spans) for spans in script.spans]
    rows = [("", "found", "put in")]
    rows += [
        ("silence, s", call["silence_sec"], HOUR - total(union(speech))),
        ("overlap, s", call["overlap_sec"], total(shared(*speech))),
    ]
    for who, found in enumerate(call["participants"]):
        rows += [
            (f"{found['speaker']}: talk, s", found["talk_sec"], total(speech[who])),
            (f"{found['speaker']}: share of talk", found["talk_share"], total(speech[who]) / sum(map(total, speech))),
            (f"{found['speaker']}: interruptions", found["interruptions"], script.interruptions[who]),
        ]
    with capsys.disabled():
        print(f"\nan hour, two channels: {wall:.1f} s, {cpu:.1f} s of processor time, {mib:.0f} MiB", end=" ")
        print(f"({little:.0f} for a minute)")
        for name, *figures in rows:
            print(
                f"  {name:<26}"
                + "".join(f"{each:>10.3f}" if isinstance(each, float) else f"{each:>10}" for each in figures)
            )

    assert call["duration_sec"] == HOUR
    for who, found in enumerate(call["participants"]):
        # A segment begins and ends up to 0.2 s beside the speech in it: 0.1 s are added, and frames have 32 ms.
        assert found["talk_sec"] == pytest.approx(total(speech[who]), rel=0.05)
        assert found["talk_share"] == pytest.approx(total(speech[who]) / sum(map(total, speech)), abs=0.02)
        assert found["interruptions"] == pytest.approx(script.interruptions[who], abs=3)
        power = np.mean(script.channels[who][script.channels[who] != 0].astype(np.float64) ** 2)
        assert found["level_dbfs"] == pytest.approx(10 * np.log10(power), abs=1)
        for number, quarter in enumerate(found["quarters"]):
            part = shared(speech[who], [(number * HOUR / 4, (number + 1) * HOUR / 4)])
            assert quarter["talk_sec"] == pytest.approx(total(part), rel=0.06)
    assert call["silence_sec"] == pytest.approx(HOUR - total(union(speech)), rel=0.1)
    assert call["overlap_sec"] == pytest.approx(total(shared(*speech)), rel=0.1)
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    for who, found in enumerate(call["participants"]):
        means = expected_means(predictor, script, turns[who], who)
        # Windows of half a second are cut at other places of a turn.
        assert found["probabilities"]["emotion"] == pytest.approx(means, abs=0.03)
    assert mib < little + _MOST_MORE_MIB
    assert cpu < max(_MOST_CPU_SEC, _MOST_CPU_MINUTES * minute_cpu)
