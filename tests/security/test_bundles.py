"""Bundles that want to hang, to fill the memory, to read other files: each is refused in one line."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.errors import BundleError, ConfigError
from emotions.runtime import load_check
from emotions.runtime.session import open_session
from tests.conftest import needs
from tests.security import hostile_graphs
from tests.security.hostile_graphs import hostile_bundle, rehashed, weights_outside

FOLDED = ["folded_fill", "folded_expand", "folded_range", "grown_at_run"]


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a process of its own, as far as checked graphs go; and little time is given."""
    monkeypatch.setattr(load_check, "_CHECKED", set())
    monkeypatch.setenv("EMOTIONS_LOAD_CHECK_SEC", "40")


@pytest.fixture
def make(tiny_bundle: Path, tmp_path: Path) -> Callable[[Any], Path]:
    return lambda change: hostile_bundle(tiny_bundle, tmp_path / "hostile", change)


@pytest.mark.parametrize("name", FOLDED)
def test_a_graph_that_takes_any_memory_is_refused(make: Callable[[Any], Path], name: str) -> None:
    bundle = make(getattr(hostile_graphs, name))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BundleError, match=r"took more than 1\.3 GiB of memory \(EMOTIONS_LOAD_CHECK_GB allows more\)$"):
        emotions.load(bundle, device="cpu", threads=1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "it was loaded in this process"


def test_a_graph_that_never_ends_is_refused(make: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_LOAD_CHECK_SEC", "8")
    started = time.monotonic()
    with pytest.raises(BundleError, match="took longer than 8 s"):
        emotions.load(make(hostile_graphs.endless_loop), device="cpu", threads=1)
    assert time.monotonic() - started < 20


@pytest.mark.slow
def test_a_graph_of_a_million_nodes_is_refused(make: Callable[[Any], Path]) -> None:
    with pytest.raises(BundleError, match="loading it and replaying its probe"):
        emotions.load(make(hostile_graphs.many_nodes), device="cpu", threads=1)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "/dev/zero", "link"])
def test_weights_outside_the_bundle_are_refused(make: Callable[[Any], Path], tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    bundle = make(weights_outside(location))
    (bundle / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="External data path validation failed"):
        emotions.load(bundle, device="cpu")


def test_an_operator_of_another_library_is_refused(make: Callable[[Any], Path]) -> None:
    with pytest.raises(BundleError, match="ONNX Runtime cannot load it"):
        emotions.load(make(hostile_graphs.unknown_operator), device="cpu")


@pytest.mark.parametrize("command", ["info", "predict", "verify"])
def test_commands_refuse_in_one_line(make: Callable[[Any], Path], tmp_path: Path, command: str) -> None:
    bundle = str(make(hostile_graphs.folded_fill))
    words = {
        "info": ["info", bundle],
        "verify": ["bundle", "verify", bundle],
        "predict": ["predict", str(tmp_path), "--bundle", bundle, "--output", str(tmp_path / "table.csv")],
    }[command]
    (tmp_path / "clip.wav").write_bytes(b"RIFF")
    done = subprocess.run([sys.executable, "-m", "emotions.cli", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "GiB of memory" in done.stderr
    assert not (tmp_path / "table.csv").exists()


@pytest.mark.slow
def test_the_service_refuses_to_start_in_one_line(make: Callable[[Any], Path]) -> None:
    environment = {**os.environ, "EMOTIONS_BUNDLE": str(make(hostile_graphs.folded_fill)), "EMOTIONS_DEVICE": "cpu"}
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:EmotionService", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "GiB of memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_good_graph_is_checked_once_on_a_machine(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    call = load_check._call
    monkeypatch.setattr(load_check, "_call", lambda *arguments: (calls.append(arguments), call(*arguments))[1])
    for _ in range(2):
        emotions.load(tiny_bundle, device="cpu", threads=1)
        load_check._CHECKED.clear()
    assert len(calls) == 1
    (key,) = load_check._folder().iterdir()
    assert load_check._folder().stat().st_mode & 0o777 == 0o700
    if os.getuid() == 0:  # what another user wrote does not count
        os.chown(key, 12345, 12345)
        emotions.load(tiny_bundle, device="cpu", threads=1)
        assert len(calls) == 2


def test_another_probe_or_model_is_checked_anew(make: Callable[[Any], Path], tiny_bundle: Path) -> None:
    good, other = read_bundle(tiny_bundle).manifest, read_bundle(make(hostile_graphs.endless_loop)).manifest
    keys = {load_check._key(manifest, "fp32") for manifest in (good, other)}
    files = {**good.files, "probe.npz": "0" * 64}
    keys.add(load_check._key(good.model_copy(update={"files": files}), "fp32"))
    assert len(keys) == 3


def test_a_cache_that_cannot_be_written_does_not_matter(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "file"))
    emotions.load(tiny_bundle, device="cpu", threads=1)


def test_the_operator_may_set_the_limits(make: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make(hostile_graphs.nothing)
    monkeypatch.setenv("EMOTIONS_LOAD_CHECK_GB", "0.05")
    with pytest.raises(BundleError, match="EMOTIONS_LOAD_CHECK_GB"):
        emotions.load(bundle, device="cpu")
    monkeypatch.setenv("EMOTIONS_LOAD_CHECK_GB", "much")
    with pytest.raises(ConfigError, match="EMOTIONS_LOAD_CHECK_GB='much': must be a number above 0"):
        emotions.load(bundle, device="cpu")
    monkeypatch.setenv("EMOTIONS_LOAD_CHECK", "off")
    emotions.load(bundle, device="cpu")


@pytest.mark.parametrize("name", ["model.onnx", "probe.npz", "manifest.json", "README"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop"])
def test_what_is_no_file_is_not_read(tiny_bundle: Path, tmp_path: Path, name: str, kind: str) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    (bundle / "README").write_text("card")
    rehashed(bundle)
    (bundle / name).unlink()
    if kind == "pipe":
        os.mkfifo(bundle / name)
    elif kind == "device":
        (bundle / name).symlink_to("/dev/zero")
    elif kind == "folder":
        (bundle / name).mkdir()
    else:
        (bundle / name).symlink_to(name)
    with pytest.raises(BundleError, match=r"lacks|is not a bundle"):
        read_bundle(bundle)


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    monkeypatch.setattr(Path, "is_file", lambda _: True)  # it was a file when it was looked at
    for name in ("probe.npz", "manifest.json"):
        (bundle / name).unlink()
        os.mkfifo(bundle / name)
        with pytest.raises(BundleError, match="no regular file"):
            read_bundle(bundle)


def test_a_sparse_file_is_not_hashed(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    os.truncate(bundle / "probe.npz", 1 << 40)
    with pytest.raises(BundleError, match="more than 16 GiB"):
        read_bundle(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "probe.npz"])
def test_a_bundle_that_changes_between_check_and_load_is_refused(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    opened = read_bundle(bundle)
    same = (bundle / name).read_bytes()
    (bundle / "new").write_bytes(same)
    (bundle / "new").replace(bundle / name)
    with pytest.raises(BundleError, match=f"{name} was changed while the bundle was opened"):
        open_session(opened, device="cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"window": {"samples": 10**18, "hop_samples": 10**18, "dynamic": True}},
        {"window": {"samples": 8_000, "hop_samples": 10**4000, "dynamic": False}},
        {"files": {f"f{number}": "x" for number in range(60_000)}},
        {"files": {f"f{number}": "0" * 64 for number in range(40_000)}},
        {"inputs": [{"name": "waveform", "dtype": "float32", "shape": [10**9] * 9}]},
        {"inputs": [{"name": "waveform", "dtype": "float32", "shape": ["batch", 10**400]}]},
        {"extra": {"embedding": {"name": "embedding", "dtype": "float32", "shape": ["batch", 10**9]}}},
        {"targets": {f"t{number}": ["a", "b"] for number in range(50_000)}},
        {"targets": {"t": [str(number) for number in range(20_000)]}},
        {"format_version": "1" * 1_000_000},
        {"toolkit_version": "1" * 1_000_000},
        {"dataset": {"fingerprint": "f", "clips": 1, "hours": 1e300}},
        {"x" * 1_000_000: 1},
    ],
    ids=lambda change: next(iter(change))[:20],
)
def test_absurd_sizes_of_a_manifest_are_refused_at_once(
    tiny_bundle: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**manifest, **change}))
    started = time.monotonic()
    with pytest.raises(BundleError) as refusal:
        read_bundle(bundle)
    assert time.monotonic() - started < 10
    assert len(str(refusal.value)) < 3_000
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
@pytest.mark.parametrize("depth", [101, 900, 5_000, 200_000])
def test_deep_json_is_refused(tiny_bundle: Path, tmp_path: Path, opening: str, closing: str, depth: int) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))
    text = (bundle / "manifest.json").read_text().rstrip().removesuffix("}")
    (bundle / "manifest.json").write_text(f'{text}, "more": {opening * depth}1{closing * depth}}}')
    with pytest.raises(BundleError, match="nested too deep"):
        read_bundle(bundle)


def test_a_check_does_not_outlive_its_caller(make: Callable[[Any], Path]) -> None:
    needs(Path("/proc/self").exists(), "there is no /proc")
    bundle = make(hostile_graphs.endless_loop)
    code = f"import emotions; emotions.load({str(bundle)!r}, device='cpu', threads=1)"
    caller = subprocess.Popen([sys.executable, "-c", code])
    mark = str(bundle).encode()
    try:
        _wait_for(lambda: len(_processes_with(mark)) == 2)
    finally:
        caller.kill()
        caller.wait()
    _wait_for(lambda: not _processes_with(mark))


def _processes_with(mark: bytes) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(path)
        except OSError:
            continue
    return found


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
