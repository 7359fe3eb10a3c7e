"""Speakers of EmoDB-4 under two names each: the doubles are told, and no two persons are accused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from emotions.audio.windows import FloatArray
from tests.conftest import with_index
from training.config.dataset import DatasetConfig
from training.data.clips import ClipTable, read_clips
from training.data.voices.comparison import compare_voices
from training.data.voices.embeddings import clip_embeddings
from training.data.voices.guess import guess_speakers
from training.data.voices.names import main_labels
from training.data.waveforms.waveform_cache import WaveformCache
from training.models.shelf.catalogue import RESEMBLYZER
from training.models.shelf.fetch import fetch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WAYS = 50


class Voices:
    """Embeddings, speakers and labels of the corpus."""

    def __init__(self, table: ClipTable, embeddings: FloatArray) -> None:
        self.embeddings = embeddings
        self.speakers = np.array([clip.speaker for clip in table.clips])
        self.labels = np.array(main_labels(table.clips, table.targets))

    def halves(self, random: np.random.Generator, doubled: list[str], most: int) -> tuple[int, int, int, int]:
        """Doubles told, doubles, pairs of persons accused, pairs of persons; some speakers have two names each."""
        names = np.full(len(self.speakers), "", dtype=object)
        for speaker in np.unique(self.speakers):
            clips = random.permutation(np.flatnonzero(self.speakers == speaker))
            half = len(clips) // 2 if speaker in doubled else 0
            names[clips[half:][:most]] = f"{speaker}b"
            names[clips[:half][:most]] = f"{speaker}a"
        kept = names != ""
        found = compare_voices(self.embeddings[kept], names[kept].astype(str), self.labels[kept])
        right = sum(pair.first[:-1] == pair.second[:-1] for pair in found.pairs)
        pairs = len(found.names) * (len(found.names) - 1) // 2
        return right, len(doubled), len(found.pairs) - right, pairs - len(doubled)


@pytest.fixture(scope="module")
def voices(emodb4: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Voices]:
    folder = tmp_path_factory.mktemp("voices")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(folder), RESEMBLYZER.package]
    if subprocess.run(command, env=with_index(), capture_output=True, check=False, timeout=300).returncode:
        pytest.skip(f"no index here has {RESEMBLYZER.package}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOTIONS_CACHE", str(folder / "cache"))
        encoder, cache = fetch(RESEMBLYZER, folder / RESEMBLYZER.wheel), WaveformCache()
        table = read_clips(DatasetConfig(path=str(emodb4), targets=["emotion"]), Path("/"))
        yield Voices(table, clip_embeddings(table.clips, cache.prepare(table.clips, 2), cache, encoder))


def shares(found: list[tuple[int, int, int, int]]) -> tuple[float, float]:
    told, doubles, accused, pairs = np.sum(found, axis=0)
    return told / doubles, accused / pairs


@pytest.mark.parametrize(("most", "least"), [(2, 0.0), (4, 0.4), (8, 0.9), (16, 0.97), (99, 0.97)])
def test_each_speaker_under_two_names_is_told_by_enough_clips(voices: Voices, most: int, least: float) -> None:
    random, speakers = np.random.default_rng(0), np.unique(voices.speakers)
    one_by_one = [voices.halves(random, [speaker], most) for _ in range(WAYS) for speaker in speakers]
    told, accused = shares(one_by_one)
    assert told >= least
    assert accused <= 0.005


@pytest.mark.parametrize(("most", "least"), [(8, 0.75), (16, 0.95), (99, 0.95)])
def test_all_of_them_at_once_too(voices: Voices, most: int, least: float) -> None:
    random, speakers = np.random.default_rng(1), list(np.unique(voices.speakers))
    told, accused = shares([voices.halves(random, speakers, most) for _ in range(WAYS)])
    assert told >= least
    assert accused <= 0.02


def test_the_corpus_itself_has_no_doubles(voices: Voices) -> None:
    assert compare_voices(voices.embeddings, list(voices.speakers), list(voices.labels)).pairs == []


def test_speakers_are_guessed_from_single_clips(voices: Voices) -> None:
    guess = guess_speakers(voices.embeddings, list(voices.labels))
    assert 8 <= guess.max() + 1 <= 12
    assert adjusted_rand_score(voices.speakers, guess) > 0.6
