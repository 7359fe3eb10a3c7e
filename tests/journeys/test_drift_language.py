"""Another language is drift: the same synthetic voices speak English, new sentences of it, and German and Spanish."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.audio.decoders.read import read
from emotions.audio.signal_measure import measure_signal
from emotions.bundle.reference.drift import Comparison
from emotions.bundle.reference.fit import reference_of
from emotions.bundle.reference.observation import Observation
from emotions.cli import run
from emotions.predictor import Predictor
from tests.conftest import needs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DRAWS = 20
CLIPS = 500
VOICES = ("m1", "m2", "m3", "m4", "m6", "m7", "f1", "f2", "f3", "f4")
CLASSES = {"calm": ("40", "130"), "brisk": ("55", "180"), "wild": ("85", "240")}
"""Pitch, and words a minute, of espeak-ng."""
WORDS = {
    "en": (
        "My sister|The old driver|A tall child|Our neighbour|The young doctor|Her uncle|This woman|The second teacher",
        "has found|will carry|cannot see|wants to buy|forgot|is painting|brought home|never liked",
        "the green bottle|seven small stones|that long letter|a heavy table|the broken window|our last apples|a ball",
        "before dinner|in the garden|on Thursday|without a word|near the station|again and again|because of the rain",
    ),
    "de": (
        "Meine Schwester|Der alte Fahrer|Ein großes Kind|Unser Nachbar|Die junge Ärztin|Ihr Onkel|Diese Frau|Der Wirt",
        "findet|trägt|sieht|kauft|vergisst|bemalt|bringt|mag",
        "die grüne Flasche|sieben kleine Steine|den langen Brief|einen schweren Tisch|das kaputte Fenster|die Äpfel",
        "vor dem Essen|im Garten|am Donnerstag|ohne ein Wort|beim Bahnhof|immer wieder|wegen des Regens",
    ),
    "es": (
        "Mi hermana|El viejo conductor|Un niño alto|Nuestro vecino|La joven doctora|Su tío|Esta mujer|El maestro",
        "ha encontrado|va a llevar|no puede ver|quiere comprar|olvidó|está pintando|trajo a casa|nunca quiso",
        "la botella verde|siete piedras pequeñas|aquella carta larga|una mesa pesada|la ventana rota|las manzanas",
        "antes de la cena|en el jardín|el jueves|sin una palabra|cerca de la estación|otra vez|a causa de la lluvia",
    ),
}
Clips = list[tuple[str, str, Path]]
"""Class, voice and file of each."""


def spoken(language: str, count: int, folder: Path, seed: int) -> Clips:
    """Clips of random sentences, each by a random voice in a random class."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    parts = [words.split("|") for words in WORDS[language]]
    clips, commands = [], []
    for number in range(count):
        text = " ".join(str(random.choice(words)) for words in parts)
        label, voice = str(random.choice([*CLASSES])), str(random.choice(VOICES))
        (pitch, speed), file = CLASSES[label], folder / f"{number:04}.wav"
        clips.append((label, voice, file))
        commands.append(["espeak-ng", "-v", f"{language}+{voice}", "-p", pitch, "-s", speed, "-w", str(file), text])
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda command: subprocess.run(command, check=True, timeout=60), commands):
            pass
    return clips


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs(shutil.which("espeak-ng") is not None, "espeak-ng is not installed")
    return tmp_path_factory.mktemp("language")


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    """A small classifier of the classes, trained on English sentences that nothing else uses."""
    clips = spoken("en", 300, folder / "train", 1)
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
        said = predictor.predict(np.ascontiguousarray(waveform, np.float32))
        found.append(Observation(said.probabilities, said.values, said.duration_sec, measure_signal(waveform)))
    return found


@pytest.fixture(scope="module")
def english(predictor: Predictor, folder: Path) -> list[Observation]:
    return observed(predictor, spoken("en", 2 * CLIPS, folder / "en", 2))


def drifted(predictor: Predictor, reference: Sequence[Observation], current: Sequence[Observation]) -> set[str]:
    labels = predictor.manifest.labels
    found = Comparison(reference_of(reference, labels, "English"), labels)
    return {each.statistic for each in found.findings(found.joined(current)) if each.drifted}


def draws(english: list[Observation]) -> list[tuple[list[Observation], list[Observation]]]:
    """Halves of the English clips."""
    orders = [np.random.default_rng(seed).permutation(len(english)) for seed in range(DRAWS)]
    return [([english[at] for at in each[:CLIPS]], [english[at] for at in each[CLIPS:]]) for each in orders]


def test_the_classifier_tells_its_classes(predictor: Predictor, folder: Path) -> None:
    clips = spoken("en", 60, folder / "check", 3)
    right = [predictor.predict(file).labels["emotion"] == label for label, _, file in clips]
    assert np.mean(right) > 0.8


def test_new_sentences_of_the_same_language_and_voices_are_no_drift(
    predictor: Predictor, english: list[Observation]
) -> None:
    alarms = [drifted(predictor, one, other) for one, other in draws(english)]
    print("the same language:", alarms)
    assert sum(map(bool, alarms)) == 0


@pytest.mark.parametrize("language", ["de", "es"])
def test_another_language_is_drift_within_five_hundred_clips(
    predictor: Predictor, english: list[Observation], folder: Path, language: str
) -> None:
    other = observed(predictor, spoken(language, CLIPS, folder / language, 4))
    for count in (100, 200, CLIPS):
        alarms = [drifted(predictor, one, other[:count]) for one, _ in draws(english)]
        print(language, count, sum(map(bool, alarms)), sorted(set().union(*alarms)))
    assert all(alarms)
