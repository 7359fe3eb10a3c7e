"""``emotions label tasks``: what is picked, why, and what Label Studio is given."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from emotions.calls.formats.label_studio import read_label_studio
from emotions.cli import run
from serving.batch.label.answers import divergence, read_answers
from serving.batch.label.pick import MODELS, RANDOM, UNCERTAIN, WINDOWS, Plan, pick

LABELS = ("anger", "joy & co", "печаль")


def write_table(path: Path, count: int = 200, seed: int = 0, windows: int = 1) -> Path:
    random = np.random.default_rng(seed)
    names = ["file", "start", "end", "emotion", *(f"emotion.{label}" for label in LABELS), "confidence", "error"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(names)
        for at in range(count):
            for window in range(windows):
                shares = random.dirichlet([0.5] * len(LABELS))
                label = LABELS[int(shares.argmax())]
                cells = [f"day 1/ü{at:03}.wav", window, window + 1, label, *shares, shares.max(), ""]
                writer.writerow(cells)
        writer.writerow(["broken.wav", "", "", "", "", "", "", "", "undecodable: is no audio"])
    return path


def test_the_random_share_is_drawn_from_all_and_the_rest_are_the_least_certain(tmp_path: Path) -> None:
    answers, _ = read_answers(write_table(tmp_path / "t.csv"))
    picked = pick(answers, Plan(40, 0.25))
    reasons = [each.reason for each in picked]
    assert (reasons.count(RANDOM), reasons.count(UNCERTAIN), len(picked)) == (10, 30, 40)
    assert {each.chance for each in picked} == {10 / 200}
    drawn = {each.answer.file for each in picked if each.reason == RANDOM}
    expected = sorted((each for each in answers if each.file not in drawn), key=lambda each: each.confidence)[:30]
    assert {each.answer.file for each in picked} - drawn == {each.file for each in expected}


def test_random_ones_are_an_honest_sample(tmp_path: Path) -> None:
    answers, _ = read_answers(write_table(tmp_path / "t.csv"))
    means = [np.mean([each.answer.confidence for each in pick(answers, Plan(50, 1.0, seed))]) for seed in range(40)]
    truth = np.mean([each.confidence for each in answers])
    assert np.mean(means) == pytest.approx(truth, abs=3 * float(np.std(means)) / np.sqrt(40))


def test_windows_and_models_that_disagree_are_picked(tmp_path: Path) -> None:
    answers, _ = read_answers(write_table(tmp_path / "t.csv", windows=4))
    others, _ = read_answers(write_table(tmp_path / "o.csv", seed=1, windows=4))
    picked = pick(answers, Plan(60, 0.0, others={each.file: each for each in others}))
    reasons = [each.reason for each in picked]
    assert {*reasons} == {UNCERTAIN, WINDOWS, MODELS}
    assert max(map(reasons.count, reasons)) == 20
    most = max(answers, key=lambda each: each.disagreement).file
    assert most in {each.answer.file for each in picked if each.reason in {WINDOWS, UNCERTAIN}}


def test_each_recording_is_picked_once_and_no_more_than_there_are(tmp_path: Path) -> None:
    answers, _ = read_answers(write_table(tmp_path / "t.csv", count=30))
    picked = pick(answers, Plan(1000, 0.25))
    assert sorted(each.answer.file for each in picked) == sorted(each.file for each in answers)


def test_divergence_is_between_none_and_a_bit() -> None:
    assert divergence(np.array([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(1.0, abs=1e-6)
    assert divergence(np.array([[0.3, 0.7], [0.3, 0.7]])) == 0.0


def test_tasks_have_audio_by_reference_a_reason_and_a_prediction_that_the_page_can_show(tmp_path: Path) -> None:
    table, output = write_table(tmp_path / "t.csv"), tmp_path / "tasks.json"
    assert run(["label", "tasks", str(table), "--output", str(output), "--count", "20"]) == 0
    tasks = json.loads(output.read_text())
    page = ElementTree.fromstring(output.with_suffix(".xml").read_text())  # noqa: S314 - our own
    choices = {each.get("name"): [choice.get("value") for choice in each] for each in page.iter("Choices")}
    assert choices == {"emotion": [*LABELS]}
    assert len(tasks) == 20
    for task in tasks:
        (prediction,) = task["predictions"]
        (result,) = prediction["result"]
        assert result["value"]["choices"][0] in choices[result["from_name"]]
        assert task["data"]["reason"]
        assert task["data"]["audio"].startswith("/data/local-files/?d=day%201/")


def test_what_people_chose_comes_back_as_a_table_with_raters(tmp_path: Path) -> None:
    output = tmp_path / "tasks.json"
    assert run(["label", "tasks", str(write_table(tmp_path / "t.csv")), "--output", str(output)]) == 0
    tasks = json.loads(output.read_text())
    for task in tasks:
        task["annotations"] = [
            {"completed_by": {"email": who}, "result": task["predictions"][0]["result"]} for who in ("ann", "bob")
        ]
    export, labels = tmp_path / "export.json", tmp_path / "labels.csv"
    export.write_text(json.dumps(tasks), encoding="utf-8")
    found = [*read_label_studio(tasks, "export")]
    assert found[0].file == tasks[0]["data"]["name"]
    assert run(["data", "import", str(export), "--output", str(labels)]) == 0
    rows = [*csv.DictReader(labels.read_text(encoding="utf-8").splitlines())]
    assert len(rows) == 2 * len(tasks)
    assert {row["rater"] for row in rows} == {"ann", "bob"}
    assert {row["path"] for row in rows} == {task["data"]["name"] for task in tasks}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file,emotion\na.wav,joy\n", "no table of answers"),
        ("file,emotion,emotion.joy\na.wav,joy,1.5\n", "no probability"),
        ("file,emotion,emotion.joy\na.wav,joy,nan\n", "no probability"),
        ("file,emotion,emotion.joy,error\na.wav,,,unreadable: no\n", "no rows"),
    ],
)
def test_other_tables_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert run(["label", "tasks", str(tmp_path / "t.csv"), "--output", str(tmp_path / "tasks.json")]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "tasks.json").exists()


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    table, output = write_table(tmp_path / "t.csv"), tmp_path / "tasks.json"
    output.write_text("[]")
    assert run(["label", "tasks", str(table), "--output", str(output)]) == 2
    assert output.read_text() == "[]"
