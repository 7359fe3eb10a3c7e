"""A newcomer's way in a terminal: init, train, Ctrl-C, the same command, export, predict, serve; no file is edited."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from emotions.files.json_text import read_json
from tests.servers import free_port
from tests.terminal import Terminal, at_terminal
from training.data.demo import make_demo_corpus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]

LABELS = {"angry": "гнев", "happy": "радость", "neutral": "нейтральное", "sad": "печаль"}
CLIP = "записи/angry/01_s1_1.wav"


def as_folders(_: Path) -> None:
    """They are class folders as they are."""


def as_annotations(data: Path) -> None:
    clips = {
        path.relative_to(data).as_posix(): {"emotion": path.parent.name, "speaker": path.name[:2]}
        for path in sorted(data.rglob("*.wav"))
    }
    (data / "annotations.json").write_text(json.dumps(clips), encoding="utf-8")


def as_segments(data: Path) -> None:
    with (data / "сегменты.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "start", "end", "label", "speaker"])
        for path in sorted(data.rglob("*.wav")):
            name = path.relative_to(data).as_posix()
            writer.writerows([name, start, start + 0.6, LABELS[path.parent.name], path.name[:2]] for start in (0, 0.6))


LAYOUTS: dict[str, tuple[Callable[[Path], None], list[str], str]] = {
    "folders": (as_folders, ["1\n"], "6, by the first part of the file name"),
    "annotations": (as_annotations, [], "6, by the column 'speaker'"),
    "segments": (as_segments, [], "6, by the column 'speaker'"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_from_recordings_to_a_service(layout: str, tmp_path: Path) -> None:
    lay_out, answers, speakers = LAYOUTS[layout]
    lay_out(make_demo_corpus(tmp_path / "записи", takes=4))

    with at_terminal("init", "записи", cwd=tmp_path) as terminal:
        for answer in answers:
            terminal.until("Number")
            terminal.type(answer)
        code, text = terminal.end()
    assert code == 0, text
    assert f"speakers  {speakers}" in text
    assert "4 classes" in text
    assert text.endswith("written: config.json\nnext: emotions train config.json\n")

    interrupted, whole = stopped_and_gone_on(tmp_path)
    assert re.search(r"stopped: \d+ of 10 epochs are kept in .*/runs/записи; go on with: emotions train", interrupted)
    assert "going on with the interrupted training" in whole
    assert "next: emotions export --run runs/записи" in whole.replace("'", "")
    metrics = read_json(tmp_path / "runs" / "записи" / "metrics.json")

    code, text = ended("export", "--run", "runs/записи", cwd=tmp_path)
    assert code == 0, text
    assert "same label: 100.0%" in text
    assert "next: emotions serve --bundle bundles/записи" in text.replace("'", "")

    code, text = ended("predict", CLIP, cwd=tmp_path)
    assert code == 0, text
    labels = LABELS.values() if layout == "segments" else LABELS
    assert re.search(rf"01_s1_1\.wav +\d\.\d s  ({'|'.join(labels)}) +█", text), text
    assert "записи@" in text

    shown = served_answer(tmp_path)
    assert shown["label"] in labels
    if layout == "folders":  # where recordings lie makes no difference to how training goes on
        uninterrupted(tmp_path)
        assert read_json(tmp_path / "runs" / "записи" / "metrics.json") == metrics


def stopped_and_gone_on(folder: Path) -> tuple[str, str]:
    """Train, press Ctrl-C in the middle, and run the same command again: what both wrote."""
    with at_terminal("train", "config.json", cwd=folder) as terminal:
        terminal.until(r"epoch [2-6]/10")
        terminal.type("\x03")
        code, interrupted = terminal.end()
    assert code == 130, interrupted
    code, whole = ended("train", "config.json", cwd=folder)
    assert code == 0, whole
    return interrupted, whole


def uninterrupted(folder: Path) -> None:
    """Train anew without a pause, in the place of the run that was stopped."""
    shutil.rmtree(folder / "runs")
    code, text = ended("train", "config.json", cwd=folder)
    assert code == 0, text


def ended(*arguments: str, cwd: Path) -> tuple[int, str]:
    with at_terminal(*arguments, cwd=cwd) as terminal:
        return terminal.end()


def served_answer(folder: Path) -> dict[str, object]:
    """Serve the newest bundle until it has answered, and stop it by Ctrl-C."""
    port = free_port()
    with at_terminal("serve", "--port", str(port), cwd=folder, EMOTIONS_DEVICE="cpu") as terminal:
        answer = first_answer(terminal, f"http://127.0.0.1:{port}", folder / CLIP)
        terminal.type("\x03")
        terminal.end()
    return answer


def first_answer(terminal: Terminal, url: str, clip: Path) -> dict[str, object]:
    terminal.until(r"(?i)ready|started|running|listening")
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            found = httpx.post(f"{url}/v1/predict", files={"file": clip.read_bytes()}, timeout=20)
            if found.status_code == 200:
                return dict(found.json())
        time.sleep(0.1)  # it is being loaded
    raise AssertionError(terminal.text)
