from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from emotions.pipeline.runner import Context
from tests.conftest import WriteWav
from tests.training.conftest import MakeStep
from tests.training.features.teacher.conftest import MakeTeacher
from training.corpus import Corpus, read_corpus
from training.data.clips import Clip, ClipTable
from training.data.unlabelled import NOTHING, Unlabelled
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.teacher.audit import shared_clips
from training.loop.losses import class_weights, mean_shares


@pytest.fixture
def read(make_step: MakeStep, context: Context) -> Any:
    """``read(bundle, unlabelled, **changes)``: the corpus of a step with a teacher."""

    def made(bundle: Path, unlabelled: Path | None = None, **changes: Any) -> Corpus:
        named = {} if unlabelled is None else {"dataset__unlabelled": str(unlabelled)}
        return read_corpus(make_step(teacher=str(bundle), **named, **changes), context)

    return made


def part(corpus: Corpus, name: str) -> list[Path]:
    return [Path(corpus.table.clips[clip].file) for clip in getattr(corpus.split, name)]


@pytest.mark.parametrize("name", ["val", "test"])
def test_recordings_of_those_who_judge_are_left_out(
    make_teacher: MakeTeacher, read: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    bundle, more = make_teacher(), tmp_path / "more"
    more.mkdir()
    shutil.copy(part(read(bundle), name)[0], more / "renamed.wav")
    assert len(read(bundle, more).train.clips) == 12
    assert "1 of 1 unlabelled recordings are left out: they share a speaker, a recording or audio" in caplog.text
    assert "renamed" not in caplog.text


def test_what_is_shared_is_found_whatever_its_name_and_beginning(tmp_path: Path, write_wav: WriteWav) -> None:
    random = np.random.default_rng(0)
    sounds = [soxr.resample(0.1 * random.standard_normal(8_000), 8_000, 16_000) for _ in range(5)]
    files = [write_wav(tmp_path / f"{number}.wav", sound) for number, sound in enumerate(sounds)]
    files += [write_wav(tmp_path / "later.wav", sounds[1][1_600:])]
    known = [
        Clip(file, file.name, None, None, {"emotion": "sad"}, f"s{file.name}", file.name, None, {}) for file in files
    ]
    table = ClipTable(tmp_path, tuple(known[:3]), ("emotion",))
    others = (known[3], replace(known[4], speaker="s0.wav"), replace(known[3], recording="2.wav"), known[5])
    facts, more = (tuple(WaveformCache().prepare(each)) for each in (table.clips, others))
    unlabelled = replace(Unlabelled(others, more), shared=shared_clips(Unlabelled(others, more), table, facts))
    assert [set(each) for each in unlabelled.shared] == [set(), {0}, {2}, {1}]
    assert unlabelled.apart_from([1]).clips == others[:3]
    assert unlabelled.apart_from([0, 2]).apart_from([1]).clips == others[:1]
    assert shared_clips(NOTHING, table, facts) == ()


def test_copies_of_training_clips_are_no_leak(make_teacher: MakeTeacher, read: Any, tmp_path: Path) -> None:
    bundle, more = make_teacher(), tmp_path / "more"
    more.mkdir()
    shutil.copy(part(read(bundle), "train")[0], more / "renamed.wav")
    corpus = read(bundle, more)
    assert len(corpus.train.clips) == len(corpus.split.train) + 1


def test_a_speaker_who_judges_is_no_unlabelled_one(
    make_teacher: MakeTeacher,
    read: Any,
    tmp_path: Path,
    write_wav: Any,
    tone: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bundle, table = make_teacher(), tmp_path / "more.csv"
    write_wav(tmp_path / "new.wav", tone(0.4, hz=700))
    write_wav(tmp_path / "other.wav", tone(0.4, hz=300))
    corpus = read(bundle)
    tested = corpus.table.clips[corpus.split.test[0]].speaker
    table.write_text(f"file,speaker\nnew.wav,{tested}\nother.wav,somebody\n")
    found = read(bundle, table)
    assert [Path(clip.file).name for clip in found.train.clips[12:]] == ["other.wav"]
    assert "1 of 2 unlabelled recordings are left out" in caplog.text
    assert found.teacher.summary()["unlabelled"]["clips"] == 1


def test_nothing_of_the_labels_changes(
    make_teacher: MakeTeacher, read: Any, tmp_path: Path, make_step: MakeStep
) -> None:
    bundle, more = make_teacher(), tmp_path / "more"
    plain = read(bundle)
    shutil.copytree(part(plain, "train")[0].parent, more)
    with_more = read(bundle, more)
    assert with_more.summary() == plain.summary()
    assert with_more.spec == plain.spec
    for balanced in ("shuffled", "balanced"):
        step = make_step(learn_params__sampling=balanced)
        one, two = class_weights(step, plain), class_weights(step, with_more)
        assert all(one[target].equal(two[target]) for target in one)
    assert mean_shares(plain.train) == mean_shares(with_more.train)


def test_a_teacher_of_this_dataset_by_the_same_split_has_learnt_from_nobody_who_judges(
    teacher_bundle: Path, read: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert read(teacher_bundle).teacher.saw_held_out is False
    assert "teacher" not in caplog.text


@pytest.mark.parametrize("split", [{"test": 0.4}, {"val_folds": 2}])
def test_of_a_teacher_that_has_heard_those_who_judge_figures_are_said_to_be_too_good(
    teacher_bundle: Path, read: Any, caplog: pytest.LogCaptureFixture, split: dict[str, Any]
) -> None:
    corpus = read(teacher_bundle, dataset__split=split)
    assert corpus.teacher.summary()["saw_held_out"] is True
    assert "recordings of this dataset that validate or test here: figures are too good" in caplog.text


def test_what_is_not_known_of_a_teacher_is_said(
    make_teacher: MakeTeacher,
    teacher_bundle: Path,
    read: Any,
    caplog: pytest.LogCaptureFixture,
    corpus_folder: Path,
    tmp_path: Path,
) -> None:
    assert read(make_teacher()).teacher.saw_held_out is None
    assert "the teacher was trained on data that its bundle does not tell; whether it has learnt" in caplog.text
    caplog.clear()
    data = shutil.copytree(corpus_folder, tmp_path / "data")
    rows = json.loads((data / "annotations.json").read_text())
    (data / "annotations.json").write_text(json.dumps({name: rows[name] for name in [*rows][1:]}))
    read(teacher_bundle, dataset__path=str(data))
    assert "the teacher was trained on another dataset; whether it has learnt" in caplog.text
