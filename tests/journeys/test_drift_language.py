"""Another language is drift, and other sentences of the same language are not.

A synthesiser would itself be drift beside recordings, so that both sides are spoken by the same one: espeak-ng, with
the same voices, pitches and tempi, and of one level and length, which are not looked at. Each sentence comes once: a
reference of few sentences knows these alone, as one of few speakers does.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emotions
from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.decoders.read import read
from emotions.audio.signal_measure import measure_signal
from emotions.audio.windows import FloatArray
from emotions.bundle.reference.drift import Comparison
from emotions.bundle.reference.fit import reference_of
from emotions.bundle.reference.observation import Observation
from emotions.cli import run
from emotions.predictor import Predictor
from tests.conftest import needs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DRAWS = 20
CLIPS, MOST = 250, 150
"""Clips of the reference and of other sentences of its language; and of each other language, where 500 are allowed."""
TRAINING, CHECKING, COMPARED = slice(0, 200), slice(200, 260), slice(260, 260 + 2 * CLIPS)
"""Parts of the German sentences."""
VOICES = ("m1", "m2", "m3", "m4", "m6", "m7", "f1", "f2", "f3", "f4")
CLASSES = {"calm": (40, 130), "brisk": (55, 180), "wild": (85, 240)}
"""Pitch, and words a minute, of espeak-ng."""
SECONDS, LEVEL = 1.5, 0.05
"""Of each clip, at most, and root mean square."""
WORDS = {
    "de": (
        "Meine Schwester|Der alte Fahrer|Ein großes Kind|Unser Nachbar|Die junge Ärztin|Ihr Onkel|Diese Frau|Der Wirt"
        "|Der Bäcker|Jeder Gast|Mein Freund|Eine Schülerin",
        "findet|trägt|sieht|kauft|vergisst|bemalt|bringt|mag|sucht|verkauft|holt|zeigt",
        "die grüne Flasche|sieben kleine Steine|den langen Brief|einen schweren Tisch|das kaputte Fenster|die Äpfel"
        "|den Schlüssel|zwei Bücher|ein rotes Hemd|keine Blumen|das Fahrrad|unseren Hund",
    ),
    "en": (
        "My sister|The old driver|A tall child|Our neighbour|The young doctor|Her uncle|This woman|The landlord"
        "|The baker|Every guest|My friend|A pupil",
        "finds|carries|sees|buys|forgets|paints|brings|likes|looks for|sells|fetches|shows",
        "the green bottle|seven small stones|that long letter|a heavy table|the broken window|the apples"
        "|the key|two books|a red shirt|no flowers|the bicycle|our dog",
    ),
    "ru": (
        "Моя сестра|Старый водитель|Высокий ребёнок|Наш сосед|Молодой врач|Её дядя|Эта женщина|Хозяин"
        "|Пекарь|Каждый гость|Мой друг|Ученица",
        "находит|несёт|видит|покупает|забывает|рисует|приносит|любит|ищет|продаёт|берёт|показывает",
        "зелёную бутылку|семь маленьких камней|длинное письмо|тяжёлый стол|разбитое окно|яблоки"
        "|ключ|две книги|красную рубашку|цветы|велосипед|нашу собаку",
    ),
    "cmn": (
        "我的姐姐|那个老司机|一个高个子孩子|我们的邻居|年轻的医生|她的叔叔|这个女人|房东|面包师|每位客人|我的朋友|一个学生",
        "找到|拿着|看见|买了|忘了|画了|带来|喜欢|寻找|卖了|取来|展示",
        "绿色的瓶子|七块小石头|那封长信|一张重桌子|破窗户|苹果|钥匙|两本书|一件红衬衫|花|自行车|我们的狗",
    ),
}
Clips = list[tuple[str, str, Path]]
"""Class, voice and file of each."""


def spoken(language: str, part: slice, folder: Path) -> Clips:
    """Clips of a part of all sentences, in random order, each by a random voice in a random class."""
    folder.mkdir(parents=True)
    sentences = [" ".join(words) for words in product(*(phrases.split("|") for phrases in WORDS[language]))]
    texts = np.random.default_rng(0).permutation(sentences)[part].tolist()
    random = np.random.default_rng(part.start)
    clips, commands = [], []
    for number, text in enumerate(texts):
        label, voice = str(random.choice([*CLASSES])), str(random.choice(VOICES))
        file, pitch, speed = folder / f"{number:04}.wav", *map(str, CLASSES[label])
        clips.append((label, voice, file))
        commands.append(["espeak-ng", "-v", f"{language}+{voice}", "-p", pitch, "-s", speed, "-w", str(file), text])
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda command: subprocess.run(command, check=True, timeout=60), commands):
            pass
    for _, _, file in clips:
        soundfile.write(file, alike(read(file).waveform), SAMPLE_RATE)
    return clips


def alike(waveform: FloatArray) -> FloatArray:
    """The first seconds of what is said, at one level."""
    heard = np.flatnonzero(np.abs(waveform) > 0.01)
    part = waveform[heard[0] : heard[-1]][: round(SECONDS * SAMPLE_RATE)]
    return (part * (LEVEL / np.sqrt(np.mean(np.square(part))))).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs(shutil.which("espeak-ng") is not None, "espeak-ng is not installed")
    return tmp_path_factory.mktemp("language")


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    """A small classifier of the classes, trained on German sentences that nothing else uses."""
    clips = spoken("de", TRAINING, folder / "train")
    rows = {file.name: {"emotion": label, "speaker": voice} for label, voice, file in clips}
    (folder / "train" / "annotations.json").write_text(json.dumps(rows))
    step = {
        "type": "train",
        "model": "FunctionalsClassifier",
        "dataset": {"path": str(folder / "train"), "speaker": {"column": "speaker"}, "targets": ["emotion"]},
        "saving_data_params": {"saved_checkpoints_path": str(folder / "run")},
        "learn_params": {"max_epoch": 10},
        "accelerator": "cpu",
    }
    (folder / "train.json").write_text(json.dumps({"pipeline": [step]}))
    assert run(["train", str(folder / "train.json")]) == 0
    assert run(["export", "--run", str(folder / "run"), "--output", str(folder / "bundle")]) == 0
    return emotions.load(folder / "bundle", device="cpu")


def observed(predictor: Predictor, clips: Clips) -> list[Observation]:
    found = []
    for _, _, file in clips:
        waveform = read(file).waveform
        said, signal = predictor.predict(waveform), replace(measure_signal(waveform), level_dbfs=math.nan)
        found.append(Observation(said.probabilities, said.values, signal=signal))
    return found


@pytest.fixture(scope="module")
def german(predictor: Predictor, folder: Path) -> list[Observation]:
    return observed(predictor, spoken("de", COMPARED, folder / "de"))


def draws(german: list[Observation]) -> list[tuple[list[Observation], list[Observation]]]:
    """Halves of the German clips: no sentence is in both."""
    orders = [np.random.default_rng(seed).permutation(len(german)) for seed in range(DRAWS)]
    return [([german[at] for at in each[:CLIPS]], [german[at] for at in each[CLIPS:]]) for each in orders]


def drifted(predictor: Predictor, reference: Sequence[Observation], current: Sequence[Observation]) -> set[str]:
    labels = predictor.manifest.labels
    found = Comparison(reference_of(reference, labels, "German"), labels)
    return {each.statistic for each in found.findings(found.joined(current)) if each.drifted}


def test_the_classifier_tells_its_classes(predictor: Predictor, folder: Path) -> None:
    clips = spoken("de", CHECKING, folder / "check")
    right = [predictor.predict(file).labels["emotion"] == label for label, _, file in clips]
    assert np.mean(right) > 0.7


def test_other_sentences_of_the_same_language_are_no_drift(predictor: Predictor, german: list[Observation]) -> None:
    alarms = [drifted(predictor, one, other) for one, other in draws(german)]
    print("other sentences:", sum(map(bool, alarms)), "of", len(alarms), alarms)
    assert sum(map(bool, alarms)) == 0


@pytest.mark.parametrize("language", ["en", "ru", "cmn"])
def test_another_language_is_drift(
    predictor: Predictor, german: list[Observation], folder: Path, language: str
) -> None:
    other = observed(predictor, spoken(language, slice(0, MOST), folder / language))
    for count in (100, MOST):
        alarms = [drifted(predictor, one, other[:count]) for one, _ in draws(german)]
        print(language, count, sum(map(bool, alarms)), "of", len(alarms), sorted(set().union(*alarms)))
    assert all(alarms)
