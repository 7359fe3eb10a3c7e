"""Every kind of report of small real runs, in a browser: phone to wide screen, light and dark, by the rules of axe."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from emotions.files.json_text import write_json
from tests.chromium import CHROMIUM, Page, opened
from tests.conftest import BuildOnce, needs
from tests.journeys.axe_rules import axe_script

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first test waits for all runs

KINDS = {
    "train": "recordings of a new speaker are right",
    "evaluate": "recordings of a new speaker are right",
    "tune": "is the best of 2",
    "suite": "changes of the sound",
    "benchmark": "times faster than it sounds",
}
MODEL = {
    "model": "FunctionalsClassifier",
    "model_architecture": {"layer_1_size": 16, "members": 1},
    "learn_params": {"lr": {"base_lr": 0.002}, "batch_size": 16, "padding_sec": 2, "max_epoch": 3},
    "dataset": {"path": "data", "speaker": {"pattern": "^[^/]+/[^_]+_([^_]+)_"}},
}


def emotions(folder: Path, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "emotions.cli", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in codes, done.stdout[-3000:] + done.stderr[-3000:]


def pipeline(folder: Path, name: str, *steps: dict[str, Any]) -> None:
    write_json(folder / f"{name}.json", {"pipeline": list(steps), "seed": 0, "load_dataset_workers_num": 0})
    emotions(folder, "train", "--config-file", f"{name}.json", "--root", ".")


def make_reports(folder: Path) -> Path:
    """Run each command that writes a report, in a folder of its own."""
    emotions(folder, "data", "demo", "data")
    learn: dict[str, Any] = dict(MODEL["learn_params"])  # type: ignore[call-overload]
    saving = {"saved_checkpoints_path": ["$$ROOT_DIR$$", "train"]}
    train = {"type": "train", **MODEL, "saving_data_params": saving}
    pipeline(folder, "train", train, {"type": "export", "output": "bundle"})
    measure = {"type": "evaluate", "protocol": "group_kfold", "folds": 2, "names": True}
    pipeline(folder, "evaluate", {**measure, **MODEL, "output": ["$$ROOT_DIR$$", "evaluate"]})
    places = {"tune_results_path": ["$$ROOT_DIR$$"], "tune_results_dir": ["tune"], "tune_session_path": ["tmp"]}
    searched = {**learn, "max_epoch": 1, "lr": {"base_lr": {"loguniform": [1e-4, 1e-2]}}}
    settings = {"num_samples": 2, "max_tune_epochs": 1, "target_metric_name": "val/emotion_uar", "cpus_per_trial": 1}
    search = {"type": "tune", **MODEL, "learn_params": searched, "saving_data_params": places, "tune": settings}
    pipeline(folder, "tune", search)
    suite = ["--bundle", "bundle", "--data", "data", "--suite", "robustness", "--output", "suite"]
    emotions(folder, "evaluate", *suite, codes=(0, 1))
    emotions(folder, "benchmark", "--bundle", "bundle", "--output", "benchmark", "--quick", "--scenario", "folder")
    return folder


@pytest.fixture(scope="module")
def reports(build_once: BuildOnce) -> Path:
    return build_once("report-pages", make_reports)


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    needs(bool(CHROMIUM), "Chromium is needed as a command")
    with opened() as page:
        yield page


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_reads_on_every_screen_in_light_and_dark(kind: str, reports: Path, axe: str, browser: Page) -> None:
    path = reports / kind / "report.html"
    papers = []
    for width in (390, 1280, 1920):
        for scheme in ("light", "dark"):
            browser.open(path.as_uri(), width=width, scheme=scheme)
            if kept := os.environ.get("REPORT_PICTURES"):  # a folder, for whoever wants to look
                browser.screenshot(Path(kept) / f"{kind}-{width}-{scheme}.png")
            assert browser.value("document.scrollingElement.scrollWidth <= innerWidth"), (width, scheme)
            assert browser.faults() == []
            papers.append(browser.value("getComputedStyle(document.body).backgroundColor"))
            browser.value(f"{axe};0")
            found = browser.value("axe.run().then(each => each.violations)")
            grave = [json.dumps(each)[:600] for each in found if each["impact"] in ("serious", "critical")]
            assert grave == [], (width, scheme)
    assert len({*papers}) == 2


def test_the_rules_and_the_measure_find_faults(axe: str, browser: Page, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("<title>x</title><img src='gone.png'><p style='width:9000px'>x</p>")
    browser.open((tmp_path / "bad.html").as_uri(), width=390, scheme="light")
    assert not browser.value("document.scrollingElement.scrollWidth <= innerWidth")
    assert "gone.png" in "".join(browser.faults()) or "ERR_FILE_NOT_FOUND" in "".join(browser.faults())
    browser.value(f"{axe};0")
    assert "image-alt" in browser.value("axe.run().then(each => each.violations.map(one => one.id))")


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_with_its_conclusion_and_needs_nothing_else(kind: str, reports: Path, browser: Page) -> None:
    page = (reports / kind / "report.html").read_text(encoding="utf-8")
    assert len(page) < 3_000_000
    assert "<script" not in page
    browser.open((reports / kind / "report.html").as_uri(), width=1280, scheme="light")
    assert KINDS[kind] in browser.value(
        "[...document.querySelectorAll('.lead')].map(each => each.textContent).join(' ')"
    )
    headings = browser.value("[...document.querySelectorAll('h1,h2,h3')].map(each => +each.tagName[1])")
    assert headings[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
    other = "[...document.querySelectorAll('[src]:not(audio),[href]')]"
    others = f"{other}.map(each => each.getAttribute('src') ?? each.getAttribute('href'))"
    assert [each for each in browser.value(others) if not each.startswith("data:")] == []
    heard = "[...document.querySelectorAll('audio')].map(each => [each.getAttribute('src'), each.preload])"
    assert all(not urlsplit(source).scheme and preload == "none" for source, preload in browser.value(heard))
    assert browser.value("[...document.querySelectorAll('table')].every(each => each.caption)")


@pytest.mark.parametrize("event", ["focus", "hover"])
def test_a_term_is_explained_where_it_stands(event: str, reports: Path, browser: Page) -> None:
    browser.open((reports / "evaluate" / "report.html").as_uri(), width=390, scheme="light")
    term = "[...document.querySelectorAll('.term')].find(each => each.textContent === 'UAR')"
    shown = f"getComputedStyle({term}, '::after').content"
    assert browser.value(shown) == "none"
    if event == "focus":
        browser.value(f"{term}.focus()")
    else:
        browser.value(f"{term}.scrollIntoView()")
        place = browser.value(f"(() => {{const r = {term}.getBoundingClientRect(); return [r.x + 5, r.y + 5]}})()")
        browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    assert "Unweighted average recall" in browser.value(shown)
    described = browser.value(f"document.getElementById({term}.getAttribute('aria-describedby')).textContent")
    assert described.startswith("Unweighted average recall")
    assert browser.value("document.scrollingElement.scrollWidth <= innerWidth")


def test_a_named_recording_can_be_played(reports: Path, browser: Page) -> None:
    browser.open((reports / "evaluate" / "report.html").as_uri(), width=1280, scheme="light")
    ready = "new Promise((done, failed) => Object.assign(a, {oncanplay: done, onerror: failed, preload: 'auto'}))"
    play = f"(async () => {{const a = document.querySelector('audio'); await {ready}; return a.duration}})()"
    assert browser.value(play) > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_on_paper_it_is_light_and_nothing_is_cut_off(kind: str, reports: Path, browser: Page) -> None:
    browser.open((reports / kind / "report.html").as_uri(), width=720, scheme="dark")
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.call("Emulation.setEmulatedMedia", media="print", features=features)
    assert browser.value("getComputedStyle(document.documentElement).getPropertyValue('--paper')").strip() == "#fff"
    assert browser.value("document.scrollingElement.scrollWidth <= innerWidth")
    browser.call("Emulation.setEmulatedMedia", media="", features=[])
    assert len(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"]) > 10_000
