from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import emotions
from emotions.errors import BundleError
from emotions.pipeline.runner import Context
from emotions.predictor import Predictor
from tests.training.conftest import MakeStep
from tests.training.features.teacher.conftest import MakeTeacher
from training.corpus import Corpus, read_corpus
from training.data.waveforms.dataset import NO_LABEL, WindowDataset
from training.features.teacher import answers
from training.features.teacher.answers import answers_of
from training.loop.loaders import training_batches
from training.loop.precompute import precomputed


@pytest.fixture
def corpus(make_teacher: MakeTeacher, make_step: MakeStep, context: Context) -> Corpus:
    """Windows of 1 s: twice the teacher's."""
    return read_corpus(make_step(teacher=str(make_teacher()), learn_params__padding_sec=1.0), context)


def answered(corpus: Corpus) -> dict[str, torch.Tensor]:
    assert corpus.teacher is not None
    assert isinstance(corpus.train, WindowDataset)
    return answers_of(corpus.teacher, corpus.train, corpus.spec.targets, "cpu")


def test_each_window_is_answered_as_a_clip_of_its_own(corpus: Corpus) -> None:
    found = answered(corpus)
    assert corpus.teacher is not None
    predictor = emotions.load(corpus.teacher.path, device="cpu")
    assert any(len(corpus.train.windows_of(clip)) == 2 for clip in range(len(corpus.train.clips)))  # type: ignore[union-attr]
    assert {target: len(rows) for target, rows in found.items()} == dict.fromkeys(
        corpus.spec.targets, len(corpus.train)
    )
    for index in range(len(corpus.train)):
        waveform, length, *_ = corpus.train[index]
        expected = predictor.predict(waveform[:length].numpy()).probabilities
        for target, labels in corpus.spec.targets.items():
            wanted = [expected[target][label] for label in labels]
            assert found[target][index].numpy() == pytest.approx(wanted, abs=1e-6)


def test_a_window_is_answered_once(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, private_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = answered(corpus)
    assert caplog.text.count("answers 12 clips") == 1
    assert len([*private_cache.glob("teacher/??/*.npy")]) == 12
    with monkeypatch.context() as patch:
        patch.setattr(answers, "load", None)
        again = answered(corpus)
    assert all(torch.equal(rows, again[target]) for target, rows in first.items())
    damaged = next(private_cache.glob("teacher/??/*.npy"))
    content = bytearray(damaged.read_bytes())
    content[-8] ^= 255
    damaged.write_bytes(content)
    mended = answered(corpus)
    assert "answers 1 clips" in caplog.text
    assert all(torch.allclose(rows, mended[target], atol=1e-6) for target, rows in first.items())


def test_work_that_was_interrupted_goes_on(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, private_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    samples, done = answers._samples, []

    def stopping(windows: WindowDataset, index: int) -> Any:
        done.append(index)
        if len(done) > 17:  # more than wait at once
            raise KeyboardInterrupt
        return samples(windows, index)

    with monkeypatch.context() as patch:
        patch.setattr(answers, "_BATCHES_AHEAD", 1)
        patch.setattr(answers, "_samples", stopping)
        patch.setattr(answers, "DEFAULT_MAX_BATCH", {"cpu": 2})
        done.extend(range(8))
        with pytest.raises(KeyboardInterrupt):
            answered(corpus)
    kept = len([*private_cache.glob("teacher/??/*.npy")])
    assert 0 < kept < 12
    answered(corpus)
    assert f"answers {12 - kept} clips" in caplog.text


def test_another_window_or_bundle_is_answered_anew(
    corpus: Corpus, make_teacher: MakeTeacher, make_step: MakeStep, context: Context, private_cache: Path
) -> None:
    answered(corpus)
    answered(read_corpus(make_step(teacher=str(corpus.teacher.path)), context))  # type: ignore[union-attr]
    other = make_teacher("other", emotion=["calm", "wild"], state=["negative", "neutral"])
    answered(read_corpus(make_step(teacher=str(other)), context))
    assert len([*private_cache.glob("teacher/??/*.npy")]) == 36


def test_a_bundle_that_changes_meanwhile_or_answers_no_number_is_one_line(
    corpus: Corpus, make_teacher: MakeTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = corpus.teacher
    assert teacher is not None
    other = make_teacher("other", emotion=["calm", "wild"], state=["negative", "neutral"])
    with pytest.raises(BundleError, match=r"^teacher.bundle: .* was changed while it was read"):
        answered(replace(corpus, teacher=replace(teacher, path=other)))
    load = answers.load

    def broken(*args: Any, **options: Any) -> Any:
        predictor = load(*args, **options)
        run = predictor.session.run

        def nan(*inputs: Any) -> Any:
            return {target: np.full_like(values, np.nan) for target, values in run(*inputs).items()}

        return Predictor(predictor.bundle, replace(predictor.session, run=nan))

    monkeypatch.setattr(answers, "load", broken)
    with pytest.raises(BundleError, match=r"^teacher.bundle: .* its answer to a clip is not a number"):
        answered(corpus)


def test_batches_carry_the_answers_of_their_windows(
    make_teacher: MakeTeacher, make_step: MakeStep, context: Context
) -> None:
    step = make_step(teacher=str(make_teacher()))
    clips = read_corpus(step, context).train.clips
    step = make_step(teacher=str(step.teacher.bundle), dataset__unlabelled=str(Path(clips[0].file).parent))
    corpus = precomputed(read_corpus(step, context), step)
    assert corpus.answers is not None
    assert len(corpus.train.clips) == 12 + 4
    assert [clip.labels for clip in corpus.train.clips[12:]] == [{}] * 4
    assert (corpus.train.classes("emotion")[12:] == NO_LABEL).all()
    assert not {*map(id, corpus.val.clips)} & {*map(id, corpus.train.clips[12:])}
    seen = 0
    for item, given in training_batches(corpus, 4, 0, 0):
        for row, clip in enumerate(item.clip.tolist()):
            windows = [index for index in range(len(corpus.train)) if corpus.train[index].clip == clip]  # type: ignore[union-attr]
            wanted = corpus.answers["emotion"][windows]
            assert (wanted == given["emotion"][row]).all(dim=1).any()
            seen += 1
    assert seen == len(corpus.train)


def test_altered_copies_have_the_answers_of_their_recordings(
    make_teacher: MakeTeacher, make_step: MakeStep, context: Context, private_cache: Path
) -> None:
    step = make_step(teacher=str(make_teacher()), learn_params__augmentation={"copies": 2})
    corpus = precomputed(read_corpus(step, context), step)
    assert len(corpus.train.clips) == 3 * 12
    assert corpus.answers is not None
    for rows in corpus.answers.values():
        one, *others = rows.chunk(3)
        assert all(one.equal(other) for other in others)
        assert len(one.unique(dim=0)) > 1
    assert len([*private_cache.glob("teacher/??/*.npy")]) == 12
