"""The protocol cross_corpus: who trains and who is tested, one heat map, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.cli import run
from emotions.errors import ConfigError, DataError
from emotions.pipeline.runner import Context
from tests.conftest import BuildOnce, WriteWav
from tests.pages import text_of
from tests.training.conftest import build_step
from training.config.dataset import SplitConfig
from training.config.evaluate import EvaluateStep, evaluate_faults
from training.corpus import read_usable
from training.data.joined import Corpus, joined
from training.evaluation.cross_corpus.cross_corpus import cross_corpus
from training.evaluation.cross_corpus.plan import plan

WORDS = {"acted": ("calm", "anger"), "calls": ("calm", "ang"), "radio": ("calm", "angry")}


def make(folder: Path, write_wav: WriteWav, name: str, speakers: int = 4) -> None:
    """A corpus whose speakers, 01 and so on, are called alike in all; low tones are calm, high ones are not."""
    random, rows = np.random.default_rng([*name.encode()]), {}
    for speaker in range(speakers):
        for label, hz in zip(WORDS[name], (300, 2_500), strict=True):
            for take in range(2):
                time = np.arange(6_400) / 16_000
                tone = 0.3 * np.sin(2 * np.pi * hz * random.uniform(0.9, 1.1) * time)
                file = f"{label}_{speaker}_{take}.wav"
                write_wav(folder / name / file, tone + random.normal(0, 0.02, len(time)))
                rows[file] = {"emotion": label, "speaker": f"{speaker:02}"}
    (folder / name / "annotations.json").write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def data(build_once: BuildOnce, write_wav: WriteWav) -> Path:
    def build(folder: Path) -> Path:
        for name in WORDS:
            make(folder, write_wav, name)
        return folder

    return build_once("three_corpora", build)


def step_of(data: Path, output: Path, names: tuple[str, ...] = ("acted", "calls", "radio"), **changes: Any) -> Any:
    known = build_step(data, output / "unused", learn_params__max_epoch=1).model_dump(exclude_unset=True)
    known = {key: value for key, value in known.items() if key not in ("type", "saving_data_params")}
    known["dataset"] = {"speaker": {"column": "speaker"}, "targets": ["emotion"]}
    corpora = [str(data / name) for name in names]
    own = {"protocol": "cross_corpus", "corpora": corpora, "folds": 3, "jobs": 1, "output": [str(output)]}
    return EvaluateStep.model_validate({**known, **own, **changes})


@pytest.fixture
def context(tmp_path: Path, known_splits: None) -> Context:
    return Context(tmp_path, seed=0, workers=0, config={}, quiet=True)


def test_every_pair_is_trained_and_tested_on_others(data: Path, tmp_path: Path, context: Context) -> None:
    configs = step_of(data, tmp_path).datasets()
    corpora = joined([Corpus(config, *read_usable(config, context)) for config in configs])
    planned = plan(corpora, [config.split for config in configs], SplitConfig(), 3, 0)
    assert [each.corpora for each in planned.trainings] == [
        *[(0,), (0,), (0,), (1,), (1,), (1,), (2,), (2,), (2,)],
        *[(0,), (1,), (2,), (1, 2), (0, 2), (0, 1)],
    ]
    for training in planned.trainings:
        split = training.split
        assert split.val
        assert {int(corpora.of[clip]) for clip in (*split.train, *split.val)} == {*training.corpora}
        parts = [{corpora.table.clips[clip].speaker for clip in part} for part in (split.train, split.val, split.test)]
        assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
    whole = planned.trainings[9].split
    assert {int(corpora.of[clip]) for clip in whole.test} == {1, 2}
    assert len(whole.test) == 32
    assert not planned.untold


def test_two_corpora_are_reported_with_a_heat_map_and_no_names(
    data: Path, tmp_path: Path, write_wav: WriteWav, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path, write_wav, "calls", speakers=2)  # too few to be tested by folds of their own
    changes = {"corpora": [str(data / "acted"), {"path": str(tmp_path / "calls")}]}
    split = {"dataset": {"speaker": {"column": "speaker"}, "targets": ["emotion"], "split": {"val_folds": 2}}}
    learn = {"padding_sec": 0.5, "spectrogram_size": 32, "max_epoch": 1, "batch_size": 4, "keep": "last"}
    step = step_of(data, tmp_path / "out", **changes, **split, learn_params=learn)
    cross_corpus(step, context)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    found = report["targets"]["emotion"]
    pairs = [(cell["trained_on"], cell["tested_on"], cell["kind"], cell["clips"]) for cell in found["cells"]]
    assert pairs == [
        (["acted"], "acted", "within", 16),
        (["acted"], "calls", "across", 8),
        (["calls"], "acted", "across", 16),
    ]
    uars = [cell["uar"] for cell in found["cells"]]
    assert found["across"] == pytest.approx(np.mean(uars[1:]))
    assert found["left_out"] is None
    assert report["corpora"][1]["labels"]["anger"] == {"called": "ang", "clips": 4}
    assert "2 speakers, folds need 3" in report["corpora"][1]["not_tested_within"]
    assert found["cells"][1]["labels"] == ["anger", "calm"]
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count('class="heat ') == 3
    page = text_of(html)
    assert "Calls is not tested by folds of its own" in page
    assert "4 (ang)" in page
    told = json.dumps(report) + page + capsys.readouterr().out
    assert "calls/01" not in told
    assert "trained on" in told
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "folds").glob("*.npz")}
    assert len(kept) == (3 + 2) * (1 + 2)  # each and two without a part of its clips, to calibrate it by
    cross_corpus(step, context)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


@pytest.mark.slow
def test_three_corpora_by_the_command_with_one_left_out(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    named = [each for name in WORDS for each in ("--data", str(data / name))]
    smaller = ["--set", "pipeline.0.learn_params.max_epoch=1", "--set", "pipeline.0.learn_params.augmentation.copies=0"]
    where = ["--protocol", "cross_corpus", "--folds", "2", "--output", str(tmp_path / "out")]
    small = ["--set", "pipeline.0.model_architecture.members=2", "--set", "pipeline.0.dataset.split.val_folds=0"]
    small += ["--set", "pipeline.0.model_architecture.encoder=null"]
    assert run(["evaluate", *named, *where, *smaller, *small]) == 0
    assert "all others" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    cells = report["targets"]["emotion"]["cells"]
    assert [cell["kind"] for cell in cells].count("left out") == 3
    assert len(cells) == 12
    assert cells[-1]["trained_on"] == ["acted", "calls"]


def test_the_same_recordings_in_two_corpora_stop_it(data: Path, tmp_path: Path, context: Context) -> None:
    step = step_of(data, tmp_path / "out", ("acted", "acted"))
    with pytest.raises(DataError, match=r"acted and acted \(2\): training, validation and test share.*\n  audio: "):
        cross_corpus(step, context)


def test_mistakes_are_told(
    data: Path, tmp_path: Path, context: Context, write_wav: WriteWav, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"compare: .* the protocol cross_corpus does without it"):
        cross_corpus(step_of(data, tmp_path, compare={"learn_params": {"max_epoch": 2}}), context)
    with pytest.raises(DataError, match=r"corpora\[1\]: .*there is no dataset here"):
        cross_corpus(step_of(data, tmp_path, ("acted", "lost")), context)
    raw = {"type": "evaluate", "model": "FunctionalsClassifier"}
    assert [fault.where for fault in evaluate_faults({**raw, "protocol": "cross_corpus"})] == ["corpora"]
    assert [fault.where for fault in evaluate_faults({**raw, "corpora": ["a", "b"]})] == ["corpora"]
    assert not evaluate_faults({**raw, "protocol": "cross_corpus", "corpora": ["a", {"path": "b"}]})
    one = ["evaluate", "--protocol", "cross_corpus", "--data", str(data / "acted")]
    assert run(one) == 2
    assert "takes 2 to 20 corpora" in capsys.readouterr().err
    assert run(["evaluate", "--bundle", "x", "--data", "a", "--data", "b"]) == 2
    assert "which only --protocol cross_corpus takes" in capsys.readouterr().err
