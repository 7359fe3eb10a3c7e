from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emotions.errors import BundleError, DataError
from emotions.pipeline.runner import Context
from tests.training.conftest import MakeStep
from tests.training.features.teacher.conftest import MakeTeacher
from training.data.clips import ClipTable, read_clips
from training.features.teacher.teacher import Teacher, TeacherSummary, look_at_teacher, read_teacher

LABELS = {"emotion": ["calm", "wild"], "state": ["negative", "neutral"]}


@pytest.fixture
def open_teacher(make_step: MakeStep, context: Context) -> Any:
    """``open_teacher(bundle)``: the teacher of a step that names it."""

    def opened(bundle: Path | str, **changes: Any) -> Teacher:
        step = make_step(teacher=str(bundle), **changes)
        teacher = read_teacher(step, context, read_clips(step.dataset, context.root))
        assert teacher is not None
        return teacher

    return opened


def test_its_labels_are_matched_by_meaning_whatever_their_order(make_teacher: MakeTeacher, open_teacher: Any) -> None:
    assert open_teacher(make_teacher()).columns(LABELS) == {"emotion": [1, 0], "state": [1, 0]}
    more = make_teacher("more", emotion=["WILD", "calm"], state=["neg", "neu"], age=["young", "old"])
    teacher = open_teacher(more)
    assert teacher.columns(LABELS) == {"emotion": [1, 0], "state": [0, 1]}
    assert teacher.columns({"emotion": ["calm", "wild"]}) == {"emotion": [1, 0]}


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"emotion": ["calm", "wild"]}, r"teacher.bundle: .*/teacher: answers emotion, not 'state'"),
        ({"feeling": ["calm", "wild"], "state": LABELS["state"]}, r"answers feeling, state, not 'emotion'"),
        ({"emotion": ["calm", "fear"], "state": LABELS["state"]}, r"labels 'wild' have no certain counterpart"),
        ({"emotion": ["calm", "wild", "fear"], "state": LABELS["state"]}, r"also answers 'fear'"),
        ({"emotion": ["wild"] * 0 + ["calm", "Calm"], "state": LABELS["state"]}, r"no certain counterpart"),
    ],
)
def test_another_teacher_is_refused_by_one_line(
    make_teacher: MakeTeacher, open_teacher: Any, targets: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        open_teacher(make_teacher(**targets))
    assert "\n" not in str(caught.value)


def test_two_labels_of_a_dataset_are_not_one_of_the_teacher(make_teacher: MakeTeacher, open_teacher: Any) -> None:
    teacher = open_teacher(make_teacher(emotion=["wild", "calm"], state=["neutral", "neg"]))
    with pytest.raises(DataError, match="has one label for several"):
        teacher.columns({"state": ["neg", "negative", "neutral"]})


def test_a_bundle_that_cannot_be_used_is_one_line(make_teacher: MakeTeacher, open_teacher: Any, tmp_path: Path) -> None:
    bundle = make_teacher()
    with pytest.raises(BundleError, match=r"^teacher.bundle: .*nowhere: is not a bundle \(no such folder\)"):
        open_teacher(tmp_path / "nowhere")
    altered = shutil.copytree(bundle, tmp_path / "altered")
    content = bytearray((altered / "model.onnx").read_bytes())
    content[-1] ^= 1
    (altered / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"^teacher.bundle: .*model.onnx") as caught:
        open_teacher(altered)
    assert "\n" not in str(caught.value)
    (altered / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"^teacher.bundle: .*model.onnx"):
        open_teacher(altered)


def test_its_digest_is_of_what_it_answers_and_not_of_its_place(
    make_teacher: MakeTeacher, open_teacher: Any, tmp_path: Path
) -> None:
    bundle = make_teacher()
    teacher, moved = open_teacher(bundle), open_teacher(shutil.copytree(bundle, tmp_path / "moved"))
    other = open_teacher(make_teacher("other", emotion=["calm", "wild"], state=["neutral", "negative"]))
    assert teacher.digest == moved.digest != other.digest
    assert teacher.identity == {"digest": teacher.digest, "weight": 0.5, "temperature": 2.0}
    assert TeacherSummary.model_validate(teacher.summary()).bundle == teacher.name
    assert str(tmp_path) not in str(teacher.summary())


def test_it_is_looked_at_before_anything_is_computed(
    make_teacher: MakeTeacher, make_step: MakeStep, context: Context, private_cache: Path
) -> None:
    bundle = make_teacher()
    step = make_step(teacher=str(bundle), dataset__unlabelled="nowhere")
    table: ClipTable = read_clips(step.dataset, context.root)
    with pytest.raises(DataError, match="nowhere: no such folder or table"):
        look_at_teacher(step, context.root, table)
    look_at_teacher(make_step(teacher=str(bundle)), context.root, table)
    with pytest.raises(BundleError, match="is not a bundle"):
        look_at_teacher(make_step(teacher="gone"), context.root, table)
    assert not [*private_cache.rglob("*.npy")]


def test_a_dataset_of_dimensions_alone_has_nothing_to_be_taught(
    make_teacher: MakeTeacher, make_step: MakeStep, context: Context
) -> None:
    step = make_step(teacher=str(make_teacher()))
    table = replace(read_clips(step.dataset, context.root), targets=())
    with pytest.raises(DataError, match="teaches labels alone, and the dataset has none"):
        look_at_teacher(step, context.root, table)
