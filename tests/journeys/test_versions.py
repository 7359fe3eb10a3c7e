"""Several versions of a model in one real server: named, broken, shadowed, swapped under load."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import Tone, WavBytes
from tests.servers import REPOSITORY, Server, free_port, running, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip(tone: Tone, wav_bytes: WavBytes) -> bytes:
    return wav_bytes(tone(1.0), subtype="PCM_16")


def test_a_broken_third_bundle_does_not_hurt_the_two(
    tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, clip: bytes
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    (broken / "model.onnx").write_bytes(b"no graph")
    bundles = f"tiny={tiny_bundle},affect={affect_bundle},third={broken}"
    with (
        running(tmp_path, EMOTIONS_BUNDLES=bundles, EMOTIONS_WORKERS="2") as server,
        httpx.Client(timeout=20) as client,
    ):
        for _ in range(20):
            for name, dimensions in (("tiny", False), ("affect", True)):
                answer = client.post(f"{server.url}/v1/models/{name}/predict", content=clip)
                assert answer.status_code == 200
                assert ("values" in answer.json()) == dimensions
            refused = client.post(f"{server.url}/v1/models/third/predict", content=clip)
            assert refused.status_code == 503
            assert "model.onnx" in refused.json()["error"]["message"]
        assert server.post(clip).json()["bundle"] == client.get(f"{server.url}/v1/models/tiny").json()["bundle"]
        counted = 'emotions_model_recordings_total{model="affect"} 20.0'
        until(lambda: counted in client.get(f"{server.url}/metrics").text)  # another worker tells a moment later
        metrics = client.get(f"{server.url}/metrics").text
        assert 'emotions_model_ready{model="third"} 0.0' in metrics
        assert 'emotions_model_ready{model="affect"} 1.0' in metrics
        assert client.get(f"{server.url}/readyz").status_code == 200


@contextlib.contextmanager
def load(server: Server, clip: bytes, clients: int) -> Iterator[list[tuple[int, str]]]:
    """Requests of several clients until the block ends: status and bundle of each answer, in the list that comes."""
    answers: list[tuple[int, str]] = []
    over = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=30) as client:
            while not over.is_set():
                try:
                    answer = client.post(f"{server.url}/v1/predict", content=clip)
                    answers.append((answer.status_code, answer.json().get("bundle", "")))
                except httpx.HTTPError as error:
                    answers.append((0, repr(error)))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def until(true: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def linked(old: Path, new: Path, place: Path) -> tuple[Path, Path]:
    """A folder with the bundles ``old``, ``new`` and ``broken``, and a link to the old one."""
    folder, link = place / "bundles", place / "live"
    for name, bundle in (("old", old), ("new", new), ("broken", old)):
        shutil.copytree(bundle, folder / name)
    (folder / "broken" / "model.onnx").write_bytes(b"no graph")
    link.symlink_to(folder / "old")
    return folder, link


def test_shadow_and_swap_under_load_lose_no_request(
    tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, clip: bytes
) -> None:
    """Old bundle, shadowed by the new one; the new one takes over under load; a broken one is refused; and back."""
    folder, link = linked(tiny_bundle, affect_bundle, tmp_path)
    settings = {"EMOTIONS_BUNDLE": str(link), "EMOTIONS_SHADOW": str(folder / "new"), "EMOTIONS_WORKERS": "2"}
    with running(tmp_path, **settings, EMOTIONS_RELOAD_SEC="0.2") as server:

        def counted(text: str) -> bool:
            return text in httpx.get(f"{server.url}/metrics", timeout=30).text

        def point(name: str) -> None:
            (tmp_path / "next").symlink_to(folder / name)
            (tmp_path / "next").replace(link)

        with load(server, clip, 6) as answers:
            until(lambda: len(answers) > 50)
            old = answers[0][1]
            point("new")
            until(lambda: counted('emotions_bundle_changes_total{model="tiny",outcome="taken"} 2.0'))
            seen = len(answers)
            until(lambda: len(answers) > seen + 50)
            new = answers[-1][1]
            point("broken")
            until(lambda: counted('emotions_bundle_changes_total{model="tiny",outcome="refused"} 2.0'))
            point("old")
            until(lambda: counted('emotions_bundle_changes_total{model="tiny",outcome="taken"} 4.0'))
            seen = len(answers)
            until(lambda: len(answers) > seen + 50)
        assert {status for status, _ in answers} == {200}, [each for each in answers if each[0] != 200][:3]
        assert {bundle for _, bundle in answers} == {old, new}
        assert answers[-1][1] == old != new
        until(lambda: counted('emotions_shadow_recordings_total{outcome="compared"}'))  # it gives way to all else
        metrics = httpx.get(f"{server.url}/metrics", timeout=30).text
        assert "emotions_shadow_ready 1.0" in metrics
        assert 'emotions_shadow_disagreements_total{target="emotion"}' in metrics or (
            'emotions_shadow_difference_count{target="emotion"}' in metrics
        )
        until(lambda: counted("emotions_in_flight 0.0"))  # the other worker tells its load a moment later
    print(f"{len(answers)} requests, none lost")


def kill_workers(server: Server, count: int) -> None:
    """Kill all workers of ``emotions serve`` at once, and wait for those that are started in their place."""
    workers = psutil.Process(server.process.pid).children()
    assert len(workers) == count
    for each in workers:
        each.send_signal(signal.SIGKILL)
    old = {each.pid for each in workers}
    until(lambda: len({each.pid for each in psutil.Process(server.process.pid).children()} - old) == count)


def served(server: Server, clip: bytes) -> set[str]:
    """The bundles of many answers, each over a connection of its own, so that every worker has some."""
    answers = [server.post(clip) for _ in range(30)]
    assert {each.status_code for each in answers} == {200}
    return {each.json()["bundle"] for each in answers}


def test_workers_that_were_killed_serve_what_was_served_last(
    tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, clip: bytes
) -> None:
    """The link leads to a broken bundle by then: nothing but the server's memory knows of the one that took over."""
    folder, link = linked(tiny_bundle, affect_bundle, tmp_path)
    settings = {"EMOTIONS_RELOAD_SEC": "0.2", "EMOTIONS_WORKERS": "2", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "emotions.cli", "serve", "--bundle", str(link)]
    with serving(command, tmp_path, free_port(), TMPDIR=str(tmp_path), **settings) as server:

        def counted(outcome: str, count: int) -> bool:
            text = httpx.get(f"{server.url}/metrics", timeout=30).text
            return f'emotions_bundle_changes_total{{model="tiny",outcome="{outcome}"}} {count}.0' in text

        def point(name: str) -> None:
            (tmp_path / "next").symlink_to(folder / name)
            (tmp_path / "next").replace(link)

        (old,) = served(server, clip)
        point("new")
        until(lambda: counted("taken", 2))
        (new,) = served(server, clip)
        assert new != old
        point("broken")
        until(lambda: counted("refused", 2))
        kill_workers(server, 2)
        assert served(server, clip) == {new}
        (folder / "new" / "model.onnx").write_bytes(b"no graph")
        kill_workers(server, 2)
        assert served(server, clip) == {old}
        assert "that was served last is refused, the configured one is tried" in server.log.read_text()
        assert len([*tmp_path.glob("emotions-last-taken-*")]) == 1
        os.kill(server.process.pid, signal.SIGTERM)
        server.process.wait(30)
        assert not [*tmp_path.glob("emotions-last-taken-*")]
