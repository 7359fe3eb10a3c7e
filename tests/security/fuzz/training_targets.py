"""The targets of training: datasets, the caches of waveforms and features, checkpoints and run folders."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import shutil
import tempfile
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile
import torch

from emotions.audio.windows import WindowSpec
from emotions.errors import CheckpointError, DataError
from tests.security.fuzz.mutate import mutated, mutated_text, mutated_tree, odd_text
from tests.security.fuzz.seeds import sound
from tests.security.fuzz.target import Files, Target
from tests.security.fuzz.targets import table_text
from training.config.dataset import DatasetConfig
from training.config.train import ModelSpec
from training.data.clips import Clip, read_clips
from training.data.waveforms.dataset import WindowDataset
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.feature_cache import FeatureCache
from training.models.frontends.spectrogram import Spectrogram
from training.models.registry import build_model
from training.run_folder.read import load_checkpoint, load_run

_SPEC = WindowSpec(8_000, 8_000)
_LABELS = {"emotion": ["happy", "sad"]}
_NAMES = ("a.wav", "b.wav", "ä.wav")
_ROWS = tuple({"file": name, "emotion": name[0], "speaker": f"s{name[0]}", "start": 0, "end": 0.2} for name in _NAMES)
_DATABASE = """name: d
tables:
  files: {type: filewise, columns: {emotion: {scheme_id: emotion}, speaker: {scheme_id: speaker}}}
schemes:
  emotion: {dtype: str, labels: [a, b]}
  speaker: {dtype: str, labels: {sa: {age: 3}, sb: {age: 4}}}
"""
_KALDI = {
    "wav.scp": "u1 a.wav\nu2 b.wav\n",
    "utt2spk": "u1 sa\nu2 sb\n",
    "utt2emotion": "u1 happy\nu2 sad\n",
    "segments": "v1 u1 0.0 0.1\nv2 u2 0.1 0.2\n",
}


def _wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound(16_000), 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _dataset(random: Random) -> Files:
    kind = random.choice(("annotations", "audformat", "kaldi", ".csv", ".jsonl", "folders"))
    texts: dict[str, bytes] = {}
    if kind == "annotations":
        tree = {row["file"]: {name: value for name, value in row.items() if name != "file"} for row in _ROWS}
        texts["annotations.json"] = json.dumps(mutated_tree(random, tree, 0.05)).encode()
    elif kind == "audformat":
        texts = {"db.yaml": _DATABASE.encode(), "db.files.csv": table_text(random, _ROWS, ".csv")}
    elif kind == "kaldi":
        texts = {name: text.encode() for name, text in _KALDI.items() if name != "segments" or random.random() < 0.5}
    elif kind == "folders":
        safe = odd_text(random).replace("/", "_").replace("\0", "_").encode("utf-8", "replace").decode()[:80]
        texts = {f"happy {safe}/x.wav": _wav(), "sad/y.wav": _wav()}
    else:
        texts[f"metadata{kind}"] = table_text(random, _ROWS, kind)
    name = random.choice([*texts])
    if kind != "folders" and random.random() < 0.8:
        texts[name] = mutated_text(random, texts[name])
    return {**{each: _wav() for each in _NAMES}, **texts}


def _dataset_read(folder: Path) -> None:
    table = read_clips(DatasetConfig.model_validate({"path": str(folder)}), folder)
    assert table.clips
    assert all(clip.labels for clip in table.clips)


@functools.cache
def _caches() -> Path:
    """A folder with a recording and the caches that it fills."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-caches-"))
    (folder / "clip.wav").write_bytes(_wav())
    _features(folder)
    return folder


def _features(folder: Path) -> tuple[Any, Any]:
    """The waveform and the features of the recording in a folder, through the caches in it."""
    clips = [Clip(folder / "clip.wav", "clip.wav", None, None, {"emotion": "sad"}, None, "clip", None, {})]
    cache = WaveformCache(folder / "waveforms")
    windows = WindowDataset(clips, cache.prepare(clips), cache, _SPEC, _LABELS)
    frontend = Spectrogram(_SPEC.samples, 32, "mel")
    features = FeatureCache(frontend, _SPEC, lambda: frontend, folder / "features")
    features.prepare(windows, frontend)
    return np.array(cache.waveform(clips[0])), np.array(features.load(windows, 0))


@functools.cache
def _right() -> tuple[Any, Any]:
    return _features(_caches())


def _cached_files() -> dict[str, bytes]:
    found = [path for kind in ("*.npy", "*.json") for path in sorted(_caches().rglob(kind))]
    return {path.relative_to(_caches()).as_posix(): path.read_bytes() for path in found}


def _cache(random: Random) -> Files:
    files = _cached_files()
    name = random.choice([*files])
    if name.endswith(".json") and random.random() < 0.5:
        return {name: json.dumps(mutated_tree(random, json.loads(files[name]), 0.1)).encode()}
    return {name: mutated(random, files[name], [*files.values()])}


def _cache_used(folder: Path) -> None:
    """Whatever a cache's file holds, what is computed with it is right."""
    for path in _caches().rglob("*"):
        there = folder / path.relative_to(_caches())
        if path.is_dir():
            there.mkdir(exist_ok=True, mode=0o700)
            there.chmod(0o700)
        elif not there.exists():
            shutil.copyfile(path, there)
        else:
            there.chmod(0o600)
    for path in folder.rglob("*.*"):
        if path.is_file() and path.name != "clip.wav":
            path.chmod(0o600)
    waveform, features = _features(folder)
    assert np.array_equal(waveform, _right()[0])
    assert np.array_equal(features, _right()[1])


class _Executed:
    """Writes a file where it is unpickled as pickle does."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch ../executed executed",)


@functools.cache
def _checkpoint() -> dict[str, Any]:
    spec = ModelSpec(
        model="SpectrogramCnnClassifier",
        architecture={"backbone": "test_efficientnet"},
        window_samples=8_000,
        spectrogram_size=32,
        targets=_LABELS,
    )
    state = {f"model.{name}": value for name, value in build_model(spec).state_dict().items()}
    return {"emotions": {"format": 1, "spec": spec.model_dump_json()}, "global_step": 3, "state_dict": state}


def _saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@functools.cache
def _good_checkpoint() -> bytes:
    return _saved(_checkpoint())


def _checkpoint_file(random: Random) -> Files:
    kind = random.randrange(5)
    content = dict(_checkpoint())
    if kind == 0:
        return {"c.ckpt": mutated(random, _good_checkpoint(), [_good_checkpoint()[:4000]])}
    if kind == 1:  # one of the archive's members, with a right checksum
        members = _members(_good_checkpoint())
        end = random.choice(("data.pkl", "data.pkl", "version", "/0"))
        name = next(name for name in members if name.endswith(end))
        return {"c.ckpt": _archive({**members, name: mutated(random, members[name], [*members.values()])})}
    if kind == 2:
        spec = mutated_tree(random, json.loads(content["emotions"]["spec"]), 0.1)
        content["emotions"] = {"format": 1, "spec": json.dumps(spec)}
    elif kind == 3:
        tree = mutated_tree(random, {"emotions": content["emotions"], "global_step": 3}, 0.2)
        content = {**tree, "state_dict": content["state_dict"]} if isinstance(tree, dict) else tree
    else:
        content = {**content, random.choice(("emotions", "global_step", "more")): _Executed()}
        return {"c.ckpt": random.choice((_saved(content), pickle.dumps(content)))}
    return {"c.ckpt": _saved(content)}


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _checkpoint_read(folder: Path) -> None:
    trained = load_checkpoint(folder / "c.ckpt")
    assert trained.steps > 0
    with torch.inference_mode():
        answers = trained.model(
            torch.zeros(1, trained.spec.window_samples), torch.tensor([trained.spec.window_samples])
        )
    assert {*answers} == {*trained.spec.targets}


def _run(random: Random) -> Files:
    index = {
        "format": 1,
        "checkpoints": {"best": "c.ckpt"},
        "dataset_config": {"path": "data"},
        "metrics": {"val": {"uar": 0.5}},
        "protocol": "speaker-disjoint",
        "dataset": {"clips": 3},
        "root": ".",
    }
    text = json.dumps(mutated_tree(random, index, random.choice((0.02, 0.1, 0.3)))).encode()
    return {"run.json": mutated_text(random, text) if random.random() < 0.3 else text, "c.ckpt": _good_checkpoint()}


def _run_read(folder: Path) -> None:
    run = load_run(folder)
    assert run.trained.steps == 3


TRAINING_TARGETS: dict[str, Target] = {
    "datasets": Target(_dataset, _dataset_read, (DataError,)),
    "caches": Target(_cache, _cache_used, ()),
    "checkpoints": Target(_checkpoint_file, _checkpoint_read, (CheckpointError,)),
    "runs": Target(_run, _run_read, (CheckpointError,)),
}
