"""A change of bundle while requests come: taken once its probe passes, else the old one goes on; no request is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from emotions.errors import OutOfMemory
from serving.settings import Settings
from serving.worker.engine import Engine
from serving.worker.last_taken import FOLDER_VARIABLE, Taken, last_taken, note_taken, share_last_taken, version_of
from serving.worker.startup import open_predictor
from serving.worker.swap import Follower
from tests.serving.http.test_models import Several


def point(link: Path, bundle: Path) -> None:
    """Point a link at a bundle, at once."""
    link.with_suffix(".new").symlink_to(bundle)
    link.with_suffix(".new").replace(link)


@pytest.fixture
def link(tmp_path: Path, tiny_bundle: Path) -> Path:
    point(tmp_path / "live", tiny_bundle)
    return tmp_path / "live"


@asynccontextmanager
async def following(link: Path, opener: Callable[..., object] = open_predictor) -> AsyncIterator[Several]:
    patient = {"body_grace_sec": 60, "body_sec": 60, "timeout_sec": 60}  # a bundle may load slowly
    settings = Settings(bundle=link, device="cpu", threads=1, **patient)
    service = Several(settings)
    task = asyncio.create_task(Follower(service.worker, settings, 0, opener).follow(0.02))  # type: ignore[arg-type]
    try:
        yield service
    finally:
        task.cancel()
        service.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


def changed(service: Several, times: int) -> bool:
    return service.metric("emotions_bundle_changes_total", model="tiny", outcome="taken") == times


def run(work: Awaitable[None]) -> None:
    async def waited() -> None:
        await work

    asyncio.run(waited())


def test_every_request_is_answered_while_bundles_change(
    link: Path, tiny_bundle: Path, affect_bundle: Path, clip: bytes
) -> None:
    async def check() -> None:
        async with following(link) as service, service.client() as client:
            over, answers = asyncio.Event(), list[tuple[int, bool]]()

            async def ask() -> None:
                answer = await client.post("/v1/predict", content=clip)
                answers.append((answer.status_code, "values" in answer.json()))

            async def ask_on() -> None:
                while not over.is_set():
                    await ask()

            clients = [asyncio.create_task(ask_on()) for _ in range(8)]
            first = service.worker.engine
            for number, bundle in enumerate((affect_bundle, tiny_bundle, affect_bundle), 1):
                point(link, bundle)
                await until(partial(changed, service, number))
                await asyncio.sleep(0.2)
            over.set()
            await asyncio.gather(*clients)
            await ask()  # of those that went on, one may have begun before the last change
            assert {status for status, _ in answers} == {200}
            assert {kind for _, kind in answers} == {True, False}
            assert answers[-1][1]
            assert isinstance(first, Engine)
            await until(lambda: first not in service.worker.metrics.loads)
            assert [*service.worker.metrics.loads] == [service.worker.engine]

    run(check())


def test_one_that_misses_its_probe_is_refused_once_and_the_old_one_goes_on(
    link: Path, tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, clip: bytes
) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(affect_bundle, wrong)
    opened: list[Path] = []

    def opener(settings: Settings, index: int) -> object:
        opened.append(Path(str(settings.bundle)))
        return open_predictor(settings, index)

    async def check() -> None:
        async with following(link, opener) as service, service.client() as client:
            _spoil_probe(wrong)
            point(link, wrong)
            refused = {"model": "tiny", "outcome": "refused"}
            await until(lambda: service.metric("emotions_bundle_changes_total", **refused) == 1)
            await asyncio.sleep(0.3)
            assert service.metric("emotions_bundle_changes_total", **refused) == 1
            assert opened == [wrong.resolve()]
            answer = await client.post("/v1/predict", content=clip)
            assert (answer.status_code, "values" in answer.json()) == (200, False)
            assert service.worker.ready
            point(link, affect_bundle)
            await until(lambda: service.metric("emotions_bundle_changes_total", model="tiny", outcome="taken") == 1)
            assert "values" in (await client.post("/v1/predict", content=clip)).json()

    run(check())


def _spoil_probe(bundle: Path) -> None:
    """Change the answers of a probe, and its hash in the manifest: the bundle is whole, and answers otherwise."""
    from emotions.bundle.manifest import MANIFEST
    from emotions.files.content import sha256
    from emotions.files.json_text import read_json, write_json

    with np.load(bundle / "probe.npz") as stored:
        arrays = {name: np.array(values) for name, values in stored.items()}
    name = next(each for each in arrays if each.endswith("emotion"))
    arrays[name] = arrays[name][:, ::-1].copy()
    np.savez(bundle / "probe.npz", **arrays)  # type: ignore[arg-type]
    manifest = read_json(bundle / MANIFEST)
    manifest["files"]["probe.npz"] = sha256(bundle / "probe.npz")
    write_json(bundle / MANIFEST, manifest)


def test_a_request_that_began_before_is_answered_by_the_bundle_that_it_began_with(
    link: Path, affect_bundle: Path, clip: bytes
) -> None:
    async def check() -> None:
        async with following(link) as service, service.client() as client:
            old = service.worker.engine
            assert old is not None
            goes_on = asyncio.Event()

            async def slowly() -> AsyncIterator[bytes]:
                yield clip[:100]
                await goes_on.wait()
                yield clip[100:]

            asked = asyncio.create_task(client.post("/v1/predict", content=slowly()))
            await until(lambda: old.users == 1)
            point(link, affect_bundle)
            await until(lambda: service.worker.engine is not old)
            await asyncio.sleep(0.2)
            assert old in service.worker.metrics.loads
            goes_on.set()
            answer = await asked
            assert (answer.status_code, "values" in answer.json()) == (200, False)
            await until(lambda: old not in service.worker.metrics.loads)

    run(check())


def test_a_bundle_that_did_not_load_is_taken_once_it_is_mended(link: Path, tiny_bundle: Path, clip: bytes) -> None:
    async def check() -> None:
        settings = Settings(bundle=tiny_bundle, bundles=(("later", link.parent / "later"),), device="cpu", threads=1)
        service = Several(settings)
        task = asyncio.create_task(Follower(service.worker, settings, 0, open_predictor).follow(0.02))
        async with service.client() as client:
            assert (await client.post("/v1/models/later/predict", content=clip)).status_code == 503
            point(link.parent / "later", tiny_bundle)
            await until(lambda: service.metric("emotions_model_ready", model="later") == 1)
            assert (await client.post("/v1/models/later/predict", content=clip)).status_code == 200
            assert [each["ready"] for each in (await client.get("/v1/models")).json()["models"]] == [True, True]
        task.cancel()
        service.close()

    run(check())


def test_a_version_is_where_a_bundle_lies_and_its_files(link: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_bundle, copy)
    before = version_of(copy)
    assert version_of(link) == version_of(tiny_bundle) != before
    assert version_of(copy) == before
    (copy / "README.md").write_text("another")
    assert version_of(copy) != before
    assert version_of(tmp_path / "gone") is None


@pytest.fixture
def shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the workers of one server share."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "memory"))


def noted(source: Path) -> Path | None:
    """The bundle that workers know of."""
    found = last_taken(source.absolute())
    return None if found is None else found.path


def _served(settings: Settings) -> dict[str, Path]:
    """Name -> bundle that a worker serves which is started now; without those that it cannot load."""
    service = Several(settings)
    found = {each.name: each.path for each in service.worker.models if each.engine is not None}
    service.close()
    return found


@pytest.mark.usefixtures("shared_memory")
def test_a_worker_that_is_started_anew_serves_what_the_others_do(
    link: Path, tiny_bundle: Path, affect_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it is the default one, or has a name; also where a path leads to what nobody took."""
    later, good, wrong = tmp_path / "later", tmp_path / "good", tmp_path / "wrong"
    shutil.copytree(affect_bundle, good)
    shutil.copytree(tiny_bundle, wrong)
    _spoil_probe(wrong)
    point(later, good)
    settings = Settings(bundle=tiny_bundle, bundles=(("later", later),), device="cpu", threads=1)
    first = _served(settings)
    assert first["later"] == good
    for leads_to in (wrong, tmp_path / "nowhere"):
        point(later, leads_to)
        assert _served(settings) == first
    point(later, tiny_bundle)
    _spoil_probe(good)
    assert {**first, "later": tiny_bundle.resolve()} == _served(settings)
    assert "is refused, the configured one is tried" in caplog.text


@pytest.mark.usefixtures("shared_memory")
def test_the_name_of_the_first_bundle_stays_in_urls(link: Path, affect_bundle: Path, clip: bytes) -> None:
    async def check() -> None:
        async with following(link) as service:
            point(link, affect_bundle)
            await until(lambda: changed(service, 1) and noted(link) == affect_bundle.resolve())
        async with following(link) as again, again.client() as client:
            answer = await client.post("/v1/models/tiny/predict", content=clip)
            assert (answer.status_code, "values" in answer.json()) == (200, True)
            assert again.metric("emotions_model_ready", model="tiny") == 1

    run(check())


@pytest.mark.usefixtures("shared_memory")
def test_a_bundle_that_another_worker_took_is_tried_again(
    link: Path, affect_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.worker.swap._AGAIN_SEC", 0.2)
    opened: list[str] = []

    def short_of_memory(settings: Settings, index: int) -> object:
        opened.append(str(settings.bundle))
        if len(opened) < 3:
            raise OutOfMemory("no room")
        return open_predictor(settings, index)

    async def check() -> None:
        async with following(link, short_of_memory) as refusing:
            point(link, affect_bundle)
            await until(lambda: len(opened) == 1)
            await asyncio.sleep(0.6)
            assert len(opened) == 1  # nobody else has it
            async with following(link) as other:
                await until(lambda: changed(other, 1) and noted(link) == affect_bundle.resolve())
            await until(lambda: changed(refusing, 1))
            assert [*{*opened}] == [str(affect_bundle.resolve())]

    run(check())


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"path": 3, "version": "x", "name": "y"}', '{"version": "x"}'])
@pytest.mark.usefixtures("shared_memory")
def test_a_damaged_memory_is_none(link: Path, tmp_path: Path, damaged: str) -> None:
    settings = Settings(bundle=link, device="cpu", threads=1)
    first = _served(settings)
    (file,) = (tmp_path / "memory").iterdir()
    assert last_taken(link.absolute()) is not None
    file.write_text(damaged)
    assert last_taken(link.absolute()) is None
    assert _served(settings) == first


def test_a_server_that_cannot_write_goes_on_without_a_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    share_last_taken()
    assert FOLDER_VARIABLE not in os.environ
    assert last_taken(tmp_path) is None
    monkeypatch.setenv(FOLDER_VARIABLE, "/dev/null")
    note_taken(tmp_path, Taken(tmp_path, "v", "name"))
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
