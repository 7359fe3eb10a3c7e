from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from emotions.errors import ConfigError
from serving.http.api_keys import add_key
from serving.settings import read_settings
from tests.serving.conftest import Service, StartService, error_of

PAGE = "https://app.example.org"
ASKED = "authorization, content-encoding, content-type, inference-header-content-length, x-api-key, x-request-id"


def preflight(service: Service, origin: str = PAGE, method: str = "POST", headers: str = ASKED) -> httpx.Response:
    asked = {"access-control-request-method": method, "access-control-request-headers": headers}
    return service.request("OPTIONS", "/v1/predict", headers={"origin": origin, **asked})


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.txt"


def test_without_the_setting_no_page_of_another_site_may_call(service: Service, clip: bytes) -> None:
    assert error_of(preflight(service)) == (405, "method_not_allowed")
    response = service.post(clip, headers={"origin": PAGE})
    assert response.status_code == 200
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_preflight_is_answered_before_keys_are_asked(start: StartService, keys_file: Path, clip: bytes) -> None:
    key = add_key(keys_file, "page")
    service = start(api_keys_file=keys_file, cors_origins=[PAGE])
    response = preflight(service)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    assert set(ASKED.split(", ")) <= set(response.headers["access-control-allow-headers"].lower().split(", "))
    assert "access-control-allow-credentials" not in response.headers
    for header in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}):
        answered = service.post(clip, headers={"origin": PAGE, **header})
        assert answered.status_code == 200
        assert answered.headers["access-control-allow-origin"] == PAGE


def test_errors_of_every_layer_may_be_read_by_the_page(start: StartService, keys_file: Path, clip: bytes) -> None:
    add_key(keys_file, "page")
    guarded, busy = start(api_keys_file=keys_file, cors_origins=[PAGE]), start(max_in_flight=1, cors_origins=[PAGE])
    busy.engine.admit()
    plain = start(cors_origins=[PAGE])
    from_page = {"origin": PAGE}
    errors = [
        (guarded.post(clip, headers=from_page), 401),
        (busy.post(clip, headers=from_page), 429),
        (plain.post(b"no audio", headers=from_page), 415),
        (plain.request("GET", "/nothing", headers=from_page), 404),
        (plain.request("PUT", "/v1/predict", headers=from_page), 405),
    ]
    busy.engine.release()
    for response, status in errors:
        assert error_of(response)[0] == status
        assert response.headers["access-control-allow-origin"] == PAGE
        exposed = response.headers["access-control-expose-headers"].lower()
        assert "x-request-id" in exposed
        assert "retry-after" in exposed


def test_a_page_that_is_not_named_may_not(start: StartService, clip: bytes) -> None:
    service = start(cors_origins=[PAGE, "http://localhost:5173"])
    for origin in ("https://evil.example.org", "https://app.example.org.evil.com", "null", "http://app.example.org"):
        assert preflight(service, origin).status_code == 400
        assert "access-control-allow-origin" not in service.post(clip, headers={"origin": origin}).headers
    assert preflight(service, "http://localhost:5173").status_code == 200
    assert preflight(service, method="DELETE").status_code == 400
    assert preflight(service, headers="x-other").status_code == 400
    assert "Origin" in service.post(clip, headers={"origin": PAGE}).headers["vary"]


def test_a_public_page_may_call_a_service_in_its_network(start: StartService) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-private-network": "true"}
    headers = {"origin": PAGE, **asked}
    response = start(cors_origins=[PAGE]).request("OPTIONS", "/v1/predict", headers=headers)
    assert (response.status_code, response.headers["access-control-allow-private-network"]) == (200, "true")


def test_every_page_may_where_the_setting_says_so(start: StartService, clip: bytes) -> None:
    service = start(cors_origins=["*"])
    for origin in (PAGE, "null"):
        assert preflight(service, origin).headers["access-control-allow-origin"] == "*"
        assert service.post(clip, headers={"origin": origin}).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("https://app.example.org", ("https://app.example.org",)),
        ("https://App.example.org/ http://localhost:5173", ("https://app.example.org", "http://localhost:5173")),
        ("https://a.org:443,http://a.org:80,http://a.org:443", ("https://a.org", "http://a.org", "http://a.org:443")),
        ("http://[::1]:8080", ("http://[::1]:8080",)),
        ("chrome-extension://abcdefgh", ("chrome-extension://abcdefgh",)),
        ("*", ("*",)),
        ("", ()),
    ],
)
def test_origins_are_read_as_browsers_send_them(written: str, read: tuple[str, ...]) -> None:
    assert read_settings({"EMOTIONS_CORS_ORIGINS": written}).cors_origins == read


@pytest.mark.parametrize(
    "written",
    [
        *("app.example.org", "https://app.example.org/path", "https://", "https://*.example.org", "null"),
        *("https://user@a.org", "https://bücher.example", "https://a.org?x", "https://a.org:99999999"),
    ],
)
def test_what_is_no_origin_is_told(written: str) -> None:
    with pytest.raises(ConfigError, match=r"EMOTIONS_CORS_ORIGINS: got .*an origin is SCHEME://HOST"):
        read_settings({"EMOTIONS_CORS_ORIGINS": written})


def test_a_file_of_settings_may_hold_a_list(tmp_path: Path) -> None:
    file = tmp_path / "service.json"
    file.write_text('{"cors_origins": ["https://a.org", "https://b.org"]}')
    found: Any = read_settings({"EMOTIONS_CONFIG": str(file)}).cors_origins
    assert found == ("https://a.org", "https://b.org")
