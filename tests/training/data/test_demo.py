from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emotions.errors import OutputExists
from emotions.files.content import sha256
from tests.training.data.helpers import read
from training.data.demo import make_demo_corpus
from training.data.waveforms.waveform_cache import WaveformCache


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    one, same, other = (
        make_demo_corpus(tmp_path / name, seed, speakers=2, takes=2) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    names = sorted(path.relative_to(one) for path in one.rglob("*.wav"))
    assert len(names) == 16
    assert [sha256(one / name) for name in names] == [sha256(same / name) for name in names]
    assert all(sha256(one / name) != sha256(other / name) for name in names)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(OutputExists):
        make_demo_corpus(tmp_path)


def test_emotions_can_be_told_on_speakers_not_heard_but_not_perfectly(tmp_path: Path) -> None:
    table = read(make_demo_corpus(tmp_path / "demo"), speaker={"pattern": r"/(\d\d)_"})
    assert table.counts("emotion") == {"angry": 48, "happy": 48, "neutral": 48, "sad": 48}
    cache = WaveformCache()
    facts = cache.prepare(table.clips, 2)
    assert all(1.2 <= fact.duration_sec <= 2.5 and not fact.error and not fact.clipped for fact in facts)
    assert len({fact.sha256 for fact in facts}) == 192
    features = np.stack([bands(cache.load(fact, clip)) for fact, clip in zip(facts, table.clips, strict=True)])
    labels = np.array([clip.labels["emotion"] for clip in table.clips])
    speakers = np.array([clip.speaker for clip in table.clips])
    right = []
    for speaker in np.unique(speakers):
        model = make_pipeline(StandardScaler(), SVC(C=3)).fit(
            features[speakers != speaker], labels[speakers != speaker]
        )
        right.append((model.predict(features[speakers == speaker]) == labels[speakers == speaker]).mean())
    assert 0.65 < np.mean(right) < 0.98


def bands(waveform: np.ndarray) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 512)[::256] * np.hanning(512)
    power = np.square(np.abs(np.fft.rfft(frames)[:, :256])).reshape(len(frames), 32, 8).mean(2)
    log = np.log(power + 1e-6)
    return np.concatenate([log.mean(0), log.std(0)])
