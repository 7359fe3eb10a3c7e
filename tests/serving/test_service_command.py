"""``emotions serve``: what it checks before it becomes the server, and what it runs."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from emotions.cli import build_app
from emotions.errors import BundleError, ConfigError
from serving.http.api_keys import add_key

ACCESS = ("EMOTIONS_API_KEYS_FILE", "EMOTIONS_ALLOW_ANONYMOUS")


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process became, and its environment: the one thing that a test cannot let happen."""
    calls: list[Any] = []
    monkeypatch.setattr("os.environ", os.environ.copy())
    monkeypatch.setattr("serving.worker.supervisor.serve", lambda *what: calls.append((*what, {**os.environ})))
    monkeypatch.setattr("os.execve", lambda _, *what: calls.append(what))
    for name in ("EMOTIONS_BUNDLE", "EMOTIONS_DEVICE", "EMOTIONS_WORKERS", "EMOTIONS_THREADS", *ACCESS):
        monkeypatch.delenv(name, raising=False)
    return calls


def serve(*arguments: str) -> BaseException | None:
    return CliRunner().invoke(build_app(), ["serve", *arguments]).exception


def test_options_become_variables_and_the_service_listens_on_loopback(executed: list[Any], tiny_bundle: Path) -> None:
    options = ["--workers", "2", "--device", "cpu", "--threads", "3", "--port", "8000"]
    assert serve("--bundle", str(tiny_bundle), *options) is None
    ((*what, checked, environment),) = executed
    assert what == ["serving.service:EmotionService", "127.0.0.1", 8000, 75]
    assert (checked.bundle, checked.device) == (tiny_bundle.resolve(), "cpu")
    given = {name: environment.get(f"EMOTIONS_{name}") for name in ("BUNDLE", "WORKERS", "DEVICE", "THREADS")}
    assert given == {"BUNDLE": str(tiny_bundle.resolve()), "WORKERS": "2", "DEVICE": "cpu", "THREADS": "3"}
    assert environment["BENTOML_DO_NOT_TRACK"] == "True"


@pytest.mark.parametrize("variable", ["BENTOML_CONFIG", "BENTOML_CONFIG_OPTIONS"])
def test_where_bentoml_is_configured_it_becomes_bentoml_serve(
    executed: list[Any], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "mine")
    assert serve("--bundle", str(tiny_bundle), "--port", "8000") is None
    ((command, environment),) = executed
    assert command[1:] == [
        *("-m", "bentoml", "serve", "--timeout-keep-alive", "75", "serving.service:EmotionService"),
        *("--host", "127.0.0.1", "--port", "8000"),
    ]
    assert environment[variable] == "mine"


def test_a_file_of_settings_is_read_before_and_handed_on(
    executed: list[Any], tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("service.json").write_text('{"max_in_flight": 0}')
    refused = serve("--bundle", str(tiny_bundle), "--config", "service.json")
    assert isinstance(refused, ConfigError)
    assert "max_in_flight" in str(refused)
    assert executed == []
    Path("service.json").write_text('{"max_in_flight": 9}')
    assert serve("--bundle", str(tiny_bundle), "--config", "service.json") is None
    assert executed[0][-1]["EMOTIONS_CONFIG"] == str(tmp_path / "service.json")


def test_a_name_for_loopback_is_an_address_for_bentoml(executed: list[Any], tiny_bundle: Path) -> None:
    assert serve("--bundle", str(tiny_bundle), "--host", "localhost") is None
    assert executed[0][1] == "127.0.0.1"


def test_beyond_this_machine_it_wants_keys_that_can_be_read_or_a_waiver(
    executed: list[Any], tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("--bundle", str(tiny_bundle), "--host", "0.0.0.0")  # noqa: S104
    refused = serve(*command)
    assert isinstance(refused, ConfigError)
    assert "emotions serve-key" in str(refused)
    monkeypatch.setenv("EMOTIONS_API_KEYS_FILE", str(tmp_path / "none"))
    assert isinstance(serve(*command), ConfigError)
    assert executed == []
    add_key(tmp_path / "keys", "me")
    monkeypatch.setenv("EMOTIONS_API_KEYS_FILE", str(tmp_path / "keys"))
    assert serve(*command) is None
    monkeypatch.delenv("EMOTIONS_API_KEYS_FILE")
    monkeypatch.setenv("EMOTIONS_ALLOW_ANONYMOUS", "1")
    assert serve(*command) is None
    assert len(executed) == 2


def test_without_a_bundle_the_newest_is_served(
    executed: list[Any], tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "bundles" / "mine")
    monkeypatch.chdir(tmp_path)
    assert serve() is None
    assert executed[0][-1]["EMOTIONS_BUNDLE"] == str(tmp_path / "bundles" / "mine")


def test_mistakes_are_told_before_a_server_is_started(
    executed: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(serve(), BundleError)
    assert isinstance(serve("--bundle", "nowhere"), BundleError)
    wrong_device = serve("--bundle", str(tiny_bundle), "--device", "tpu")
    assert isinstance(wrong_device, ConfigError)
    assert "EMOTIONS_DEVICE" in str(wrong_device)
    assert executed == []


def test_a_port_that_is_taken_is_told_before_a_server_is_started(executed: list[Any], tiny_bundle: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        error = serve("--bundle", str(tiny_bundle), "--port", port)
    assert isinstance(error, ConfigError)
    assert f"127.0.0.1:{port}: cannot be listened on (another process listens there" in str(error)
    assert not executed
    assert serve("--bundle", str(tiny_bundle), "--port", port) is None


def test_an_address_of_another_machine_cannot_be_listened_on(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOTIONS_ALLOW_ANONYMOUS", "1")
    error = serve("--bundle", str(tiny_bundle), "--host", "192.0.2.1")
    assert "192.0.2.1:3000: cannot be listened on" in str(error)
    assert "name another --host" in str(error)


def test_ui_listens_on_a_free_port_of_this_machine_alone(executed: list[Any], tiny_bundle: Path) -> None:
    found = CliRunner().invoke(build_app(), ["ui", "--bundle", str(tiny_bundle), "--no-browser", "--device", "cpu"])
    assert found.exception is None, found.output
    ((_, address, port, *_, environment),) = executed
    assert address == "127.0.0.1"
    assert f"http://127.0.0.1:{port}" in found.output
    assert (environment["EMOTIONS_BUNDLE"], environment["EMOTIONS_UI"]) == (str(tiny_bundle), "1")


def test_ui_opens_the_page_once_the_service_is_ready(executed: list[Any], tiny_bundle: Path, monkeypatch: Any) -> None:
    opened: list[Any] = []
    monkeypatch.setattr("subprocess.Popen", lambda command, **_: opened.append(command))
    assert CliRunner().invoke(build_app(), ["ui", "--bundle", str(tiny_bundle), "--port", "43210"]).exception is None
    ((*_, url, server),) = opened
    assert (url, server) == ("http://127.0.0.1:43210", str(os.getpid()))
    assert executed
