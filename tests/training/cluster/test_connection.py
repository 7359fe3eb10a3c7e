"""A cluster that does not answer: one line that names the setting, the address and the cause."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from emotions.errors import ConfigError
from training.cluster import connection
from training.cluster.connection import connected

KEY = "tune.ray_address"


@pytest.fixture(autouse=True)
def no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's token would switch authentication on for the tests that follow."""
    monkeypatch.setattr(connection, "_TOKEN", tmp_path / "none")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            ConnectionAbortedError("Initialization failure from server:\nTraceback\n  ...\nOSError: no room"),
            "OSError: no room",
        ),
        (ConnectionAbortedError("Initialization failure from server:"), "Initialization failure from server:"),
        (ConnectionError("ray client connection timeout."), "ray client connection timeout"),
    ],
)
def test_the_cause_is_named(error: Exception, cause: str, listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(ray, "init", fail)
    address = f"ray://127.0.0.1:{listening}"
    with pytest.raises(ConfigError) as told, connected(address, 1, KEY):
        pass
    assert str(told.value).startswith(f"{KEY}: no Ray cluster answers at '{address}' (")
    assert cause in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("failures", "reached"), [(0, True), (2, True), (3, False)])
def test_a_head_node_that_is_busy_is_asked_again(
    failures: int, reached: bool, listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    asked: list[object] = []

    def busy(**options: object) -> None:
        asked.append(options["address"])
        if len(asked) <= failures:
            raise ConnectionAbortedError(
                "Initialization failure from server:\nRuntimeError: Starting Ray client server failed. See a.err."
            )

    monkeypatch.setattr(ray, "init", busy)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(connection, "_PAUSE_SEC", 0.0)
    address = f"ray://127.0.0.1:{listening}"
    if reached:
        with connected(address, 1, KEY):
            assert asked == [address] * (failures + 1)
    else:
        with pytest.raises(ConfigError, match="Starting Ray client server failed"), connected(address, 1, KEY):
            pass
        assert len(asked) == 3


@pytest.mark.parametrize("address", ["ray://127.0.0.1:1", "127.0.0.1:1", "nowhere"])
def test_an_address_without_a_server_is_refused_at_once(address: str) -> None:
    with pytest.raises(ConfigError, match=f"{KEY}: no Ray cluster answers at '{address}'"), connected(address, 1, KEY):
        pass
