from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from emotions.cli import build_app
from emotions.errors import ConfigError
from serving.http.api_keys import ApiKeyAuth, add_key, check_exposure, read_auth, read_keys
from serving.http.route_table import ROUTES
from serving.settings import Settings
from tests.serving.conftest import Service, StartService, error_of


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


@pytest.fixture
def key(keys_file: Path) -> str:
    add_key(keys_file, "other")
    return add_key(keys_file, "mobile-app")


@pytest.fixture
def guarded(start: StartService, keys_file: Path, key: str) -> Service:
    return start(api_keys_file=keys_file)


def test_the_file_holds_names_and_hashes_for_its_owner_alone(keys_file: Path, key: str) -> None:
    text = keys_file.read_text()
    assert key not in text
    assert hashlib.sha256(key.encode()).hexdigest() in text
    assert stat.S_IMODE(keys_file.stat().st_mode) == 0o600
    assert [*read_keys(keys_file)] == ["other", "mobile-app"]


@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "authorization: bearer  {}", "X-API-Key: {}"])
def test_a_key_lets_in_by_either_header(guarded: Service, key: str, clip: bytes, header: str) -> None:
    name, _, value = header.format(key).partition(": ")
    assert guarded.post(clip, headers={name: value}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "emo_wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"x-api-key": b"\xff\xfe"},
    ],
)
def test_without_a_known_key_nobody_comes_in(guarded: Service, clip: bytes, headers: Any) -> None:
    for path in ("/v1/predict", "/v1/predict/batch", "/predict", "/nothing", "/v1/predict/", "/metrics/"):
        response = guarded.post(clip, path, headers=headers)
        assert error_of(response) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    assert error_of(guarded.request("GET", "/v1/model", headers=headers)) == (401, "unauthorized")


def test_the_hash_of_a_key_is_no_key(guarded: Service, key: str, clip: bytes) -> None:
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert guarded.post(clip, headers={"x-api-key": digest}).status_code == 401


def test_probes_metrics_and_the_description_want_no_key(guarded: Service) -> None:
    public = {route.path for route in ROUTES if route.public}
    assert public == {
        *("/livez", "/readyz", "/healthz", "/metrics", "/v2/health/live", "/v2/health/ready"),
        *("/", "/page/{name:path}", "/docs", "/docs.json", "/schema.json", "/v1/openapi.json", "/v1/asyncapi.json"),
    }
    for path in (*public, "/static_content/index.css"):
        assert guarded.request("GET", path).status_code != 401, path
    assert guarded.request("GET", "/metrics").status_code == 200


def test_a_refusal_reads_no_body(guarded: Service) -> None:
    read: list[bytes] = []

    async def body() -> Any:
        read.append(b"x")
        yield b"x"

    assert guarded.post(body()).status_code == 401
    assert read == []


@pytest.mark.parametrize(
    ("address", "anonymous", "status"),
    [("127.0.0.1", False, 200), ("::1", False, 200), ("10.0.0.5", False, 401), ("10.0.0.5", True, 200)],
)
def test_without_keys_only_this_machine_is_answered_unless_said_otherwise(
    start: StartService, clip: bytes, address: str, anonymous: bool, status: int
) -> None:
    service = start(allow_anonymous=anonymous)
    host = f"[{address}]" if ":" in address else address

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.post("/v1/predict", content=clip)

    import asyncio

    assert asyncio.run(send()).status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])  # noqa: S104
def test_beyond_this_machine_it_wants_keys_or_a_waiver(host: str, keys_file: Path) -> None:
    with pytest.raises(ConfigError, match="EMOTIONS_ALLOW_ANONYMOUS=1"):
        check_exposure(host, Settings())
    check_exposure(host, Settings(allow_anonymous=True))
    check_exposure(host, Settings(api_keys_file=keys_file))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_on_this_machine_it_wants_none(host: str) -> None:
    check_exposure(host, Settings())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "holds no API key"),
        (b"# nobody\n\n", "holds no API key"),
        (b"name abc\n", "line 1: a line is"),
        (b"a " + b"0" * 64 + b"\nplaintext-key\n", "line 2: a line is"),
        (b"a " + b"0" * 64 + b"\na " + b"1" * 64, "line 2: the name is there already"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told(keys_file: Path, content: bytes | None, fault: str) -> None:
    if content is not None:
        keys_file.write_bytes(content)
    with pytest.raises(ConfigError, match=fault):
        read_auth(Settings(api_keys_file=keys_file))


def test_without_a_file_there_are_no_keys() -> None:
    assert read_auth(Settings()) == ApiKeyAuth(None, False)


def test_the_command_prints_a_key_once_and_adds_its_hash(keys_file: Path) -> None:
    app = build_app()
    keys_file.write_text("# ours\nfirst " + "0" * 64)
    done = CliRunner().invoke(app, ["serve-key", "second", "--file", str(keys_file)])
    assert done.exit_code == 0
    key = done.stdout.strip()
    assert read_keys(keys_file) == {"first": bytes(32), "second": hashlib.sha256(key.encode()).digest()}
    again = CliRunner().invoke(app, ["serve-key", "second", "--file", str(keys_file)])
    assert isinstance(again.exception, ConfigError)
    assert isinstance(CliRunner().invoke(app, ["serve-key", "a b", "--file", str(keys_file)]).exception, ConfigError)
