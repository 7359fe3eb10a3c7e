"""``reference.json`` in a bundle: written, read, refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from emotions.bundle.bundle import read_bundle
from emotions.bundle.reference.fit import MIN_CLIPS, reference_of
from emotions.bundle.reference.observation import Observation
from emotions.bundle.reference.reference import REFERENCE, add_reference, read_reference
from emotions.bundle.summary import describe
from emotions.errors import BundleError, DataError
from emotions.files.content import sha256
from tests.conftest import TINY_TARGETS
from tests.emotions.bundle.reference.conftest import LABELS, MakeClips


def clips_of_tiny(count: int = 40) -> list[Observation]:
    return [
        Observation(
            {
                target: {
                    label: (0.6 + at / 1000 if each == at % len(labels) else 0.1) for each, label in enumerate(labels)
                }
                for target, labels in TINY_TARGETS.items()
            },
            duration_sec=1 + at / 10,
        )
        for at in range(count)
    ]


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_a_bundle_without_one_is_read_and_says_how_to_add_it(tiny_bundle: Path) -> None:
    opened = read_bundle(tiny_bundle)
    assert read_reference(opened) is None
    assert "emotions drift reference BUNDLE" in describe(opened, "fp32", "cpu")


def test_it_comes_back_as_it_was_added_and_can_be_replaced(bundle: Path) -> None:
    before = read_bundle(bundle)
    for count in (40, 60):
        reference = reference_of(clips_of_tiny(count), TINY_TARGETS, "made")
        add_reference(bundle, reference)
        opened = read_bundle(bundle)
        assert read_reference(opened) == reference
        assert opened.id == before.id
        assert "watched" in describe(opened, "fp32", "cpu")
    assert {*opened.manifest.files} == {*before.manifest.files, REFERENCE}


def test_it_holds_no_clip(make_clips: MakeClips) -> None:
    clips = make_clips(200, 0)
    text = json.dumps(reference_of(clips, LABELS, "made").model_dump(mode="json"))
    assert len(text) < 20_000
    assert str(clips[0].duration_sec) not in text


def test_an_altered_one_is_refused_by_its_hash(bundle: Path) -> None:
    add_reference(bundle, reference_of(clips_of_tiny(), TINY_TARGETS, "made"))
    (bundle / REFERENCE).write_text("{}")
    with pytest.raises(BundleError, match="SHA-256 differs"):
        read_bundle(bundle)


def _edited(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**content, key: value}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format_version", 2),
        ("clips", 0),
        ("clips", 10**12),
        ("extra", 1),
        ("labels", {"emotion": [1, 2]}),
        ("labels", {}),
        ("confidence", {}),
        ("histograms", {"level": {"edges": [1.0, 0.0], "counts": [1, 1, 1]}}),
        ("histograms", {"level": {"edges": [1.0], "counts": [1]}}),
        ("spaces", {"answers": {"mean": [0.0], "axes": [[1.0, 0.0]], "variances": [1.0]}}),
        ("spaces", {"answers": {"mean": [0.0], "axes": [[1.0]], "variances": [0.0]}}),
        ("spaces", {"other": {"mean": [0.0], "axes": [[1.0]], "variances": [1.0]}}),
    ],
)
def test_a_broken_one_is_refused(bundle: Path, key: str, value: Any) -> None:
    add_reference(bundle, reference_of(clips_of_tiny(), TINY_TARGETS, "made"))
    content = json.loads((bundle / REFERENCE).read_text())
    (bundle / REFERENCE).write_text(json.dumps(_edited(content, key, value)))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][REFERENCE] = sha256(bundle / REFERENCE)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"reference\.json"):
        read_reference(read_bundle(bundle))


def test_too_few_clips_are_refused() -> None:
    with pytest.raises(DataError, match=f"at least {MIN_CLIPS}"):
        reference_of(clips_of_tiny(MIN_CLIPS - 1), TINY_TARGETS, "made")


def test_figures_that_never_vary_have_bins_on_both_sides() -> None:
    clips = [Observation(clip.probabilities, duration_sec=2.0) for clip in clips_of_tiny()]
    histogram = reference_of(clips, TINY_TARGETS, "made").histograms["duration"]
    assert histogram.counts == [0, 40, 0]
    assert histogram.edges[0] < 2.0 < histogram.edges[1]
