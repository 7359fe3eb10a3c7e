"""A bundle in the browser alone: a static site on a plain file server, in a real browser, beside the folder run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

import emotions
from emotions.bundle.manifest import read_bundle
from emotions.errors import ConfigError
from serving.http.page.static_site.runtime import Runtime, read_runtime
from serving.http.page.static_site.to_web import write_site
from tests.chromium import CHROMIUM, Page, opened
from tests.conftest import make_tiny_bundle, needs, with_index
from tests.journeys.axe_rules import axe_script
from tests.journeys.test_page import click, grave, picture, rows, tone, until
from tests.servers import running
from tests.static_files import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EMOTIONS = str(Path(sys.executable).with_name("emotions"))
FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
CATCH = "URL.createObjectURL = (blob) => { window.caught = blob; return 'data:,'; }; 0"
CLIPS = 50


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    """The runtime, from npm's cache or its registry."""
    try:
        return read_runtime()
    except ConfigError as error:
        needs(False, str(error))
        raise


@pytest.fixture(scope="module")
def answering(site: Path) -> Path:
    """What answers fifty recordings: the bundle that ``EMOTIONS_TEST_BUNDLE`` names, else the tiny one."""
    return Path(os.environ.get("EMOTIONS_TEST_BUNDLE") or site.parent / "b")


@pytest.fixture(scope="module")
def site(runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a tiny bundle with overlapping rules: windows of half a second, every sample counted once."""
    folder = tmp_path_factory.mktemp("web")
    return write_site(read_bundle(make_tiny_bundle(folder / "b", pooling="coverage")), folder / "site", runtime).path


@pytest.fixture(scope="module")
def browser(emodb4: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    needs(bool(CHROMIUM), "Chromium is needed as a command")
    speech = tmp_path_factory.mktemp("speech") / "speech.wav"
    parts = [soundfile.read(each)[0] for each in sorted(emodb4.rglob("*.wav"))[:4]]
    soundfile.write(speech, np.concatenate(parts).repeat(3), 48_000)
    with opened(*FAKE, f"--use-file-for-fake-audio-capture={speech}") as page:
        yield page


@pytest.fixture
def page(site: Path, browser: Page) -> Iterator[Page]:
    with served(site) as url:
        yield shown(browser, url)
        assert faults(browser) == []
        assert {*browser.hosts()} == {url.removeprefix("http://")}


def shown(page: Page, url: str, width: int = 1280, scheme: str = "light") -> Page:
    """The page once it is ready; it loads itself anew once, to be isolated from other pages."""
    page.open(url, width=width, scheme=scheme)
    ends = time.monotonic() + 120
    while not ready(page):
        assert time.monotonic() < ends, page.value("document.body.innerText")
        time.sleep(0.2)
    return page


def faults(page: Page) -> list[str]:
    """What the console complained about, apart from sound that the page itself no longer wants."""
    return [each for each in page.faults() if '"canceled": true' not in each]


def ready(page: Page) -> bool:
    try:
        return bool(page.value("document.body?.dataset.ready === '1'"))
    except AssertionError:  # the page is being loaded anew
        return False


def told(page: Page) -> list[dict[str, Any]]:
    """All rows of the table as the page's JSON has them, to the last digit."""
    page.value(CATCH)
    click(page, "#json")
    return list(json.loads(page.value("window.caught.text()")))


def choose(page: Page, files: list[Path], expected: int | None = None) -> float:
    """Choose files and wait for their rows; the seconds that it took."""
    before = page.value("document.querySelectorAll('#table tbody tr').length")
    began = time.monotonic()
    page.choose("#files", files)
    until(page, f"document.querySelectorAll('#table tbody tr').length >= {before + (expected or len(files))}", 120)
    return time.monotonic() - began


def compared(page: Page, files: list[Path], bundle: Path, **options: Any) -> None:
    """Hold the answers of the page against those of the folder run's."""
    predictor = emotions.load(bundle, device="cpu")
    found = {row["file"]: row["probabilities"] for row in told(page)}
    for file in files:
        expected = predictor.predict(file, **options).probabilities
        for target, named in expected.items():
            assert found[file.name][target] == pytest.approx(named, abs=1e-3), file.name


def test_fifty_recordings_are_answered_as_the_folder_run_answers_them(
    answering: Path, runtime: Runtime, emodb4: Path, tmp_path: Path, browser: Page
) -> None:
    files = sorted(emodb4.rglob("*.wav"))[::6][:CLIPS]
    write_site(read_bundle(answering), tmp_path / "site", runtime)
    with served(tmp_path / "site") as url:
        shown(browser, url)
        assert browser.value("crossOriginIsolated")
        seconds = choose(browser, files)
        compared(browser, files, answering)
        device = browser.value("document.getElementById('model').innerText")
        assert faults(browser) == []
        picture(browser, "browser-fifty")
    assert "wasm" in device
    with running(tmp_path, EMOTIONS_BUNDLE=str(answering)) as server, httpx.Client() as client:
        began = time.monotonic()
        for file in files:
            assert client.post(f"{server.url}/v1/predict", content=file.read_bytes()).status_code == 200
        service = time.monotonic() - began
    print(f"clips/s: browser {CLIPS / seconds:.1f}, service, one at a time {CLIPS / service:.1f}")


def test_it_works_without_a_network_after_the_first_load(site: Path, emodb4: Path, tmp_path: Path) -> None:
    needs(bool(CHROMIUM), "Chromium is needed as a command")
    with opened() as page:
        with served(site) as url:
            shown(page, url)
        with pytest.raises(httpx.TransportError):
            httpx.get(url)
        shown(page, url)
        choose(page, sorted(emodb4.rglob("*.wav"))[:2])
        assert all(row["label"] for row in told(page))
        assert faults(page) == []


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", 44_100, 2, "PCM_16"),
        ("b.wav", 8_000, 1, "FLOAT"),
        ("c.wav", 48_000, 1, "PCM_24"),
        ("d.flac", 22_050, 2, None),
        ("e.ogg", 44_100, 1, None),
        ("f.mp3", 44_100, 1, None),
    ],
)
def test_recordings_of_other_kinds_are_decoded_as_the_kernel_does(
    page: Page, site: Path, tmp_path: Path, name: str, rate: int, channels: int, subtype: str | None
) -> None:
    random = np.random.default_rng(rate)
    time_axis = np.arange(int(1.7 * rate)) / rate
    voice = sum(np.sin(2 * np.pi * hz * time_axis) / (1 + n) for n, hz in enumerate((180, 700, 1_900, 3_300)))
    samples = 0.1 * np.stack([voice * random.uniform(0.5, 1)] * channels, axis=1)
    soundfile.write(tmp_path / name, samples, rate, subtype=subtype)
    choose(page, [tmp_path / name])
    compared(page, [tmp_path / name], site.parent / "b")


def test_speech_alone_is_classified_as_the_kernel_does(page: Page, site: Path, emodb4: Path, tmp_path: Path) -> None:
    parts = [soundfile.read(each)[0] for each in sorted(emodb4.rglob("*.wav"))[:3]]
    gap = np.zeros(16_000)
    soundfile.write(tmp_path / "pauses.wav", np.concatenate([gap, parts[0], gap, parts[1], gap, parts[2], gap]), 16_000)
    click(page, "#speech")
    choose(page, [tmp_path / "pauses.wav"])
    compared(page, [tmp_path / "pauses.wav"], site.parent / "b", segments="speech")
    prediction = emotions.load(site.parent / "b").predict(tmp_path / "pauses.wav", segments="speech")
    starts = page.value("[...document.querySelectorAll('#parts tbody tr')].map(row => row.cells[0].textContent)")
    assert [*map(float, starts)] == pytest.approx([part.start for part in prediction.segments], abs=0.01)


def test_channels_of_a_call_and_faults_have_rows(page: Page, tmp_path: Path) -> None:
    click(page, "#split")
    choose(page, [tone(tmp_path / "call.wav", 2, channels=2)], 2)
    assert [row[1] for row in rows(page)] == ["1", "2"]
    click(page, "#split")
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.mp3").touch()
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "short.wav", np.ones(100) / 2, 16_000)
    choose(page, [tmp_path / name for name in ("text.wav", "empty.mp3", "silent.wav", "short.wav")])
    notes = {row["file"]: row["note"] for row in told(page)}
    assert "not a recording" in notes["text.wav"]
    assert "empty" in notes["empty.mp3"]
    assert "nothing to hear" in notes["silent.wav"]
    assert "at least 400" in notes["short.wav"]
    picture(page, "browser-faults")


def test_the_microphone_is_answered_in_the_browser(page: Page) -> None:
    click(page, "#record")
    until(page, "document.querySelectorAll('#live-bars .bar').length > 0")
    time.sleep(4)
    assert 0 <= float(page.value("document.getElementById('live').dataset.lag")) < 2000
    picture(page, "browser-live")
    click(page, "#record")
    until(page, "document.querySelectorAll('#live-segments tbody tr').length > 0")


@pytest.mark.parametrize("what", ["model", "probe"])
def test_a_model_that_is_altered_or_misses_its_probe_answers_nothing(site: Path, tmp_path: Path, what: str) -> None:
    needs(bool(CHROMIUM), "Chromium is needed as a command")
    copy = tmp_path / "site"
    copy.mkdir()
    for file in site.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(site)).parent.mkdir(parents=True, exist_ok=True)
            (copy / file.relative_to(site)).write_bytes(file.read_bytes())
    if what == "model":
        (copy / "model" / "model.onnx").write_bytes((site / "model" / "model.onnx").read_bytes()[:-1] + b"x")
    else:
        samples = np.frombuffer((site / "model" / "probe.f32").read_bytes(), "<f4") * np.float32(2)
        (copy / "model" / "probe.f32").write_bytes(samples.tobytes())
    with served(copy) as url, opened() as page:
        page.open(url, width=1280, scheme="light")
        sentence = {"model": "not the file that was exported", "probe": "otherwise than at export"}[what]
        ends = time.monotonic() + 60
        while sentence not in str(page.value("document.getElementById('notice')?.textContent")):
            assert time.monotonic() < ends, page.value("document.body.innerText")
            time.sleep(0.2)
        assert not page.value("document.body.dataset.ready")
        picture(page, f"browser-{what}")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_reads_on_every_screen(
    site: Path, browser: Page, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, width: int, scheme: str
) -> None:
    axe = axe_script(tmp_path_factory.mktemp("axe"))
    with served(site) as url:
        page = shown(browser, url, width, scheme)
        choose(page, [tone(tmp_path / "clip.wav", 2)])
        until(page, "document.getElementById('wave').dataset.ready === '1'")
        picture(page, f"browser-{width}-{scheme}")
        assert page.value("document.scrollingElement.scrollWidth <= innerWidth")
        assert grave(page, axe) == []


def test_the_commands_say_size_and_speed(tiny_bundle: Path, tmp_path: Path) -> None:
    for name in ("to-web", "to-space"):
        command = [EMOTIONS, "bundle", name, str(tiny_bundle), str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=with_index())
        needs(done.returncode == 0 or "npm cannot fetch" not in done.stderr, "the npm registry cannot be reached")
        assert done.returncode == 0, done.stderr
        assert "MB, the model" in done.stdout
        assert (tmp_path / name / "README.md").exists() == (name == "to-space")
        again = subprocess.run(command, capture_output=True, text=True, check=False, env=with_index())
        assert again.returncode == 2
