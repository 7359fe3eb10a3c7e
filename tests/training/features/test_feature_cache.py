from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from emotions.audio.windows import WindowSpec
from emotions.errors import DataError, DiskFull
from training.data.clips import Clip
from training.data.waveforms.array_store import ArrayStore, clear, describe
from training.data.waveforms.dataset import NO_LABEL, WindowDataset
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.extract import by_length, rounded
from training.features.feature_cache import FeatureCache
from training.features.feature_dataset import FeatureDataset, FeatureItem
from training.models.base import Frontend, is_frozen
from training.models.frontends.spectrogram import Spectrogram

SPEC = WindowSpec(8_000, 8_000)
LABELS = {"emotion": ["happy", "sad"], "state": ["good"]}


class Wide(Frontend):
    """Five copies of the samples, times 3e4: more features than samples, and beyond float16 where they are loud."""

    def __init__(self, scale: float = 3e4) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale), requires_grad=False)

    def settings(self) -> dict[str, Any]:
        return {"frontend": "wide", "scale": self.scale.item()}

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        return waveform.unsqueeze(1).expand(-1, 5, -1) * self.scale, length


def spectrogram() -> Spectrogram:
    return Spectrogram(SPEC.samples, 32, "mel")


@pytest.fixture
def windows(tmp_path: Path, write_wav: Callable[..., Path]) -> WindowDataset:
    """Clips of 0.2, 1.3 and 0.5 s; 1 + 3 + 1 windows."""
    random, labels = np.random.default_rng(0), [{"emotion": "sad"}, {"emotion": "happy", "state": "good"}, {}]
    files = [write_wav(tmp_path / f"{sec}.wav", random.normal(0, 0.1, round(sec * 16_000))) for sec in (0.2, 1.3, 0.5)]
    clips = [Clip(f, f.name, None, None, each, None, f.stem, None, {}) for f, each in zip(files, labels, strict=True)]
    cache = WaveformCache()
    return WindowDataset(clips, cache.prepare(clips), cache, SPEC, LABELS)


def filled(windows: WindowDataset, frontend: Frontend) -> FeatureCache:
    cache = FeatureCache(frontend, SPEC, type(frontend) if isinstance(frontend, Wide) else spectrogram)
    cache.prepare(windows, frontend)
    return cache


def files(cache: FeatureCache) -> list[Path]:
    return sorted(cache.store.root.glob("??/*.npy"))


@pytest.mark.parametrize("frontend", [spectrogram(), Wide()])
def test_features_are_those_of_the_frontend_to_the_last_bit(windows: WindowDataset, frontend: Frontend) -> None:
    dataset = FeatureDataset(windows, filled(windows, frontend))
    assert len(dataset) == len(windows) == 5
    for index in [*range(5)] * 2:  # the second time, where they lie is known
        waveform, length, classes, clip, _ = windows[index]
        features, frames = frontend(waveform[None], torch.tensor([length]))
        item = dataset[index]
        assert torch.equal(item.features, rounded(features, SPEC.samples)[0])
        assert (item.frames, item.classes, item.clip) == (int(frames), classes, clip)
    assert dataset.classes("emotion").tolist() == [1, 0, NO_LABEL]


def test_batches_look_like_those_of_windows_and_are_told_apart_by_type(windows: WindowDataset) -> None:
    dataset = FeatureDataset(windows, filled(windows, spectrogram()))
    for workers in (0, 1):
        context = "spawn" if workers else None
        [batch] = list(DataLoader(dataset, 5, num_workers=workers, multiprocessing_context=context))
        assert isinstance(batch, FeatureItem)
        assert batch.features.shape == (5, 32, 32)
        assert batch.features.dtype == torch.float32
        assert batch.frames.tolist() == [13, 32, 32, 32, 32]
        assert batch.classes["state"].tolist() == [NO_LABEL, 0, 0, 0, NO_LABEL]
        assert batch.clip.tolist() == [0, 1, 1, 1, 2]


def test_what_is_kept_is_trimmed_mapped_and_small_only_where_it_is_large(windows: WindowDataset) -> None:
    cache = filled(windows, spectrogram())
    kept = [cache.load(windows, clip) for clip in range(3) for _ in range(2)]
    assert all(isinstance(each, np.memmap) and not each.flags.writeable for each in kept)
    assert [each.shape for each in kept[::2]] == [(1, 32, 13), (3, 32, 32), (1, 32, 32)]
    assert {each.dtype for each in kept} == {np.dtype(np.float32)}
    assert filled(windows, Wide(1.0)).load(windows, 1).dtype == np.float16


def test_features_beyond_float16_stay_as_they_are(windows: WindowDataset) -> None:
    frontend = Wide(1e6)
    kept = filled(windows, frontend).load(windows, 1)
    assert kept.dtype == np.float32
    assert np.abs(kept).max() > 65_504
    features = torch.tensor([[[1e6, 1 + 1e-4, torch.nan]]])
    assert rounded(features, 1).tolist()[0][0][:2] == [1e6, 1.0]
    assert torch.equal(rounded(features, 3), features) is False  # NaN stays NaN
    assert rounded(features, 3) is features


def test_a_second_time_nothing_is_computed(windows: WindowDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(windows, spectrogram())
    cache, frontend = FeatureCache(spectrogram(), SPEC, spectrogram), spectrogram()
    monkeypatch.setattr(frontend, "forward", None)
    assert cache.prepare(windows, frontend) == 0


def test_other_settings_windows_and_weights_have_features_of_their_own(windows: WindowDataset) -> None:
    frontends = [spectrogram(), Spectrogram(SPEC.samples, 32, "linear"), Wide(1.0), Wide(2.0)]
    keys = {FeatureCache(frontend, SPEC, spectrogram).key("00") for frontend in frontends}
    keys |= {FeatureCache(spectrogram(), WindowSpec(8_000, 4_000), spectrogram).key("00")}
    keys |= {FeatureCache(spectrogram(), SPEC, spectrogram).key("01")}
    assert len(keys) == 6
    assert FeatureCache(spectrogram(), SPEC, spectrogram).key("00") in keys


def test_what_was_kept_in_fp32_is_found_under_its_old_name_and_half_precision_under_another() -> None:
    full = FeatureCache(spectrogram(), SPEC, spectrogram)
    window = [SPEC.samples, SPEC.hop_samples, SPEC.dynamic]
    settings = json.dumps(spectrogram().settings(), sort_keys=True)
    assert full.key("00") == hashlib.sha256(json.dumps([2, "00", window, settings]).encode()).hexdigest()
    halves = [FeatureCache(spectrogram(), SPEC, spectrogram, precision=each).key("00") for each in ("fp16", "bf16")]
    assert len({full.key("00"), *halves}) == 3


def test_several_devices_share_the_work_and_give_the_same_features(windows: WindowDataset, tmp_path: Path) -> None:
    one = FeatureCache(spectrogram(), SPEC, spectrogram)
    assert one.prepare(windows, spectrogram()) == 3
    three = FeatureCache(spectrogram(), SPEC, spectrogram, root=tmp_path / "others")
    assert three.prepare(windows, spectrogram(), ["cpu"] * 3) == 3
    for clip in range(3):
        np.testing.assert_array_equal(three.load(windows, clip), one.load(windows, clip))
    assert three.prepare(windows, spectrogram(), ["cpu"] * 3) == 0


def test_a_device_that_fails_ends_the_pass(windows: WindowDataset, tmp_path: Path) -> None:
    frontend = Wide()
    cache = FeatureCache(frontend, SPEC, Wide)

    def fail(self: Wide, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        raise RuntimeError("CUDA error: out of memory")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(RuntimeError, match="out of memory"):
        patch.setattr(Wide, "forward", fail)
        cache.prepare(windows, frontend, ["cpu", "cpu"])


def test_a_pass_on_a_gpu_takes_clips_of_like_length_together(windows: WindowDataset) -> None:
    groups = by_length(windows, [0, 1, 2], torch.device("cuda"))
    assert groups == [[1, 2, 0]]  # all fill less than a batch


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def _garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"not an array")


@pytest.mark.parametrize("damage", [_cut, _garble, _overwrite])
def test_a_corrupt_file_is_made_again_and_said(
    windows: WindowDataset, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    cache = filled(windows, spectrogram())
    whole = {path: path.read_bytes() for path in files(cache)}
    damage(files(cache)[0])
    again = FeatureCache(spectrogram(), SPEC, spectrogram)
    with caplog.at_level(logging.WARNING):
        assert again.prepare(windows, spectrogram()) == 1
    assert "damaged and will be made again" in caplog.text
    assert {path: path.read_bytes() for path in files(again)} == whole


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_file_that_goes_while_training_is_made_again(windows: WindowDataset, looked_at: bool) -> None:
    dataset = FeatureDataset(windows, filled(windows, spectrogram()))
    before = [dataset[index].features for index in range(5)] if looked_at else []
    _cut(files(dataset.cache)[0])
    files(dataset.cache)[1].unlink()
    random = torch.get_rng_state()
    after = [dataset[index].features for index in range(5)]
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=looked_at))
    assert len(files(dataset.cache)) == 3


def test_features_that_cannot_be_made_again_are_named(windows: WindowDataset) -> None:
    cache = FeatureCache(Wide(1.0), SPEC, lambda: Wide(2.0))
    cache.prepare(windows, Wide(1.0))
    clear()
    with pytest.raises(DataError, match="raise EMOTIONS_CACHE_GB and start the run again"):
        FeatureDataset(windows, cache)[0]


def test_a_full_disk_is_one_clear_error_and_what_was_made_stays(
    windows: WindowDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = np.save, []

    def full(stream: Any, array: Any, **options: Any) -> None:
        if saved:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(save(stream, array, **options))

    cache = FeatureCache(spectrogram(), SPEC, spectrogram)
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(DiskFull, match=r"features: the disk is full; make room \(emotions cache clear\)"):
            cache.prepare(windows, spectrogram())
    assert len(files(cache)) == 1
    assert not list(cache.store.root.glob("??/.*"))
    assert cache.prepare(windows, spectrogram()) == 2


def test_the_least_recently_used_go_first_and_what_is_in_use_stays(
    windows: WindowDataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = files(filled(windows, spectrogram()))
    for path in old:
        os.utime(path, (1, 1))
    monkeypatch.setenv("EMOTIONS_CACHE_GB", "1e-6")
    cache = filled(windows, Wide(1.0))
    assert len(files(cache)) == 3
    assert not set(old) & set(files(cache))
    assert "raise EMOTIONS_CACHE_GB" in caplog.text


def test_parts_of_one_run_do_not_push_each_other_out(windows: WindowDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE_GB", "1e-6")
    parts = [
        WindowDataset([windows.clips[clip]], [windows.facts[clip]], WaveformCache(), SPEC, LABELS) for clip in range(3)
    ]
    cache = FeatureCache(spectrogram(), SPEC, spectrogram)
    assert [cache.prepare(part, spectrogram()) for part in parts] == [1, 1, 1]
    assert len(files(cache)) == 3


def test_cache_ls_and_clear_cover_it(windows: WindowDataset) -> None:
    cache = filled(windows, spectrogram())
    assert "features " in describe()
    assert "       3 files" in describe().split("features ")[1]
    assert clear() > sum(path.stat().st_size for path in files(cache))
    assert not cache.store.root.exists()


def test_clips_that_sound_the_same_are_computed_once(windows: WindowDataset) -> None:
    twice = WindowDataset(
        [*windows.clips, *windows.clips], [*windows.facts, *windows.facts], WaveformCache(), SPEC, LABELS
    )
    cache = FeatureCache(spectrogram(), SPEC, spectrogram)
    assert cache.prepare(twice, spectrogram()) == 3
    dataset = FeatureDataset(twice, cache)
    assert torch.equal(dataset[0].features, dataset[5].features)


def test_frames_that_differ_between_full_windows_are_refused(windows: WindowDataset) -> None:
    class Odd(Wide):
        def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
            features, frames = super().forward(waveform, length)
            return features, frames - torch.arange(len(frames))

    with pytest.raises(ValueError, match="same number of valid frames"):
        filled(windows, Odd())


def test_the_frontend_is_frozen_or_not() -> None:
    frontend = Wide()
    assert is_frozen(frontend)
    assert is_frozen(spectrogram())
    frontend.scale.requires_grad_(True)
    assert not is_frozen(frontend)


def test_no_features_are_in_what_is_sent_to_workers(windows: WindowDataset) -> None:
    dataset = FeatureDataset(windows, filled(windows, spectrogram()))
    assert len(pickle.dumps(dataset)) < 12_000
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[1].features, dataset[1].features)  # noqa: S301


BUILD = """
import sys, time
from pathlib import Path
import torch
from emotions.audio.windows import WindowSpec
from training.config.dataset import DatasetConfig
from training.data.waveforms.waveform_cache import WaveformCache
from training.data.clips import read_clips
from training.data.waveforms.dataset import WindowDataset
from training.features.feature_cache import FeatureCache
from training.models.frontends.spectrogram import Spectrogram

class Slow(Spectrogram):
    def forward(self, waveform, length):
        time.sleep(float(sys.argv[2]) * len(waveform))
        return super().forward(waveform, length)

torch.set_num_threads(1)
table = read_clips(DatasetConfig(path=sys.argv[1]), Path("/"))
waveforms = WaveformCache()
windows = WindowDataset(table.clips, waveforms.prepare(table.clips), waveforms, WindowSpec(320_000, 320_000),
                        {"emotion": table.labels("emotion")})
frontend = Slow(320_000, 32, "mel")
print(FeatureCache(frontend, windows.spec, lambda: frontend).prepare(windows, frontend))
"""
CLIPS = 24


@pytest.fixture
def build(tmp_path: Path, write_wav: Callable[..., Path]) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """``build(seconds a window)``: a process that caches features of 24 clips, a batch each."""
    random = np.random.default_rng(1)
    for number in range(CLIPS):
        write_wav(tmp_path / "set" / "ab"[number % 2] / f"{number}.wav", random.normal(0, 0.1, 8_000))
    started: list[subprocess.Popen[str]] = []

    def start(sec: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", BUILD, str(tmp_path / "set"), str(sec)]
        started.append(subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_killed_build_goes_on_where_it_stopped(
    build: Callable[[float], subprocess.Popen[str]], private_cache: Path
) -> None:
    killed, done = build(0.3), private_cache / "features"
    deadline = time.monotonic() + 200
    while len(list(done.glob("??/[!.]*.npy"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    finished = {path: path.stat().st_mtime_ns for path in done.glob("??/[!.]*.npy")}
    assert 3 <= len(finished) < CLIPS
    inodes = {path: path.stat().st_ino for path in finished}
    answer, _ = build(0).communicate(timeout=200)
    assert int(answer) == CLIPS - len(finished)
    assert {path: path.stat().st_ino for path in finished} == inodes


def test_two_processes_at_once_share_the_work(
    build: Callable[[float], subprocess.Popen[str]], private_cache: Path
) -> None:
    both = [build(0.1), build(0.1)]
    made = [int(process.communicate(timeout=200)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    # Each may compute what the other has in hand at the moment, not more: where one takes the next of r clips that are
    # not done, in an order of its own, that happens once in r times, 3.7 times in all; above 12 less than once in 1e5.
    assert CLIPS <= sum(made) <= CLIPS + CLIPS // 2
    store = ArrayStore(private_cache / "features")
    assert len(list(store.root.glob("??/*.npy"))) == CLIPS
