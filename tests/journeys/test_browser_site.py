"""A bundle in the browser alone: a static site on a plain file server, in a real browser, beside the folder run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.errors import ConfigError
from serving.http.page.static_site.runtime import Runtime, read_runtime
from serving.http.page.static_site.to_web import write_site
from tests.chromium import FAKE_MICROPHONE, Tab, launched, opened
from tests.conftest import make_tiny_bundle, needs, with_index
from tests.journeys.axe_rules import axe_script, grave
from tests.page_actions import choose, drawn, fits, listed, picture, rows, shown, tone
from tests.servers import running
from tests.static_files import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EMOTIONS = str(Path(sys.executable).with_name("emotions"))
CLIPS = 50
LOADED_SEC = 120.0


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
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def browser(emodb4: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    speech = tmp_path_factory.mktemp("speech") / "speech.wav"
    parts = [soundfile.read(each)[0] for each in sorted(emodb4.rglob("*.wav"))[:4]]
    soundfile.write(speech, np.concatenate(parts).repeat(3), 48_000)
    with launched(FAKE_MICROPHONE, f"--use-file-for-fake-audio-capture={speech}") as found:
        yield found


@pytest.fixture
def page(site: Path, browser: Browser) -> Iterator[Page]:
    with served(site) as url, opened(browser, permissions=["microphone"]) as tab:
        yield shown(tab.page, url, LOADED_SEC)
        assert faults(tab) == []
        assert {*tab.hosts()} == {url.removeprefix("http://")}


def faults(tab: Tab) -> list[str]:
    """What the console complained about, apart from what the page itself no longer wants as it loads anew."""
    return [each for each in tab.faults() if "net::ERR_ABORTED" not in each]


def told(page: Page) -> list[dict[str, Any]]:
    """All rows of the table as the page's JSON has them, to the last digit."""
    with page.expect_download() as found:
        page.click("#json")
    return list(json.loads(found.value.path().read_text(encoding="utf-8")))


def answered(page: Page, files: list[Path], expected: int | None = None) -> float:
    """Choose files and wait for their rows; the seconds that it took."""
    before, began = len(rows(page)), time.monotonic()
    choose(page, files)
    listed(page, before + (expected or len(files)), 120)
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
    answering: Path, runtime: Runtime, emodb4: Path, tmp_path: Path, browser: Browser
) -> None:
    files = sorted(emodb4.rglob("*.wav"))[::6][:CLIPS]
    write_site(read_bundle(answering), tmp_path / "site", runtime)
    with served(tmp_path / "site") as url, opened(browser) as tab:
        page = shown(tab.page, url, LOADED_SEC)
        assert page.evaluate("crossOriginIsolated")
        seconds = answered(page, files)
        compared(page, files, answering)
        device = page.inner_text("#model")
        cores = page.evaluate("navigator.hardwareConcurrency")
        milliseconds = float(page.locator("body").get_attribute("data-milliseconds") or 0)
        assert faults(tab) == []
        picture(page, "browser-fifty")
    threads = min(4, -(-cores // 2))  # half of the cores
    assert f"wasm, {threads} thread" in device
    print(f"a window takes {milliseconds:.0f} ms, load {os.getloadavg()[0]:.1f}")
    with running(tmp_path, EMOTIONS_BUNDLE=str(answering)) as server, httpx.Client() as client:
        began = time.monotonic()
        for file in files:
            assert client.post(f"{server.url}/v1/predict", content=file.read_bytes()).status_code == 200
        service = time.monotonic() - began
    print(f"clips/s: browser {CLIPS / seconds:.1f}, service, one at a time {CLIPS / service:.1f}")


def test_it_works_without_a_network_after_the_first_load(site: Path, emodb4: Path, browser: Browser) -> None:
    with opened(browser) as tab:
        with served(site) as url:
            shown(tab.page, url, LOADED_SEC)
        with pytest.raises(httpx.TransportError):
            httpx.get(url)
        page = shown(tab.page, url, LOADED_SEC)
        answered(page, sorted(emodb4.rglob("*.wav"))[:2])
        assert all(row["label"] for row in told(page))
        assert faults(tab) == []


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
    answered(page, [tmp_path / name])
    compared(page, [tmp_path / name], site.parent / "b")


def test_speech_alone_is_classified_as_the_kernel_does(page: Page, site: Path, emodb4: Path, tmp_path: Path) -> None:
    parts = [soundfile.read(each)[0] for each in sorted(emodb4.rglob("*.wav"))[:3]]
    gap = np.zeros(16_000)
    soundfile.write(tmp_path / "pauses.wav", np.concatenate([gap, parts[0], gap, parts[1], gap, parts[2], gap]), 16_000)
    page.check("#speech")
    answered(page, [tmp_path / "pauses.wav"])
    compared(page, [tmp_path / "pauses.wav"], site.parent / "b", segments="speech")
    prediction = emotions.load(site.parent / "b").predict(tmp_path / "pauses.wav", segments="speech")
    starts = page.locator("#parts tbody td:first-child").all_text_contents()
    assert [*map(float, starts)] == pytest.approx([part.start for part in prediction.segments], abs=0.01)


def test_channels_of_a_call_and_faults_have_rows(page: Page, tmp_path: Path) -> None:
    page.check("#split")
    answered(page, [tone(tmp_path / "call.wav", 2, channels=2)], 2)
    assert [row[1] for row in rows(page)] == ["1", "2"]
    page.uncheck("#split")
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.mp3").touch()
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "short.wav", np.ones(100) / 2, 16_000)
    answered(page, [tmp_path / name for name in ("text.wav", "empty.mp3", "silent.wav", "short.wav")])
    notes = {row["file"]: row["note"] for row in told(page)}
    assert "not a recording" in notes["text.wav"]
    assert "empty" in notes["empty.mp3"]
    assert "nothing to hear" in notes["silent.wav"]
    assert "at least 400" in notes["short.wav"]
    picture(page, "browser-faults")


def test_the_microphone_is_answered_in_the_browser(page: Page) -> None:
    page.click("#record")
    expect(page.locator("#live-bars .bar").first).to_be_attached(timeout=30_000)
    page.wait_for_timeout(4000)
    assert 0 <= float(page.locator("#live").get_attribute("data-lag") or -1) < 2000
    picture(page, "browser-live")
    page.click("#record")
    expect(page.locator("#live-segments tbody tr").first).to_be_attached(timeout=30_000)


@pytest.mark.parametrize("what", ["model", "probe"])
def test_a_model_that_is_altered_or_misses_its_probe_answers_nothing(
    site: Path, tmp_path: Path, browser: Browser, what: str
) -> None:
    copy = shutil.copytree(site, tmp_path / "site")
    if what == "model":
        (copy / "model" / "model.onnx").write_bytes((site / "model" / "model.onnx").read_bytes()[:-1] + b"x")
    else:
        samples = np.frombuffer((site / "model" / "probe.f32").read_bytes(), "<f4") * np.float32(2)
        (copy / "model" / "probe.f32").write_bytes(samples.tobytes())
    sentence = {"model": "not the file that was exported", "probe": "otherwise than at export"}[what]
    with served(copy) as url, opened(browser) as tab:
        tab.page.goto(url, wait_until="commit")
        expect(tab.page.locator("#notice")).to_contain_text(sentence, timeout=60_000)
        expect(tab.page.locator("body[data-ready]")).to_have_count(0)
        picture(tab.page, f"browser-{what}")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_reads_on_every_screen(
    site: Path, browser: Browser, axe: str, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    with served(site) as url, opened(browser, width=width, scheme=scheme) as tab:
        page = shown(tab.page, url, LOADED_SEC)
        answered(page, [tone(tmp_path / "clip.wav", 2)])
        drawn(page)
        picture(page, f"browser-{width}-{scheme}")
        assert fits(page)
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
