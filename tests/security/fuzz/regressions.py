"""Inputs that fuzzing found to be faults, and that were mended: each is built by code and read in every test run."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable

import pyarrow
import pyarrow.parquet

from emotions.bundle.manifest import MANIFEST, PROBE
from tests.security.fuzz.seeds import recordings
from tests.security.fuzz.target import Files
from tests.security.fuzz.targets import bundle

Build = Callable[[], Files]


def _probe_with_header(text: bytes) -> Files:
    """A probe whose first array has an odd header."""
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    with zipfile.ZipFile(bundle() / PROBE) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {**members, "waveform.npy": npy}.items():
            archive.writestr(name, content)
    return {PROBE: file.getvalue()}


def _manifest_with_key(key: str) -> Files:
    content = json.loads((bundle() / MANIFEST).read_bytes())
    return {MANIFEST: json.dumps({**content, "files": {key: 3}}).encode()}


def _parquet_without_metadata() -> Files:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"file": ["a.wav"]}), file)
    data = bytearray(file.getvalue())
    size = int.from_bytes(data[-8:-4], "little")
    data[-8 - size : -8] = b"\xff" * size
    return {"t.parquet": bytes(data)}


def _chunk_that_leads_far_behind_the_file() -> Files:
    """A CAF with ALAC with a chunk of more bytes than a file system takes."""
    return {"clip.wav": recordings()["CAF-ALAC_16"] + b"free" + struct.pack(">q", 1 << 62)}


def _wave64_of_data_bytes(size: int) -> Files:
    """A Wave64 file whose chunk ``data`` claims so many bytes; a recorder that streams claims the most there are."""
    data = bytearray(recordings()["W64-PCM_16"])
    at = data.index(b"data") + 16
    data[at : at + 8] = struct.pack("<Q", size)
    return {"clip.wav": bytes(data)}


def _run_of(**changes: object) -> Files:
    """A run folder's file with some values of the wrong type."""
    index = {"format": 1, "checkpoints": {"best": "c.ckpt"}, "dataset_config": {"path": "data"}, "metrics": {}}
    return {"run.json": json.dumps({**index, "protocol": "x", "dataset": {}, "root": ".", **changes}).encode()}


def _checkpoint_of(entries: bytes) -> Files:
    """A checkpoint whose pickle is given."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("c/data.pkl", entries)
        archive.writestr("c/version", b"3")
    return {"c.ckpt": file.getvalue()}


def _step(**values: object) -> Files:
    return {"pipeline.json": json.dumps({"pipeline": [{"type": "train", **values}]}).encode(), "changes": b""}


REGRESSIONS: dict[str, tuple[str, Build, str]] = {
    "a chunk that leads far behind the file": ("recordings", _chunk_that_leads_far_behind_the_file, "read"),
    "Wave64 that streams": ("recordings", lambda: _wave64_of_data_bytes((1 << 63) - 1), "read"),
    "Wave64 of a negative size": ("recordings", lambda: _wave64_of_data_bytes((1 << 64) - 9_000), "read"),
    "a model's name that is an object": ("pipelines", lambda: _step(model={}), "config"),
    "a run's root that is a list": ("runs", lambda: _run_of(root=[]), "checkpoint"),
    "a run's protocol that is a number": ("runs", lambda: _run_of(protocol=3), "checkpoint"),
    "a checkpoint that ends in a number": ("checkpoints", lambda: _checkpoint_of(b"\x80\x02J\x01"), "checkpoint"),
    "a list with a line of a wide space": ("lists", lambda: {"list.txt": "a.wav\n\u00a0\n".encode()}, "read"),
    "a probe's header without its end": ("probes", lambda: _probe_with_header(b"{'shape': (1, "), "bundle"),
    "a probe's header of brackets": ("probes", lambda: _probe_with_header(b"(" * 5_000), "bundle"),
    "a line end in a manifest's file name": ("manifests", lambda: _manifest_with_key("a\nb"), "bundle"),
    "Parquet without its metadata": ("tables", _parquet_without_metadata, "data"),
    "a pipeline's key of 70,000 letters": (
        "pipelines",
        lambda: {"pipeline.json": json.dumps({"x" * 70_000: 1}).encode(), "changes": b""},
        "config",
    ),
}
"""Name -> target, builder, outcome."""
