from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from emotions.audio.windows import FloatArray
from emotions.errors import DataError, DiskFull
from emotions.files.atomic import atomic_file
from training.data.waveforms.array_store import ArrayStore, clear, describe, limit_bytes, stores


def array(value: float, count: int = 1000) -> FloatArray:
    return np.full(count, value, np.float32)


@pytest.fixture
def store(private_cache: Path) -> ArrayStore:
    return ArrayStore(private_cache / "things")


def test_what_is_put_can_be_got_read_only_and_only_by_the_user(store: ArrayStore) -> None:
    store.put("abcd", array(1))
    found = store.get("abcd")
    assert isinstance(found, np.memmap)
    assert np.array_equal(found, array(1))
    assert not found.flags.writeable
    assert store.path("abcd") == store.root / "ab" / "abcd.npy"
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700
    assert store.get("none") is None


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"text", None])
def test_a_damaged_array_counts_as_absent_and_is_made_again(store: ArrayStore, content: bytes | None) -> None:
    store.put("abcd", array(1))
    path = store.path("abcd")
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert store.get("abcd") is None
    assert not path.exists()
    store.put("abcd", array(2))
    assert np.array_equal(store.get("abcd", (1000,)), array(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("values", [np.float32(3), np.zeros((0, 4)), np.arange(24.0).reshape(2, 3, 4), np.ones(12)])
@pytest.mark.parametrize("kind", ["float16", "float32", ">f4", "int16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_each_array_that_numpy_writes_is_read_as_numpy_reads_it(
    store: ArrayStore, version: tuple[int, int], values: npt.NDArray[Any], kind: str, order: Literal["C", "F"]
) -> None:
    path = store.path("abcd")
    path.parent.mkdir()
    given = np.asarray(values, kind, order)
    with path.open("wb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # version 2 is not needed here
        np.lib.format.write_array(stream, given, version)
        stream.write(b"four")  # in place of a checksum
    path.chmod(0o600)
    expected = np.load(path)
    found = store.get("abcd", kinds=("float16", "float32", "int16"))
    assert found is not None
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.flags.f_contiguous == expected.flags.f_contiguous
    assert found.tobytes() == expected.tobytes()
    path.write_bytes(path.read_bytes()[: -4 - max(expected.nbytes, 60)])
    assert store.get("abcd") is None


@pytest.mark.parametrize(
    "shape", [b"9" * 30 + b",", b"1" * 100 + b",", b"-4,", b"4,, 4", b"4 4,", b"1, " * 33, b"1e3,", b""]
)
def test_a_header_that_numpy_does_not_write_does_no_harm(store: ArrayStore, shape: bytes) -> None:
    path = store.path("abcd")
    path.parent.mkdir()
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + b"), }"
    header = header.ljust(-len(header) // 64 * -64 + 53) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))
    path.chmod(0o600)
    try:
        expected = np.load(path)
    except (ValueError, OverflowError, MemoryError, SyntaxError):
        assert store.get("abcd") is None
    else:
        found = store.get("abcd")
        assert found is not None
        assert found.shape == expected.shape


def test_what_a_power_failure_left_counts_as_absent(store: ArrayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda _: pytest.fail("a cache waits for no disk"))
    store.put("aa", array(1))
    for lost in (slice(None), slice(200, None), slice(None, 200), slice(-8, None)):
        content = bytearray(store.path("aa").read_bytes())
        content[lost] = bytes(len(content[lost]))  # the length was written, the blocks were not
        store.path("aa").write_bytes(content)
        assert store.get("aa", (1000,), check=True) is None
        store.put("aa", array(1))
    assert store.get("aa", (1000,), check=True) is not None


def test_an_array_of_another_shape_or_kind_counts_as_absent(store: ArrayStore) -> None:
    store.put("abcd", array(1))
    assert store.get("abcd", (999,)) is None
    store.put("abce", array(1))
    np.save(store.path("abce"), np.zeros(1000))
    assert store.get("abce") is None


def test_an_array_with_pickled_objects_is_not_loaded(store: ArrayStore) -> None:
    store.put("abcd", array(1))
    np.save(store.path("abcd"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert store.get("abcd") is None


def test_threads_that_read_at_once_with_the_garbage_collector_at_work(
    store: ArrayStore,
) -> None:
    store.put("ab1", np.zeros(6400, np.float32))
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()
    gc.set_threshold(50)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(_read_and_leave_cycles, [store] * 4))
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()
        sys.setswitchinterval(interval)
    assert all(found)


def _read_and_leave_cycles(store: ArrayStore, times: int = 1000) -> bool:
    found = True
    for _ in range(times):
        cycle = _Finalised()
        cycle.itself = cycle
        found &= store.get("ab1", (6400,)) is not None
    return found


class _Finalised:
    itself: _Finalised

    def __del__(self) -> None:
        for _ in range(50):
            pass


def test_the_least_recently_used_go_first_and_what_is_in_use_stays(
    store: ArrayStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for age, key in enumerate(("aa3", "bb2", "cc1", "dd0")):
        store.put(key, array(age))
        os.utime(store.path(key), (1000 + age, 1000 + age))
    store.touch("aa3")
    store.touch("never")
    monkeypatch.setenv("EMOTIONS_CACHE_GB", str(2.5 * store.path("aa3").stat().st_size / 2**30))
    assert store.evict(keep={"bb2"}) == 2
    assert [key for key in ("aa3", "bb2", "cc1", "dd0") if store.get(key) is not None] == ["aa3", "bb2"]
    monkeypatch.setenv("EMOTIONS_CACHE_GB", "1e-9")
    assert store.evict(keep={"aa3", "bb2"}) == 0
    assert "EMOTIONS_CACHE_GB" in caplog.text


def test_what_a_killed_writer_left_is_removed_whatever_the_clock_says_and_what_is_written_stays(
    store: ArrayStore,
) -> None:
    store.put("abcd", array(1))
    left = [store.root / "ab" / f".part-{number:016x}.npy" for number in range(2)]
    for path, when in zip(left, (0, time.time() + 86_400 * 365), strict=True):
        path.write_bytes(b"half")
        os.utime(path, (when, when))
    with atomic_file(store.path("abce")) as being_written:
        os.utime(being_written, (0, 0))
        store.evict()
        assert being_written.exists()
        np.save(being_written, array(2))
    assert not any(path.exists() for path in left)
    assert {path.name for path in store.root.glob("ab/*")} == {"abcd.npy", "abce.npy"}


def _link(path: Path, store: ArrayStore) -> None:
    other = store.root.parent / "planted.npy"
    path.replace(other)
    path.symlink_to(other)


def _link_folder(path: Path, store: ArrayStore) -> None:
    other = store.root.parent / "planted"
    path.parent.replace(other)
    path.parent.symlink_to(other)


def _pipe(path: Path, store: ArrayStore) -> None:
    path.unlink()
    os.mkfifo(path)


def _writable(path: Path, store: ArrayStore) -> None:
    path.chmod(0o666)


def _other_owner(path: Path, store: ArrayStore) -> None:
    if os.geteuid():
        pytest.skip("only root gives a file away")
    os.chown(path, 12_345, -1)


@pytest.mark.parametrize("poison", [_link, _link_folder, _pipe, _writable, _other_owner])
def test_an_entry_that_may_be_another_users_is_not_read_and_is_made_again(
    store: ArrayStore, poison: Callable[[Path, ArrayStore], None], caplog: pytest.LogCaptureFixture
) -> None:
    store.put("abcd", array(1))
    poison(store.path("abcd"), store)
    assert store.get("abcd") is None
    assert "is a link or may be of another user, and will be made again" in caplog.text
    store.put("abcd", array(2))
    assert np.array_equal(store.get("abcd", check=True), array(2))  # type: ignore[arg-type]
    assert not store.path("abcd").is_symlink()


@pytest.mark.parametrize("altered", [100, 128, -5, -1])
def test_altered_bytes_and_the_file_of_another_key_are_not_used(store: ArrayStore, altered: int) -> None:
    store.put("abcd", array(1))
    content = bytearray(store.path("abcd").read_bytes())
    content[altered] ^= 1
    store.path("abcd").write_bytes(content)
    assert store.get("abcd", check=True) is None
    store.put("abce", array(2))
    store.path("abce").replace(store.path("abcd"))
    assert store.get("abcd", check=True) is None


def _folder_link(root: Path) -> str:
    (root / "elsewhere").mkdir(mode=0o700)
    (root / "things").symlink_to(root / "elsewhere")
    return "is a link"


def _folder_writable(root: Path) -> str:
    (root / "things").mkdir()
    (root / "things").chmod(0o770)
    return "other users could write to it"


def _folder_of_another(root: Path) -> str:
    if os.geteuid():
        pytest.skip("only root gives a folder away")
    (root / "things").mkdir(mode=0o700)
    os.chown(root / "things", 12_345, -1)
    return "belongs to another user"


@pytest.mark.parametrize("poison", [_folder_link, _folder_writable, _folder_of_another])
def test_a_folder_that_may_be_another_users_is_refused(private_cache: Path, poison: Callable[[Path], str]) -> None:
    why = poison(private_cache)
    with pytest.raises(DataError, match=f"things: {why}.*remove it, or name another folder in EMOTIONS_CACHE") as found:
        ArrayStore(private_cache / "things")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("value", ["many", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE_GB", value)
    with pytest.raises(DataError, match="EMOTIONS_CACHE_GB"):
        limit_bytes()


def test_a_full_disk_is_told_with_the_remedy(store: ArrayStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.data.waveforms.array_store.np.save", full)
    with pytest.raises(DiskFull, match="the disk is full; make room"):
        store.put("abcd", array(1))
    assert [path.name for path in store.root.glob("ab/*")] == []


def test_a_cache_that_cannot_be_made(private_cache: Path) -> None:
    (private_cache / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written"):
        ArrayStore(private_cache / "file" / "things")


def test_listing_and_clearing_spare_what_is_not_a_cache(store: ArrayStore, private_cache: Path) -> None:
    (private_cache / "mine").mkdir()
    (private_cache / "mine" / "thesis.txt").write_text("precious")
    store.put("abcd", array(1))
    assert "things" in describe()
    assert "mine" not in describe()
    assert clear() == 4_000 + 128 + 4
    assert stores() == []
    assert "empty" in describe()
    assert (private_cache / "mine" / "thesis.txt").exists()


_WRITER = """
import sys, time
from pathlib import Path
import numpy as np
import training.data.waveforms.array_store as module
store = module.ArrayStore(Path(sys.argv[1]))
if sys.argv[2] == "slow":
    save = np.save
    def slow(stream, array, **options):
        stream.write(b"half")
        stream.flush()
        print("writing", flush=True)
        time.sleep(600)
    np.save = slow
for number in range(20):
    key = f"ab{number:02d}"
    if store.get(key, (1000,), check=True) is None:
        store.put(key, np.full(1000, number, np.float32))
store.evict()
print("done", flush=True)
"""


def test_a_writer_that_is_killed_holds_up_nobody_and_leaves_nothing(store: ArrayStore) -> None:
    """Two processes fill one store, and one is killed in the middle of an entry."""
    command = [sys.executable, "-c", _WRITER, str(store.root)]
    root = Path(__file__).parents[4]
    with subprocess.Popen([*command, "slow"], cwd=root, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"writing\n"
        killed.kill()
    assert [*store.root.glob("ab/.*")], "it has left half an entry"
    done = subprocess.run([*command, "fast"], cwd=root, capture_output=True, timeout=60, check=True)
    assert done.stdout == b"done\n"
    assert not [*store.root.glob("ab/.*")]
    for number in range(20):
        assert np.array_equal(store.get(f"ab{number:02d}", (1000,), check=True), array(number))  # type: ignore[arg-type]
