from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from emotions.audio.decode import decode
from emotions.audio.windows import WindowSpec, split
from training.data.clips import Clip
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.dataset import NO_LABEL, WindowDataset
from training.data.waveforms.waveform_cache import WaveformCache

SPEC = WindowSpec(8_000, 8_000)
LABELS = {"emotion": ["happy", "sad"], "state": ["good"]}


@pytest.fixture
def clips(tmp_path: Path, tone: Callable[..., Any], write_wav: Callable[..., Path]) -> list[Clip]:
    labels = [{"emotion": "sad"}, {"emotion": "happy", "state": "good"}, {"state": "good"}]
    files = [write_wav(tmp_path / f"{sec}.wav", tone(sec, hz=300 + 100 * sec)) for sec in (0.2, 1.3, 0.5)]
    return [Clip(f, f.name, None, None, each, None, f.stem, None, {}) for f, each in zip(files, labels, strict=True)]


@pytest.fixture
def dataset(clips: list[Clip]) -> WindowDataset:
    cache = WaveformCache()
    return WindowDataset(clips, cache.prepare(clips), cache, SPEC, LABELS)


def test_items_are_the_windows_that_split_makes(clips: list[Clip], dataset: WindowDataset) -> None:
    expected = [(index, split(decode(clip.file), SPEC)) for index, clip in enumerate(clips)]
    assert len(dataset) == sum(len(windows) for _, windows in expected) == 5
    flat = [(clip, *pair) for clip, w in expected for pair in zip(w.samples, w.lengths, strict=True)]
    for item, (clip, samples, length) in zip((dataset[n] for n in range(5)), flat, strict=True):
        waveform, found_length, _, found_clip, _ = item
        assert waveform.dtype == torch.float32
        assert np.array_equal(waveform.numpy(), samples)
        assert (found_length, found_clip) == (length, clip)


def test_classes_follow_the_given_order_and_a_missing_label_is_ignored(dataset: WindowDataset) -> None:
    assert [dataset[n][2] for n in (0, 1, 4)] == [
        {"emotion": 1, "state": NO_LABEL},
        {"emotion": 0, "state": 0},
        {"emotion": NO_LABEL, "state": 0},
    ]
    assert dataset.classes("emotion").tolist() == [1, 0, NO_LABEL]


def test_a_dynamic_window_still_gives_items_of_one_width(clips: list[Clip]) -> None:
    cache = WaveformCache()
    dataset = WindowDataset(clips, cache.prepare(clips), cache, WindowSpec(8_000, 8_000, dynamic=True), LABELS)
    assert {dataset[n][0].shape for n in range(len(dataset))} == {(8_000,)}


def test_batches_of_a_loader_with_workers(dataset: WindowDataset) -> None:
    loader = DataLoader(dataset, batch_size=5, num_workers=1, multiprocessing_context="spawn")
    [(waveform, length, classes, clip, share)] = list(loader)
    assert waveform.shape == (5, 8_000)
    assert length.tolist() == [3_200, 8_000, 8_000, 8_000, 8_000]
    assert length.dtype == classes["state"].dtype == torch.int64
    assert classes["emotion"].tolist() == [1, 0, 0, 0, NO_LABEL]
    assert clip.tolist() == [0, 1, 1, 1, 2]
    assert [float(share[clip == each].sum()) for each in (0, 1, 2)] == pytest.approx([1, 1, 1])


def test_no_audio_is_in_what_is_sent_to_workers(dataset: WindowDataset) -> None:
    assert len(pickle.dumps(dataset)) < 8_000


def test_clips_that_cannot_be_used_and_unknown_labels_are_refused(clips: list[Clip]) -> None:
    cache = WaveformCache()
    facts = cache.prepare(clips)
    with pytest.raises(ValueError, match="usable"):
        WindowDataset(clips, [*facts[:2], ClipInfo(error="silent")], cache, SPEC, LABELS)
    with pytest.raises(ValueError, match="'sad' is not one of happy"):
        WindowDataset(clips, facts, cache, SPEC, {"emotion": ["happy"]})


def test_an_empty_dataset_has_no_items() -> None:
    assert len(WindowDataset([], [], WaveformCache(), SPEC, LABELS)) == 0
