"""The files of the page: closed, of this host alone, the same texts in each language, the library as released."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from serving.http.page import site
from serving.http.route_table import application
from tests.serving.conftest import Service

FILES = Path(site.__file__).parent / "files"
VENDORED = {  # wavesurfer.js 8.0.1, as npm has it
    "wavesurfer.esm.js": "079f3b142f37737f975b03ea8fd18652a316dc2120a2629aeca0844a0c08f2b1",
    "regions.esm.js": "f3b9a81f56d0301affbeb5693dc9c43527efd6e97e534f17329192a7ce7fc4d4",
}


def test_the_page_allows_itself_nothing_from_elsewhere(service: Service) -> None:
    first, second = (service.request("GET", "/") for _ in range(2))
    policy = first.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "unsafe" not in policy
    nonce = re.search(r"'nonce-([\w-]{16,})'", policy)
    assert nonce
    assert f'content="{nonce[1]}"' in first.text
    assert policy != second.headers["content-security-policy"]
    assert "//" not in re.sub(r"<!.*?>", "", first.text)


def test_every_file_that_the_page_names_is_there(service: Service) -> None:
    page = service.request("GET", "/").text
    named = {*re.findall(r'(?:src|href)="(/page/[^"]+)"', page)}
    for script in FILES.glob("*.js"):
        for found in re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8")):
            named.add(f"/page/{found}")
    assert len(named) > 8
    for path in named:
        assert service.request("GET", path).status_code == 200, path


@pytest.mark.parametrize("name", ["../site.py", "%2e%2e/site.py", "/etc/passwd", "nothing.js", "", "vendor"])
def test_other_files_are_not_served(service: Service, name: str) -> None:
    assert service.request("GET", f"/page/{name}").status_code == 404


def test_a_file_that_is_the_same_is_not_sent_again(service: Service) -> None:
    first = service.request("GET", "/page/app.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = service.request("GET", "/page/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_every_language_has_every_text() -> None:
    english, *others = (json.loads((FILES / f"{name}.json").read_text(encoding="utf-8")) for name in ("en", "ru"))
    places = re.compile(r"\{\w+\}")
    for other in others:
        assert other.keys() == english.keys()
        for key, text in english.items():
            assert sorted(places.findall(text)) == sorted(places.findall(other[key])), key


def test_every_text_that_is_asked_for_is_there_and_no_other() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (*FILES.glob("*.js"), FILES / "index.html")]
    english = json.loads((FILES / "en.json").read_text(encoding="utf-8"))
    missing = {key for key in english if key != "name" and not any(key in source for source in sources)}
    assert {key for key in missing if not key.startswith("table.")} == set()
    asked = {found for source in sources for found in re.findall(r'(?:text\("|data-text=")([a-z_.]+)"', source)}
    assert asked <= english.keys()


@pytest.mark.parametrize("name", VENDORED)
def test_the_library_is_as_it_was_released(name: str) -> None:
    assert hashlib.sha256((FILES / "vendor" / name).read_bytes()).hexdigest() == VENDORED[name]


def test_without_the_page_the_address_leads_to_the_interface(service: Service) -> None:
    paths = {route.path for route in application(service.worker, has_page=False).routes}  # type: ignore[attr-defined]
    assert "/" in paths
    assert not any(path.startswith("/page/") for path in paths)
