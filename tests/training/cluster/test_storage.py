"""Storage: what trials write travels through a URL, whole, in an order that never tells of what is not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from emotions.errors import ConfigError
from training.cluster.storage import Storage, StorageLost


@pytest.fixture(params=["disk", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    url = (tmp_path / "store").as_uri() if request.param == "disk" else f"memory://{tmp_path.name}"
    return Storage(url, "search")


def fill(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_json", ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_goes_in_comes_out(storage: Storage, tmp_path: Path) -> None:
    storage.check()
    assert storage.names() == []
    sent = fill(tmp_path / "sent", trial_json="{}", best="b" * 100_000, logs__events="e", empty="")
    storage.upload(sent, "0001", last="trial.json")
    assert storage.names() == ["0001"]
    storage.download("0001", tmp_path / "got")
    assert content(tmp_path / "got") == content(sent)


def test_it_becomes_what_the_folder_is(storage: Storage, tmp_path: Path) -> None:
    sent = fill(tmp_path / "sent", trial_json="1", best="old", gone="x")
    storage.upload(sent, "0001", last="trial.json")
    fill(sent, trial_json="2", best="new")
    (sent / "gone").unlink()
    fill(sent, **{".half": "hidden files are those that are being written"})
    storage.upload(sent, "0001", last="trial.json")
    got = fill(tmp_path / "got", stale="what lay there before")
    storage.download("0001", got)
    assert content(got) == {"trial.json": "2", "best": "new"}


def test_one_file_alone_leaves_the_others(storage: Storage, tmp_path: Path) -> None:
    storage.upload(fill(tmp_path / "sent", trial_json="1", best="b"), "0001", last="trial.json")
    got = fill(tmp_path / "got", kept="k")
    storage.download("0001", got, only="trial.json")
    storage.download("0002", got, only="trial.json")
    assert content(got) == {"trial.json": "1", "kept": "k"}


def test_the_record_comes_last_and_what_has_not_changed_stays(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    whole = Storage._copy

    def watched(self: Storage, path: Any, local: Path, *, upload: bool) -> None:
        copied.append(path.name)
        whole(self, path, local, upload=upload)

    monkeypatch.setattr(Storage, "_copy", watched)
    sent = fill(tmp_path / "sent", trial_json="1", zebra="z", best="b")
    storage.upload(sent, "0001", last="trial.json")
    assert copied == ["best", "zebra", "trial.json"]
    copied.clear()
    fill(sent, trial_json="2")
    storage.upload(sent, "0001", last="trial.json")
    assert copied == ["trial.json"]
    storage.download("0001", tmp_path / "got")
    copied.clear()
    storage.upload(tmp_path / "got", "0001", last="trial.json")
    assert copied == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nosuch://bucket/x", "nosuch"),
        ("hdfs://localhost:1/x", "cannot be used"),
        ("file:///proc/nowhere", "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused_by_name(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"tune.storage_path: found '{url}'.*{reason}"):
        Storage(url, "search").check()


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_storage_that_goes_is_lost(tmp_path: Path) -> None:
    storage = Storage((tmp_path / "store").as_uri(), "search")
    storage.check()
    sent = fill(tmp_path / "sent", trial_json="1")
    (tmp_path / "store" / "search").rmdir()
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("a file", encoding="utf-8")
    with pytest.raises(StorageLost, match="store"):
        storage.upload(sent, "0001", last="trial.json")
