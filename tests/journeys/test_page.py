"""The page at ``/`` in a real browser: files, a folder, a call, the microphone, keys, faults, screens."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, expect

from serving.http.api_keys import add_key
from tests.chromium import FAKE_MICROPHONE, Tab, launched, opened
from tests.journeys.axe_rules import axe_script, grave
from tests.page_actions import choose, drawn, faults, fits, listed, picture, played_to, rows, shown, tone
from tests.servers import REPOSITORY, Server, free_port, running, start, wait_until_ready

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

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
def browser(speech: Path) -> Iterator[Browser]:
    with launched(FAKE_MICROPHONE, f"--use-file-for-fake-audio-capture={speech}") as found:
        yield found


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with opened(browser, permissions=["microphone"]) as found:
        yield found


@pytest.fixture
def page(server: Server, tab: Tab) -> Iterator[Page]:
    yield shown(tab.page, server.url)
    assert faults(tab) == []
    assert {*tab.hosts()} <= {server.url.removeprefix("http://")}


def test_a_recording_is_drawn_played_and_sought(page: Page, tmp_path: Path) -> None:
    choose(page, [tone(tmp_path / HOSTILE, 3)])
    drawn(page)
    expect(page.locator("#detail-title")).to_have_text(HOSTILE.replace("\u202e", "\ufffd"))
    expect(page.locator("#parts tbody tr")).to_have_count(6)
    expect(page.locator("#detail-bars .bar")).to_have_count(5)
    expect(page.locator("img")).to_have_count(0)
    page.click("#parts tbody tr:nth-child(5) button")
    played_to(page, 300)
    page.click("#play")
    expect(page.locator("#snippets")).to_contain_text("curl -F 'file=@recording.wav'")
    picture(page, "recording")


def test_a_folder_is_a_table_to_sort_and_filter(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(12):
        tone(folder / f"clip_{number:02}.wav", 0.5 + number / 10)
    (folder / "notes.txt").write_text("no recording")
    page.set_input_files("#folder", folder)
    listed(page, 13)
    expect(page.locator("#progress")).to_have_text(re.compile("^13 of 13"), timeout=30_000)
    (bad,) = [row for row in rows(page) if "notes.txt" in row[0]]
    assert "not" in bad[-1]
    page.click("#table th:nth-child(4) button")
    seconds = [float(row[3]) for row in rows(page) if row[3]]
    assert seconds == sorted(seconds)
    page.fill("#filter", "clip_1")
    assert {row[0] for row in rows(page)} == {"folder/clip_10.wav", "folder/clip_11.wav"}
    picture(page, "folder")


def test_a_call_has_a_row_a_channel(page: Page, tmp_path: Path) -> None:
    page.check("#split")
    choose(page, [tone(tmp_path / "call.wav", 2, channels=2)])
    listed(page, 2)
    assert [row[1] for row in rows(page)] == ["1", "2"]
    expect(page.locator("#snippets")).to_contain_text("channels=split")
    picture(page, "call")


def test_faults_of_recordings_are_told_in_their_rows(page: Page, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    choose(page, [tmp_path / "text.wav", tone(tmp_path / "long.wav", 30)])
    listed(page, 2)
    notes = {row[0]: row[-1] for row in rows(page)}
    assert "20" in notes["long.wav"]
    assert notes["text.wav"]
    page.check("#speech")
    choose(page, [tone(tmp_path / "noise.wav", 2)])
    listed(page, 3)
    assert "speech" in rows(page)[-1][-1]
    picture(page, "faults")


def test_the_microphone_is_answered_while_one_speaks(page: Page) -> None:
    began = time.monotonic()
    start_microphone(page)
    waited = time.monotonic() - began
    page.wait_for_timeout(3000)
    first, lag = (float(page.locator("#live").get_attribute(f"data-{name}") or -1) for name in ("first", "lag"))
    print(f"first bar {first:.0f} ms after speech began, lag {lag:.0f} ms, load {os.getloadavg()[0]:.1f}")
    assert waited < 6
    assert 0 < first < 3000
    assert 0 <= lag < 1500
    picture(page, "live")
    page.click("#record")
    expect(page.locator("#live-segments tbody tr").first).to_be_attached(timeout=30_000)
    expect(page.locator("#record")).to_have_text("Start the microphone")


def start_microphone(page: Page) -> None:
    """Start it, and wait for the first answer."""
    page.click("#record")
    expect(page.locator("#live-bars .bar").first).to_be_attached(timeout=30_000)


def test_without_the_package_that_finds_speech_all_audio_is_measured(
    tiny_bundle: Path, tmp_path: Path, tab: Tab
) -> None:
    (tmp_path / "silero_vad").mkdir()
    (tmp_path / "silero_vad" / "__init__.py").touch()  # found before the real one, and empty
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), PYTHONPATH=path) as server:
        page = shown(tab.page, server.url)
        start_microphone(page)
        page.click("#record")
        expect(page.locator("#live-segments tbody tr").first).to_be_attached(timeout=30_000)
        expect(page.locator("#live-state")).to_contain_text("Ended")


def test_a_refused_microphone_is_told(server: Server, browser: Browser) -> None:
    with opened(browser) as tab:
        page = shown(tab.page, server.url)
        page.click("#record")
        expect(page.locator("#live-state")).to_contain_text("refused", timeout=30_000)
        picture(page, "refused")


def test_a_key_is_asked_for_and_used(tiny_bundle: Path, tmp_path: Path, tab: Tab) -> None:
    key, page = add_key(tmp_path / "keys.txt", "page"), tab.page
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_API_KEYS_FILE=str(tmp_path / "keys.txt")) as it:
        page.goto(it.url)
        expect(page.locator("#key-form")).to_be_visible(timeout=30_000)
        picture(page, "key")
        page.fill("#key", key)
        page.press("#key", "Enter")
        expect(page.locator("body[data-ready='1']")).to_be_attached(timeout=30_000)
        choose(page, [tone(tmp_path / "clip.wav")])
        listed(page, 1)
        assert rows(page)[0][1]
        expect(page.locator("#snippets")).to_contain_text("$EMOTIONS_KEY")
        assert key not in page.inner_text("body")
        page.click("#record")
        expect(page.locator("#live-state")).to_have_text(re.compile("Listening|Speech|answered"))  # the latter soon
        page.click("#record")


def test_a_service_that_is_gone_is_told_until_it_is_back(tiny_bundle: Path, tmp_path: Path, tab: Tab) -> None:
    port = str(free_port())
    command = ["-m", "bentoml", "serve", "serving.service:EmotionService", "--port", port]

    def served() -> Server:
        process = start([sys.executable, *command], tmp_path, tmp_path / "log", EMOTIONS_BUNDLE=str(tiny_bundle))
        found = Server(process, f"http://127.0.0.1:{port}", tmp_path / "log")
        wait_until_ready(found)
        return found

    first = served()
    page = shown(tab.page, first.url)
    os.killpg(first.process.pid, signal.SIGTERM)
    first.process.wait(60)
    choose(page, [tone(tmp_path / "clip.wav")])
    expect(page.locator("#notice")).to_be_visible(timeout=30_000)
    picture(page, "gone")
    second = served()
    try:
        expect(page.locator("#notice")).to_be_hidden(timeout=30_000)
        choose(page, [tone(tmp_path / "again.wav")])
        listed(page, 2)
        assert rows(page)[1][1]
    finally:
        os.killpg(second.process.pid, signal.SIGTERM)
        second.process.wait(60)


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_on_every_screen(
    server: Server, browser: Browser, axe: str, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser, width=width, scheme=scheme) as tab:
        page = shown(tab.page, server.url)
        choose(page, [tone(tmp_path / "clip.wav", 2)])
        drawn(page)
        picture(page, f"page-{width}-{scheme}")
        assert fits(page)
        assert faults(tab) == []
        assert grave(page, axe) == []


def test_it_is_used_by_the_keyboard_alone(page: Page, tmp_path: Path) -> None:
    choose(page, [tone(tmp_path / "clip.wav", 2)])
    drawn(page)
    page.focus("#play")
    page.keyboard.press("Tab")
    expect(page.locator("#zoom")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator("#zoom")).to_have_value("100")
    page.keyboard.press("Tab")
    expect(page.locator("#parts tbody tr:first-child button")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # plays from the second window on
    played_to(page, 0)


def test_it_speaks_russian(page: Page) -> None:
    page.select_option("#language", "ru")
    expect(page.locator("html[lang=ru]")).to_be_attached(timeout=30_000)
    expect(page.locator("#record")).to_have_text("Включить микрофон")
    picture(page, "russian")


def test_dimensions_are_values_and_a_point(affect_bundle: Path, tmp_path: Path, tab: Tab) -> None:
    with running(tmp_path, EMOTIONS_BUNDLE=str(affect_bundle)) as server:
        page = shown(tab.page, server.url)
        choose(page, [tone(tmp_path / "clip.wav", 2)])
        expect(page.locator("#detail-plane circle")).to_have_count(1, timeout=30_000)
        expect(page.locator("#detail-bars")).to_contain_text("arousal")
        picture(page, "dimensions")
        assert faults(tab) == []
