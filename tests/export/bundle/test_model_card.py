"""The model card: what it says, what it warns of, and that its example runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.bundle.manifest import Manifest
from export.bundle.model_card import model_card, text
from export.bundle.variants import Artifact, Artifacts
from export.proof.proof import Proof
from export.proof.signals import signals_of
from tests.export.conftest import WINDOW

FORMS = Artifacts({"fp32": Artifact("model.onnx", "any", Proof(1e-7, 1.0, 0.0, 0.0, {"emotion": 0.5}))})


@pytest.fixture
def manifest(bundle: Path) -> Manifest:
    return read_bundle(bundle).manifest


def card_of(manifest: Manifest) -> str:
    signals = signals_of([np.ones(WINDOW, np.float32)], WINDOW, 0, "tests")
    return model_card(manifest, FORMS, signals)


def test_it_says_what_there_is(manifest: Manifest) -> None:
    card = card_of(manifest)
    scores = manifest.metrics["test"]["эмоция"]
    assert card.startswith("# tiny\n")
    assert "| эмоция | гнев, покой |" in card
    assert "20 clips" in card
    assert "licence: CC0" in card
    assert f"Protocol: {manifest.metrics['protocol']}." in card
    figures = " | ".join(f"{scores[name]:.3f}" for name in ("uar", "wa", "macro_f1"))
    assert f"| test | эмоция | {figures} | {scores['clips']} |" in card
    (first, second) = scores["confusion"]
    assert f"| **гнев** | {first[0]} | {first[1]} |\n| **покой** | {second[0]} | {second[1]} |" in card
    assert "Warning" not in card


def test_it_warns_where_speakers_are_shared_or_nothing_was_held_out(manifest: Manifest) -> None:
    metrics = {"protocol": "hold-out by recording", "validation": manifest.metrics["validation"]}
    card = card_of(manifest.model_copy(update={"metrics": metrics}))
    assert "Warning: the protocol is not speaker-disjoint" in card
    assert "there is no held-out test part" in card
    assert "Confusion matrix of эмоция, validation part" in card


def test_it_warns_where_nothing_was_measured(manifest: Manifest) -> None:
    card = card_of(manifest.model_copy(update={"metrics": {}, "dataset": None}))
    assert "Nothing was measured." in card
    assert "holds no metrics" in card
    assert "exported from a checkpoint alone" in card


def test_labels_cannot_break_its_tables(manifest: Manifest) -> None:
    card = card_of(manifest.model_copy(update={"targets": {"a": ["x|y", "<b>\n# z"]}, "metrics": {}}))
    assert r"| a | x\|y, \<b\>\\n\# z |" in card
    assert text("[a](b)") == r"\[a\](b)"


def test_its_example_runs_and_answers_as_the_toolkit(
    bundle: Path, tmp_path: Path, write_wav: Callable[..., Path], tone: Callable[..., np.ndarray]
) -> None:
    clip = write_wav(tmp_path / "clip.wav", tone(0.4, 2_500))
    found = re.search(r"```python\n(.*?)```", (bundle / "README.md").read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", found[1]], cwd=tmp_path, capture_output=True, text=True, env=environment, check=True
    )
    expected = emotions.load(bundle, device="cpu").predict(clip).probabilities["эмоция"]
    printed = dict(re.findall(r"'(\w+)': ([\d.e-]+)", done.stdout))
    assert {label: float(value) for label, value in printed.items()} == pytest.approx(expected, abs=1e-6)
    assert len(found[1].strip().splitlines()) == 6


def test_it_names_the_teacher_and_what_is_not_known_of_it(manifest: Manifest) -> None:
    teacher = {
        "bundle": "large_*@0123456789ab",
        "digest": "0" * 64,
        "weight": 0.5,
        "temperature": 2.0,
        "unlabelled": {"clips": 40, "hours": 0.5, "fingerprint": "1" * 64},
        "trained_on": "2" * 64,
    }
    card = card_of(manifest.model_copy(update={"extra": {**manifest.extra, "teacher": teacher}}))
    assert r"It learnt from the teacher large\_\*@0123456789ab (digest 000000000000)" in card
    assert "on 40 unlabelled ones (0.50 h): weight 0.5, temperature 2" in card
    assert "**Warning: the teacher was trained on another dataset;" in card
    same = {**teacher, "saw_held_out": False, "unlabelled": None}
    card = card_of(manifest.model_copy(update={"extra": {**manifest.extra, "teacher": same}}))
    assert "on the training recordings: weight 0.5" in card
    assert "Warning" not in card
