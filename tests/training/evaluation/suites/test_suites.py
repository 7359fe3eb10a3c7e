"""Suites: any bundle on any dataset, as the service would answer, each test with a verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import Dataset
from emotions.errors import DataError
from emotions.predictor import Predictor
from tests.conftest import WriteWav
from training.config.dataset import DatasetConfig
from training.data.clips import read_clips
from training.data.waveforms.distortions import recoded
from training.evaluation.perturbations import corruptions
from training.evaluation.suites.fairness import MIN_GROUP_CLIPS
from training.evaluation.suites.suites import run_suite


@pytest.fixture(scope="module")
def voices() -> list[FloatArray]:
    random = np.random.default_rng(0)
    time = np.arange(12_000) / 16_000
    return [
        (0.2 * np.sin(2 * np.pi * hz * time) + 0.02 * random.standard_normal(len(time))).astype(np.float32)
        for hz in (220, 700, 1_500)
    ]


def test_disturbances_keep_form_and_do_something(voices: list[FloatArray]) -> None:
    every = corruptions(voices)
    assert len(every) == len({each.name for each in every}) == 28
    assert {each.kind for each in every} == {"small change", "noise", "channel"}
    for each in every:
        changed = each.change(voices[0], np.random.default_rng(0))
        assert changed.ndim == 1, each.name
        assert abs(len(changed) - len(voices[0])) < 4_000, each.name
        assert np.isfinite(changed).all(), each.name
        assert np.abs(changed).max() <= 1.2, each.name
        same = len(changed) == len(voices[0]) and np.array_equal(changed, voices[0])
        assert not same, each.name


def test_noise_lies_so_far_below_the_voice(voices: list[FloatArray]) -> None:
    (white,) = [each for each in corruptions(voices) if each.name == "white noise, 20 dB below"]
    noise = white.change(voices[0], np.random.default_rng(0)) - voices[0]
    ratio = 10 * np.log10(np.mean(voices[0] ** 2) / np.mean(noise**2))
    assert ratio == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize(("container", "codec", "rate"), [("wav", "pcm_mulaw", 8_000), ("mp3", "libmp3lame", 16_000)])
def test_codecs_give_back_what_they_were_given(voices: list[FloatArray], container: str, codec: str, rate: int) -> None:
    back = recoded(voices[1], container, codec, rate)
    spectrum, original = (np.abs(np.fft.rfft(wave[:8_000])) for wave in (back, voices[1]))
    assert abs(int(spectrum.argmax()) - int(original.argmax())) <= 1


@pytest.fixture
def corpus(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Forty clips of four speakers, labelled by other names than the bundle's."""
    random = np.random.default_rng(1)
    rows = {}
    for number in range(40):
        hz = (250, 900, 2_600)[number % 3]
        time = np.arange(6_000) / 16_000
        wave = 0.3 * np.sin(2 * np.pi * hz * time) + 0.01 * random.standard_normal(len(time))
        write_wav(tmp_path / "data" / f"c{number}.wav", wave)
        rows[f"c{number}.wav"] = {
            "emotion": ("anger", "joy", "sadness")[number % 3],
            "speaker": f"s{number % 4}",
            "sex": ("f", "m")[number % 2],
            "device": "rare" if number < 2 else "usual",
        }
    (tmp_path / "data" / "annotations.json").write_text(json.dumps(rows))
    return tmp_path / "data"


def report_of(suite: str, bundle: Path, corpus: Path, output: Path) -> tuple[bool, dict]:  # type: ignore[type-arg]
    config = DatasetConfig(path=str(corpus), targets=["emotion"])
    passed = run_suite(emotions.load(bundle, threads=1), config, Path("/"), suite, output)  # type: ignore[arg-type]
    return passed, json.loads((output / "report.json").read_text())


def test_robustness_tells_each_test_with_its_verdict(tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    passed, report = report_of("robustness", tiny_bundle, corpus, tmp_path / "out")
    tests = {test["name"]: test for test in report["tests"]}
    assert len(tests) == 28
    assert tests["polarity"]["unchanged"] == 1
    assert tests["polarity"]["passed"]
    assert passed == report["passed"] == all(test["passed"] for test in tests.values())
    for test in tests.values():
        assert test["uar_loss"] == pytest.approx(report["overall"]["uar"] - test["uar"])
        by_answers = test["unchanged"] >= 0.95
        assert test["passed"] == (by_answers if test["kind"] == "small change" else test["uar_loss"] <= 0.05)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "telephone band" in page
    assert 'src="http' not in page


def test_fairness_tells_the_gap_of_each_column_and_small_groups(
    tiny_bundle: Path, corpus: Path, tmp_path: Path
) -> None:
    passed, report = report_of("fairness", tiny_bundle, corpus, tmp_path / "out")
    tests = {test["name"]: test for test in report["tests"]}
    assert set(tests) == {"sex", "device"}
    groups = {row["name"]: row for row in report["overall"]["per_group"]["sex"]}
    gap = abs(groups["f"]["uar"] - groups["m"]["uar"])
    assert tests["sex"]["uar_gap"] == pytest.approx(gap)
    assert tests["sex"]["verdict"] == "cannot be told"  # of two speakers each
    assert tests["sex"]["pair"] == ["f", "m"]
    assert tests["sex"]["clips_to_tell"] > 20
    assert f"about {tests['sex']['clips_to_tell']} clips of each group" in tests["sex"]["note"]
    rare = next(row for row in report["overall"]["per_group"]["device"] if row["name"] == "rare")
    assert rare["clips"] == 2
    assert rare["uar_ci"] is None
    assert "too few" in rare["note"]
    assert f"fewer than two groups of {MIN_GROUP_CLIPS} clips" in tests["device"]["note"]
    assert not tests["device"]["passed"]
    assert not passed
    page = (tmp_path / "out" / "report.html").read_text()
    assert "UAR</button> gap</th>" in page
    assert "cannot be told" in page
    assert ">unchanged</th>" not in page  # what no test has is no column


def test_reports_name_no_speaker_and_no_file(tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    passed, report = report_of("accuracy", tiny_bundle, corpus, tmp_path / "out")
    told = json.dumps(report)
    assert passed
    assert [row["name"] for row in report["overall"]["per_speaker"]] == [f"speaker {n}" for n in range(1, 5)]
    assert not [name for name in ("s0", "s3", ".wav", str(corpus)) if f'"{name}"' in told or name == ".wav" in told]


def test_named_errors_are_told_over_time_and_drawn(tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    rows = json.loads((corpus / "annotations.json").read_text())
    for name, row in rows.items():
        row["emotion"] = ("anger", "joy", "sadness")[len(name) % 3]  # mostly wrong
    (corpus / "annotations.json").write_text(json.dumps(rows))
    config = DatasetConfig(path=str(corpus), targets=["emotion"])
    predictor = emotions.load(tiny_bundle, threads=1)
    run_suite(predictor, config, Path("/"), "accuracy", tmp_path / "out", names=True)
    errors = json.loads((tmp_path / "out" / "report.json").read_text())["overall"]["surest_errors"]
    assert errors
    for error in errors:
        prediction = predictor.predict(corpus / error["name"])
        expected = [[each.start, each.end, *each.probabilities["emotion"].values()] for each in prediction.windows]
        assert error["over_time"] == [pytest.approx(each, abs=1e-3) for each in expected]
    assert (tmp_path / "out" / "report.html").read_text().count("<canvas") == len(errors)


def test_the_dataset_of_the_training_is_told_from_others(
    tiny_bundle: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads((corpus / "annotations.json").read_text())
    for row in rows.values():
        row["mood"] = "good" if row["emotion"] == "joy" else "bad"
    (corpus / "annotations.json").write_text(json.dumps(rows))
    trained = read_clips(DatasetConfig(path=str(corpus), targets=["emotion"]), Path("/"))
    predictor = emotions.load(tiny_bundle, threads=1)
    dataset = Dataset(fingerprint=trained.fingerprint, clips=len(trained), hours=0.1, license=None)
    bundle = replace(predictor.bundle, manifest=predictor.manifest.model_copy(update={"dataset": dataset}))
    config = DatasetConfig(path=str(corpus), targets=["emotion", "mood"])
    run_suite(Predictor(bundle, predictor.session), config, Path("/"), "accuracy", tmp_path / "out")
    assert "its training clips among them: the figures are too good" in capsys.readouterr().out
    run_suite(predictor, config, Path("/"), "accuracy", tmp_path / "other")
    assert "a dataset that is not, as a whole, the one that it comes from" in capsys.readouterr().out


def test_a_dataset_of_other_labels_or_targets_is_refused(tiny_bundle: Path, corpus: Path, tmp_path: Path) -> None:
    rows = json.loads((corpus / "annotations.json").read_text())
    for row in rows.values():
        row["mood"] = row["emotion"] = "calm" if row["emotion"] == "joy" else row["emotion"]
    (corpus / "annotations.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="'calm' have no certain counterpart among the bundle's"):
        report_of("accuracy", tiny_bundle, corpus, tmp_path / "out")
    config = DatasetConfig(path=str(corpus), targets=["mood"])
    with pytest.raises(DataError, match="is labelled for mood, the bundle answers emotion, state"):
        run_suite(emotions.load(tiny_bundle, threads=1), config, Path("/"), "accuracy", tmp_path / "out")
