"""The targets of the kernel and the service: recordings, requests, keys, bundles, tables, lists and pipelines."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import math
import shutil
import tempfile
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import httpx
import numpy as np

import emotions
from emotions.audio.decode import ReadOptions, Recording, checked
from emotions.audio.decoders.read import read
from emotions.bundle.bundle import read_bundle
from emotions.bundle.manifest import MANIFEST, PROBE
from emotions.bundle.probe import read_probe
from emotions.bundle.summary import describe, warnings
from emotions.errors import AudioError, BundleError, ConfigError, DataError
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import is_url
from emotions.inputs.remote import fetch
from emotions.pipeline.runner import load_pipeline
from emotions.predictor import Predictor
from serving.http.api_keys import read_keys
from serving.settings import Settings
from tests.conftest import make_tiny_bundle
from tests.security.fuzz import requests
from tests.security.fuzz.attack import fault_of
from tests.security.fuzz.mutate import mutated, mutated_text, mutated_tree, odd_text
from tests.security.fuzz.seeds import good_wav
from tests.security.fuzz.target import Files, Target
from tests.security.hostile_graphs import rehashed
from tests.servers import REPOSITORY
from tests.serving.conftest import Service

_MAX_SEC = 60
_OPTIONS = ReadOptions(max_sec=_MAX_SEC, max_samples=_MAX_SEC * 384_000)
_TEXT = "utf-8"


@functools.cache
def bundle() -> Path:
    """A good bundle."""
    return make_tiny_bundle(Path(tempfile.mkdtemp(prefix="fuzz-bundle-")) / "tiny")


@functools.cache
def predictor() -> Predictor:
    """Its model."""
    return emotions.load(bundle(), device="cpu", threads=1)


def _recording(random: Random) -> Files:
    return {"clip.wav": requests.recording(random)}


def _read(folder: Path) -> None:
    """A path and its bytes give the same, and what can be classified is."""
    path = folder / "clip.wav"
    by_path, by_bytes = _outcome(path), _outcome(path.read_bytes())
    if isinstance(by_path, AudioError) or isinstance(by_bytes, AudioError):
        assert type(by_path) is type(by_bytes), f"{by_path!r} by its path, {by_bytes!r} by its bytes"
        raise by_path  # type: ignore[misc]
    assert by_path.warnings == by_bytes.warnings
    assert np.array_equal(by_path.waveform, by_bytes.waveform, equal_nan=True)
    waveform = by_path.waveform
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert len(waveform) <= _MAX_SEC * 16_000 + 16_000
    assert np.isfinite(checked(waveform)).all()
    for probabilities in predictor().predict(waveform).probabilities.values():
        assert math.isclose(sum(probabilities.values()), 1, abs_tol=1e-3)


def _outcome(source: Path | bytes) -> Recording | AudioError:
    try:
        return read(source, _OPTIONS)
    except AudioError as error:
        return error


def _request(random: Random) -> Files:
    make = random.choice((requests.recording_request, requests.json_request))
    return {"request.http": make(random).raw()}


@functools.cache
def _service() -> Service:
    return Service(predictor(), Settings(threads=1, max_bytes=1 << 20, max_items_bytes=4 << 20))


def _answered(folder: Path) -> None:
    head, _, body = (folder / "request.http").read_bytes().partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    path = first.split(" ")[1]
    response = asyncio.run(_post(path, dict(line.split(": ", 1) for line in lines), body))
    found = fault_of(path, response.status_code, response.headers["content-type"], response.content)
    assert not found, found


async def _post(path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
    async with _service().client() as client:
        return await client.post(path, headers=headers, content=body)


def _key_file(random: Random) -> Files:
    lines = [
        f"{random.choice(('web', 'a.b', 'x' * 64, odd_text(random)))} {random.randbytes(32).hex()}" for _ in range(3)
    ]
    return {"keys": mutated_text(random, "\n".join(["# keys", *lines]).encode(_TEXT, "surrogatepass"))}


def _keys_read(folder: Path) -> None:
    found = read_keys(folder / "keys")
    assert found
    assert all(0 < len(name) <= 64 and len(key) == 32 for name, key in found.items())


def _manifest(random: Random) -> Files:
    content = json.loads((bundle() / MANIFEST).read_bytes())
    text = json.dumps(mutated_tree(random, content, random.choice((0.01, 0.05, 0.2)))).encode()
    return {MANIFEST: mutated_text(random, text) if random.random() < 0.3 else text}


def _bundle_read(folder: Path) -> None:
    for path in bundle().iterdir():
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
    found = read_bundle(folder)
    read_probe(found)
    assert describe(found, "fp32", "cpu")
    assert all(line.isprintable() for line in warnings(found.manifest))


def _probe(random: Random) -> Files:
    content = (bundle() / PROBE).read_bytes()
    if random.random() < 0.5:
        return {PROBE: mutated(random, content, [content])}
    members = _members(content)
    name = random.choice([*members])
    members[name] = mutated(random, members[name], [*members.values()])
    return {PROBE: _zipped(random, members)}


def _probe_read(folder: Path) -> None:
    shutil.copyfile(bundle() / MANIFEST, folder / MANIFEST)
    shutil.copyfile(bundle() / "model.onnx", folder / "model.onnx")
    found = read_probe(read_bundle(rehashed(folder)))
    assert found.waveform.shape[0] == len(found.length) > 0


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(random: Random, members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


_ROWS: tuple[dict[str, Any], ...] = (
    {"file": "a.wav", "start": 0, "end": 0.5, "emotion": "happy"},
    {"file": "ä b.wav", "start": "0 days 00:00:01", "end": None, "emotion": ""},
    {"file": "http://127.0.0.1:1/x.wav", "start": None, "end": 3, "emotion": '"quoted", and\nlines'},
)


def table_text(random: Random, rows: tuple[dict[str, Any], ...], suffix: str) -> bytes:
    """Rows as a table of text, broken in some way.

    Args:
        random: makes the choices.
        rows: column -> value.
        suffix: ``.csv``, ``.tsv`` or ``.jsonl``.
    """
    made = [mutated_tree(random, row, 0.05) for row in rows]
    records = [row if isinstance(row, dict) else {"file": row} for row in made]
    if suffix == ".jsonl":
        text = "\n".join(json.dumps(row) for row in records)
    else:
        mark = "\t" if suffix == ".tsv" else random.choice(",,;|")
        cells = [[str(value) for value in row.values()] for row in (dict(zip(rows[0], rows[0], strict=True)), *records)]
        text = "\n".join(mark.join(f'"{cell}"' if random.random() < 0.3 else cell for cell in row) for row in cells)
    return mutated_text(random, text.encode(_TEXT, "surrogatepass"))


@functools.cache
def _parquets() -> tuple[bytes, ...]:
    import pyarrow
    import pyarrow.parquet

    wav = good_wav()
    columns: tuple[dict[str, Any], ...] = (
        {name: [row[name] if isinstance(row[name], str) else None for row in _ROWS] for name in ("file", "emotion")},
        {"audio": [{"bytes": wav, "path": "a.wav"}] * 2, "emotion": ["x", "y"]},
        {"file": ["a.wav", "b.wav"], "start": [0.0, 1.0], "end": [0.5, float("nan")]},
    )
    found = []
    for each in columns:
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(each), file)
        found.append(file.getvalue())
    return tuple(found)


def _table(random: Random) -> Files:
    suffix = random.choice((".csv", ".csv", ".tsv", ".jsonl", ".parquet"))
    if suffix == ".parquet":
        return {"t.parquet": mutated(random, random.choice(_parquets()), _parquets())}
    return {f"t{suffix}": table_text(random, _ROWS, suffix)}


def _table_read(folder: Path) -> None:
    (path,) = folder.iterdir()
    for file in find_files([path]).files:
        assert file.start is None or 0 <= file.start < math.inf
        assert file.end is None or (file.start or 0) < file.end < math.inf
        if is_url(file.source) and "127.0.0.1" not in str(file.source) and str(folder) in str(file.source):
            with contextlib.suppress(OSError):  # the row cannot be read
                assert isinstance(fetch(str(file.source)), bytes)  # held by the table itself


def _list(random: Random) -> Files:
    names = "\n".join(["a.wav", "folder/ä.wav", "C:\\x\\b.wav", "http://127.0.0.1:1/x", odd_text(random)])
    return {"list.txt": mutated_text(random, names.encode(_TEXT, "surrogatepass"))}


def _list_read(folder: Path) -> None:
    assert all(file.name.strip() for file in find_files([], [folder / "list.txt"]).files)


@functools.cache
def _pipelines() -> tuple[Any, ...]:
    return tuple(json.loads(path.read_bytes()) for path in sorted((REPOSITORY / "configs").glob("*.config.json")))


def _pipeline(random: Random) -> Files:
    tree = mutated_tree(random, random.choice(_pipelines()), random.choice((0.01, 0.05, 0.2)))
    text = json.dumps(tree).encode()
    key = random.choice(
        ("pipeline.0.dataset.path", "pipeline.9", "seed", "pipeline.0.learn_params.lr.base_lr", odd_text(random))
    )
    change = f"{key}={random.choice(('1', '[]', '{}', 'null', odd_text(random)))}"
    return {
        "pipeline.json": mutated_text(random, text) if random.random() < 0.3 else text,
        "changes": change.encode(_TEXT, "surrogatepass") if random.random() < 0.3 else b"",
    }


def _pipeline_read(folder: Path) -> None:
    change = (folder / "changes").read_bytes().decode(_TEXT, "surrogatepass")
    assert load_pipeline(folder / "pipeline.json", [change] if change else []).steps


TARGETS: dict[str, Target] = {
    "recordings": Target(_recording, _read, (AudioError,)),
    "requests": Target(_request, _answered, ()),
    "api_keys": Target(_key_file, _keys_read, (ConfigError,)),
    "manifests": Target(_manifest, _bundle_read, (BundleError,)),
    "probes": Target(_probe, _probe_read, (BundleError,)),
    "tables": Target(_table, _table_read, (DataError,)),
    "lists": Target(_list, _list_read, (DataError,)),
    "pipelines": Target(_pipeline, _pipeline_read, (ConfigError,)),
}
