"""Libraries that do not load, or end the process that loads them, are found out by another process: a real one here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from emotions.bundle.bundle import read_bundle
from emotions.errors import DeviceError
from emotions.runtime import gpu_causes, library_check
from emotions.runtime.library_check import library_fault
from emotions.runtime.session import open_session
from tests.fake_cuda import FakeCuda

real = library_fault
COMPILER = shutil.which("cc")
compiled = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
ABORTS = "#include <stdlib.h>\n__attribute__((constructor)) static void load(void) { abort(); }\n"
HANGS = "#include <unistd.h>\n__attribute__((constructor)) static void load(void) { for (;;) pause(); }\n"


def build(folder: Path, name: str, source: str) -> str:
    assert COMPILER is not None
    (folder / f"{name}.c").write_text(source)
    library = folder / f"{name}.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, folder / f"{name}.c"], check=True)
    return str(library)


def test_a_file_that_is_no_library_is_said_by_the_loaders_words(tmp_path: Path) -> None:
    broken = tmp_path / "libcudnn.so.9"
    broken.write_bytes(b"not a library" * 1_000)
    assert library_fault((str(broken),)) == f"a library is missing ({broken}: invalid ELF header)"
    absent = str(tmp_path / "libabsent.so")
    assert library_fault((absent,)).startswith(f"a library is missing ({absent}: cannot open shared object file")


@compiled
def test_sound_libraries_have_no_fault_and_are_asked_once(tmp_path: Path) -> None:
    sound = build(tmp_path, "libsound", "int answer(void) { return 42; }\n")
    assert library_fault((sound,)) == ""
    Path(sound).unlink()
    assert library_fault((sound,)) == ""


@compiled
def test_a_library_that_ends_its_process_is_named(tmp_path: Path) -> None:
    sound, aborts = build(tmp_path, "libsound", "int answer(void) { return 42; }\n"), build(tmp_path, "libx", ABORTS)
    assert library_fault((sound, aborts)) == f"a library is broken ({aborts} ends its process by SIGABRT)"


@compiled
def test_a_library_that_never_loads_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_check, "_SECONDS", 8.0)
    hangs = build(tmp_path, "libhangs", HANGS)
    assert library_fault((hangs,)) == f"a library is broken ({hangs} does not load within 8 s)"


def test_a_library_that_only_the_other_process_lacks_keeps_no_model_from_its_gpu(
    fake_cuda: FakeCuda, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_causes, "library_fault", real)
    monkeypatch.setattr(gpu_causes, "libraries", lambda: (str(tmp_path / "libabsent.so"),))
    assert open_session(read_bundle(tiny_bundle), device="cuda").device == "cuda"
    fake_cuda.set("hidden library")
    with pytest.raises(DeviceError, match=r"a library is missing \(.*libabsent\.so"):
        open_session(read_bundle(tiny_bundle), device="cuda")


@compiled
def test_the_libraries_in_tensorrts_wheel_are_loaded_before_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "tensorrt_libs"
    wheel.mkdir()
    (wheel / "__init__.py").touch()
    for name in ("libnvonnxparser", "libnvinfer"):
        Path(build(wheel, name, "int answer(void) { return 42; }\n")).rename(wheel / f"{name}.so.10")
    monkeypatch.syspath_prepend(tmp_path)
    found = library_check.tensorrt_wheel()
    assert found == (str(wheel / "libnvinfer.so.10"), str(wheel / "libnvonnxparser.so.10"))
    assert library_fault(found) == ""
    names = library_check.libraries("tensorrt")
    assert names == () or names[:2] == found


@compiled
def test_a_model_is_not_opened_on_a_gpu_whose_library_would_end_the_process(
    fake_cuda: FakeCuda, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aborts = build(tmp_path, "libcudnn", ABORTS)
    monkeypatch.setattr(gpu_causes, "library_fault", real)
    monkeypatch.setattr(gpu_causes, "libraries", lambda: (aborts,))
    with pytest.raises(DeviceError, match=r"the GPU cannot be used: a library is broken \(.*by SIGABRT\); pip install"):
        open_session(read_bundle(tiny_bundle), device="cuda")
    assert fake_cuda.asked == []
