"""The page at ``/`` in a real browser: files, a folder, a call, the microphone, keys, faults, screens."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from serving.http.api_keys import add_key
from tests.chromium import CHROMIUM, Page, opened
from tests.conftest import needs
from tests.journeys.axe_rules import axe_script
from tests.servers import REPOSITORY, Server, free_port, running, start, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
HOSTILE = "<img src=x onerror=alert(1)> \u202egnp.exe 😀.wav"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_MAX_SECONDS="20") as it:
        yield it


@pytest.fixture(scope="module")
def speech(emodb4: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some recordings one after the other, as a microphone hears them."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    parts = [soundfile.read(each)[0] for each in sorted(emodb4.rglob("*.wav"))[:4]]
    soundfile.write(path, np.concatenate(parts).repeat(3), 48_000)
    return path


@pytest.fixture(scope="module")
def browser(speech: Path) -> Iterator[Page]:
    needs(bool(CHROMIUM), "Chromium is needed as a command")
    with opened(*FAKE, f"--use-file-for-fake-audio-capture={speech}") as page:
        yield page


@pytest.fixture
def page(server: Server, browser: Page) -> Iterator[Page]:
    yield shown(browser, server.url)
    assert faults(browser) == []
    assert {*browser.hosts()} <= {server.url.removeprefix("http://")}


def shown(page: Page, url: str, width: int = 1280, scheme: str = "light") -> Page:
    page.open(url, width=width, scheme=scheme)
    until(page, "document.body.dataset.ready === '1'")
    return page


def faults(page: Page) -> list[str]:
    """What the console complained about, apart from Chromium's own line of each request that is refused."""
    return [each for each in page.faults() if "responded with a status of 4" not in each]


def until(page: Page, condition: str, seconds: float = 30) -> None:
    """Wait until an expression is true."""
    ends = time.monotonic() + seconds
    while not page.value(condition):
        assert time.monotonic() < ends, (condition, page.value("document.body.innerText"))
        time.sleep(0.1)


def choose(page: Page, files: list[Path], box: str = "files") -> None:
    page.choose(f"#{box}", files)


def rows(page: Page) -> list[list[str]]:
    script = (
        "[...document.querySelectorAll('#table tbody tr')].map(row => [...row.cells].map(each => each.textContent))"
    )
    return [list(row) for row in page.value(script)]


def picture(page: Page, name: str) -> None:
    if kept := os.environ.get("PAGE_PICTURES"):  # a folder, for whoever wants to look
        page.screenshot(Path(kept) / f"{name}.png")


def click(page: Page, selector: str) -> None:
    page.value(f"document.querySelector({selector!r}).click()")


def tone(path: Path, seconds: float = 1.0, channels: int = 1, rate: int = 16_000) -> Path:
    random = np.random.default_rng(len(path.name))
    soundfile.write(path, 0.2 * random.normal(size=(int(seconds * rate), channels)).clip(-3, 3), rate)
    return path


def test_a_recording_is_drawn_played_and_sought(page: Page, tmp_path: Path) -> None:
    choose(page, [tone(tmp_path / HOSTILE, 3)])
    until(page, "document.getElementById('wave').dataset.ready === '1'")
    assert page.value("document.getElementById('detail-title').textContent") == HOSTILE.replace("\u202e", "\ufffd")
    assert page.value("document.querySelectorAll('#parts tbody tr').length") == 6
    assert page.value("document.querySelectorAll('#detail-bars .bar').length") == 5
    assert page.value("document.querySelectorAll('img').length") == 0
    click(page, "#parts tbody tr:nth-child(5) button")
    until(page, "document.querySelector('#wave div').shadowRoot.querySelector('[part=cursor]').offsetLeft > 300")
    click(page, "#play")
    assert "curl -F 'file=@recording.wav'" in page.value("document.getElementById('snippets').innerText")
    picture(page, "recording")


def test_a_folder_is_a_table_to_sort_and_filter(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(12):
        tone(folder / f"clip_{number:02}.wav", 0.5 + number / 10)
    (folder / "notes.txt").write_text("no recording")
    choose(page, [folder], "folder")
    until(page, "document.querySelectorAll('#table tbody tr').length === 13")
    until(page, "document.getElementById('progress').textContent.startsWith('13 of 13')")
    (bad,) = [row for row in rows(page) if "notes.txt" in row[0]]
    assert "not" in bad[-1]
    click(page, "#table th:nth-child(4) button")
    seconds = [float(row[3]) for row in rows(page) if row[3]]
    assert seconds == sorted(seconds)
    page.value("document.getElementById('filter').value = 'clip_1'")
    page.value("document.getElementById('filter').dispatchEvent(new Event('input'))")
    assert {row[0] for row in rows(page)} == {"folder/clip_10.wav", "folder/clip_11.wav"}
    picture(page, "folder")


def test_a_call_has_a_row_a_channel(page: Page, tmp_path: Path) -> None:
    click(page, "#split")
    choose(page, [tone(tmp_path / "call.wav", 2, channels=2)])
    until(page, "document.querySelectorAll('#table tbody tr').length === 2")
    assert [row[1] for row in rows(page)] == ["1", "2"]
    assert "channels=split" in page.value("document.getElementById('snippets').innerText")
    picture(page, "call")


def test_faults_of_recordings_are_told_in_their_rows(page: Page, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    choose(page, [tmp_path / "text.wav", tone(tmp_path / "long.wav", 30)])
    until(page, "document.querySelectorAll('#table tbody tr').length === 2")
    notes = {row[0]: row[-1] for row in rows(page)}
    assert "20" in notes["long.wav"]
    assert notes["text.wav"]
    click(page, "#speech")
    choose(page, [tone(tmp_path / "noise.wav", 2)])
    until(page, "document.querySelectorAll('#table tbody tr').length === 3")
    assert "speech" in rows(page)[-1][-1]
    picture(page, "faults")


def test_the_microphone_is_answered_while_one_speaks(page: Page) -> None:
    began = time.monotonic()
    click(page, "#record")
    until(page, "document.querySelectorAll('#live-bars .bar').length > 0")
    first = time.monotonic() - began
    time.sleep(3)
    assert first < 6
    assert 0 <= float(page.value("document.getElementById('live').dataset.lag")) < 1500
    picture(page, "live")
    click(page, "#record")
    until(page, "document.querySelectorAll('#live-segments tbody tr').length > 0")
    assert page.value("document.getElementById('record').textContent") == "Start the microphone"


def test_without_the_package_that_finds_speech_all_audio_is_measured(
    tiny_bundle: Path, tmp_path: Path, browser: Page
) -> None:
    (tmp_path / "silero_vad").mkdir()
    (tmp_path / "silero_vad" / "__init__.py").touch()  # found before the real one, and empty
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), PYTHONPATH=path) as server:
        shown(browser, server.url)
        click(browser, "#record")
        until(browser, "document.querySelectorAll('#live-bars .bar').length > 0")
        click(browser, "#record")
        until(browser, "document.querySelectorAll('#live-segments tbody tr').length > 0")
        assert "Ended" in browser.value("document.getElementById('live-state').textContent")


def test_a_refused_microphone_is_told(server: Server) -> None:
    with opened("--use-fake-device-for-media-stream", "--deny-permission-prompts") as page:
        shown(page, server.url)
        click(page, "#record")
        until(page, "document.getElementById('live-state').textContent.includes('refused')")
        picture(page, "refused")


def test_a_key_is_asked_for_and_used(tiny_bundle: Path, tmp_path: Path, browser: Page) -> None:
    key = add_key(tmp_path / "keys.txt", "page")
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_API_KEYS_FILE=str(tmp_path / "keys.txt")) as it:
        browser.open(it.url, width=1280, scheme="light")
        until(browser, "!document.getElementById('key-form').hidden")
        picture(browser, "key")
        browser.value(f"document.getElementById('key').value = '{key}'")
        click(browser, "#key-form button")
        until(browser, "document.body.dataset.ready === '1'")
        choose(browser, [tone(tmp_path / "clip.wav")])
        until(browser, "document.querySelectorAll('#table tbody tr').length === 1")
        assert rows(browser)[0][1]
        assert "$EMOTIONS_KEY" in browser.value("document.getElementById('snippets').innerText")
        assert key not in browser.value("document.body.innerText")
        click(browser, "#record")
        until(browser, "document.getElementById('live-state').textContent.includes('istening')")
        click(browser, "#record")


def test_a_service_that_is_gone_is_told_until_it_is_back(tiny_bundle: Path, tmp_path: Path, browser: Page) -> None:
    port = str(free_port())
    command = ["-m", "bentoml", "serve", "serving.service:EmotionService", "--port", port]

    def served() -> Server:
        process = start([sys.executable, *command], tmp_path, tmp_path / "log", EMOTIONS_BUNDLE=str(tiny_bundle))
        found = Server(process, f"http://127.0.0.1:{port}", tmp_path / "log")
        wait_until_ready(found)
        return found

    first = served()
    shown(browser, first.url)
    os.killpg(first.process.pid, signal.SIGTERM)
    first.process.wait(20)
    choose(browser, [tone(tmp_path / "clip.wav")])
    until(browser, "!document.getElementById('notice').hidden")
    picture(browser, "gone")
    second = served()
    try:
        until(browser, "document.getElementById('notice').hidden")
        choose(browser, [tone(tmp_path / "again.wav")])
        until(browser, "document.querySelectorAll('#table tbody tr').length === 2")
        assert rows(browser)[1][1]
    finally:
        os.killpg(second.process.pid, signal.SIGTERM)
        second.process.wait(20)


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_on_every_screen(
    server: Server, browser: Page, axe: str, tmp_path: Path, width: int, scheme: str
) -> None:
    shown(browser, server.url, width, scheme)
    choose(browser, [tone(tmp_path / "clip.wav", 2)])
    until(browser, "document.getElementById('wave').dataset.ready === '1'")
    picture(browser, f"page-{width}-{scheme}")
    assert browser.value("document.scrollingElement.scrollWidth <= innerWidth")
    assert faults(browser) == []
    assert grave(browser, axe) == []


def test_it_speaks_russian(page: Page) -> None:
    page.value("document.getElementById('language').value = 'ru'")
    page.value("document.getElementById('language').dispatchEvent(new Event('change'))")
    until(page, "document.documentElement.lang === 'ru'")
    assert "Включить микрофон" in page.value("document.body.innerText")
    picture(page, "russian")
    page.value("localStorage.clear()")


def test_dimensions_are_values_and_a_point(affect_bundle: Path, tmp_path: Path, browser: Page) -> None:
    with running(tmp_path, EMOTIONS_BUNDLE=str(affect_bundle)) as server:
        shown(browser, server.url)
        choose(browser, [tone(tmp_path / "clip.wav", 2)])
        until(browser, "document.querySelectorAll('#detail-plane circle').length === 1")
        assert "arousal" in browser.value("document.getElementById('detail-bars').innerText")
        picture(browser, "dimensions")
        assert faults(browser) == []


def grave(page: Page, axe: str) -> list[Any]:
    """What the rules of axe find serious; run as the page's policy lets no script in."""
    page.value(f"{axe};0")
    found = page.value("axe.run().then(each => each.violations)")
    return [each for each in found if each["impact"] in ("serious", "critical")]
