"""Bundles to stores and back: an object store in memory and on disk, a small Hub of our own, and what goes wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec  # type: ignore[import-untyped]
import pytest
from typer.testing import CliRunner

from emotions.bundle.bundle import read_bundle
from emotions.bundle.stores.hub import Hub
from emotions.bundle.transfer import pull, push
from emotions.cli import build_app
from emotions.errors import BundleError, ConfigError, MissingExtra, OutputExists
from tests.conftest import make_tiny_bundle


@pytest.fixture
def memory() -> Iterator[str]:
    """The URL of an empty folder in memory."""
    url = "memory://bucket/models/tiny"
    yield url
    fsspec.filesystem("memory").store.clear()


def same(bundle: Path, other: Path) -> bool:
    return {file.name: file.read_bytes() for file in bundle.iterdir()} == {
        file.name: file.read_bytes() for file in other.iterdir()
    }


def test_a_bundle_comes_back_from_an_object_store_as_it_was(tiny_bundle: Path, tmp_path: Path, memory: str) -> None:
    for number, url in enumerate((memory, f"file://{tmp_path}/store/tiny")):
        assert push(tiny_bundle, url) == url
        assert push(tiny_bundle, url) == url  # again: it is there
        assert same(pull(url, tmp_path / f"back{number}"), tiny_bundle)


def test_another_bundle_is_never_overwritten(
    tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, memory: str
) -> None:
    push(tiny_bundle, memory)
    with pytest.raises(OutputExists, match="another bundle"):
        push(affect_bundle, memory)
    assert same(pull(memory, tmp_path / "back"), tiny_bundle)
    with pytest.raises(OutputExists):
        pull(memory, tmp_path / "back")


@pytest.mark.parametrize("damage", ["altered", "larger", "missing", "no manifest", "no json"])
def test_what_was_altered_on_the_way_leaves_nothing(
    tiny_bundle: Path, tmp_path: Path, memory: str, damage: str
) -> None:
    push(tiny_bundle, memory)
    store = fsspec.filesystem("memory")
    folder = "/bucket/models/tiny"
    model = store.cat_file(f"{folder}/model.onnx")
    if damage == "altered":
        store.pipe_file(f"{folder}/model.onnx", model[:-1] + b"\0")
    elif damage == "larger":
        store.pipe_file(f"{folder}/model.onnx", model + b"\0" * (3 << 20))
    elif damage == "no json":
        store.pipe_file(f"{folder}/manifest.json", b"{")
    else:
        store.rm_file(f"{folder}/{'model.onnx' if damage == 'missing' else 'manifest.json'}")
    (tmp_path / "out").mkdir()
    with pytest.raises(BundleError):
        pull(memory, tmp_path / "out" / "back")
    assert not [*(tmp_path / "out").iterdir()]


def test_a_push_that_fails_half_way_leaves_no_bundle(
    tiny_bundle: Path, tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(fsspec.filesystem("memory"))
    put_file = kind.put_file

    def fails(self: object, source: str, target: str) -> None:
        if "probe" in target:
            raise OSError("connection reset")
        put_file(self, source, target)

    monkeypatch.setattr(kind, "put_file", fails)
    with pytest.raises(BundleError, match="connection reset"):
        push(tiny_bundle, memory)
    with pytest.raises(BundleError, match=r"manifest\.json cannot be fetched"):
        pull(memory, tmp_path / "back")
    monkeypatch.undo()
    push(tiny_bundle, memory)
    assert same(pull(memory, tmp_path / "back"), tiny_bundle)


def test_an_altered_bundle_is_not_pushed(tmp_path: Path, memory: str) -> None:
    bundle = make_tiny_bundle(tmp_path / "mine")
    (bundle / "model.onnx").write_bytes(b"another")
    with pytest.raises(BundleError, match="SHA-256"):
        push(bundle, memory)
    assert not fsspec.filesystem("memory").find("/")


@pytest.mark.parametrize("url", ["bundles/mine", "hf://name", "hf://a/b/c", "hf://a/../b", "mlflow://a/x", "mlflow://"])
def test_what_is_no_url_is_told(tiny_bundle: Path, url: str) -> None:
    with pytest.raises(ConfigError):
        push(tiny_bundle, url)


def test_an_unknown_scheme_and_a_package_that_lacks_are_told(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        push(tiny_bundle, "nowhere://a/b")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra):
        Hub("hf://a/b")
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ConfigError, match="pip install mlflow"):
        push(tiny_bundle, "mlflow://name")


def test_the_commands_print_where_it_is(tiny_bundle: Path, tmp_path: Path, memory: str) -> None:
    run = CliRunner().invoke
    app = build_app()
    assert run(app, ["bundle", "push", str(tiny_bundle), memory]).stdout == f"{memory}\n"
    back = tmp_path / "back"
    assert run(app, ["bundle", "pull", memory, str(back)]).stdout == f"{back}\n"
    assert read_bundle(back).id == read_bundle(tiny_bundle).id


class FakeHub(ThreadingHTTPServer):
    """The few routes of the Hub's API that a push and a pull use; keeps its commits in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, dict[str, bytes]] = {}
        self.head = ""


class _Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, *_: object) -> None:
        """Be silent."""

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, content: object, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), Content_Type="application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            self._json({"url": "https://huggingface.co/me/tiny"})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            self._json(
                {"files": [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]}
            )
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            files = {
                each["value"]["path"]: base64.b64decode(each["value"]["content"])
                for each in lines
                if each["key"] == "file"
            }
            self.server.head = hashlib.sha1(body, usedforsecurity=False).hexdigest()
            self.server.commits[self.server.head] = files
            self._json(
                {
                    "success": True,
                    "commitOid": self.server.head,
                    "commitUrl": f"https://huggingface.co/me/tiny/commit/{self.server.head}",
                }
            )
        else:
            self._json({}, 404)

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/"):
            revision = self.path.partition("/revision/")[2] or self.server.head
            self._json({"id": "me/tiny", "sha": self.server.head if revision in ("main", "") else revision})
            return
        _, _, rest = self.path.partition("/resolve/")
        commit, _, name = rest.partition("/")
        content = self.server.commits.get(commit, {}).get(name.partition("?")[0])
        if content is None:
            self._send(404, b"", X_Error_Code="EntryNotFound")
        else:
            self._send(200, content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=commit)

    do_HEAD = do_GET  # noqa: N815 - http.server's name


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    server = FakeHub()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_hub_gets_the_card_as_its_own_and_gives_the_bundle_back(
    tmp_path: Path, hub: FakeHub, affect_bundle: Path
) -> None:
    bundle = with_card(tmp_path / "mine")
    url = push(bundle, "hf://me/tiny")
    assert url == f"hf://me/tiny@{hub.head}"
    card = hub.commits[hub.head]["README.md"].decode()
    assert card.startswith("---\nlibrary_name: emotions-toolkit\n")
    assert card.endswith("# A card\n")
    assert same(pull("hf://me/tiny", tmp_path / "back"), bundle)
    push(affect_bundle, "hf://me/tiny")
    assert same(pull(url, tmp_path / "older"), bundle)
    assert read_bundle(pull("hf://me/tiny", tmp_path / "newer")).manifest.ranges
    with pytest.raises(ConfigError, match="new revision"):
        push(bundle, url)


def test_what_the_hub_gives_otherwise_is_refused(tmp_path: Path, hub: FakeHub) -> None:
    push(with_card(tmp_path / "mine"), "hf://me/tiny")
    files = hub.commits[hub.head]
    whole = files["model.onnx"]
    for content in (whole[:-1] + b"\0", whole + b"\0" * 100_000):
        files["model.onnx"] = content
        with pytest.raises(BundleError):
            pull("hf://me/tiny", tmp_path / "back")
    del files["model.onnx"]
    with pytest.raises(BundleError, match=r"model\.onnx cannot be fetched"):
        pull("hf://me/tiny", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def with_card(path: Path) -> Path:
    """The tiny bundle with a model card."""
    from emotions.bundle.manifest import MANIFEST
    from emotions.files.content import sha256
    from emotions.files.json_text import read_json, write_json

    make_tiny_bundle(path)
    (path / "README.md").write_text("# A card\n")
    manifest = read_json(path / MANIFEST)
    manifest["files"]["README.md"] = sha256(path / "README.md")
    write_json(path / MANIFEST, manifest)
    return path
