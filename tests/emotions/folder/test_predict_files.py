from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emotions
from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import BundleError, DataError
from emotions.folder import predict_files as folders
from emotions.folder.predict_files import open_parallel, predict_files
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from emotions.runtime.batch_shape import Probabilities
from emotions.runtime.session import Session, open_session
from tests.conftest import Tone, WriteWav


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> emotions.Predictor:
    return emotions.load(tiny_bundle, device="cpu", threads=1)


@pytest.fixture
def folder(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    """Clips of 0.1 to 4 s, with broken ones between them."""
    for index in range(25):
        write_wav(tmp_path / "clips" / f"{index:02}.wav", tone(0.1 + 0.16 * index, 200 + 90 * index))
    (tmp_path / "clips" / "05_broken.wav").write_bytes(b"")
    (tmp_path / "clips" / "09_broken.wav").write_text("text")
    write_wav(tmp_path / "clips" / "24_silent.wav", np.zeros(9_000))
    return tmp_path / "clips"


def test_files_are_found_by_extension_in_order(folder: Path) -> None:
    (folder / "notes.txt").touch()
    (folder / ".hidden.wav").touch()
    (folder / ".git").mkdir()
    (folder / ".git" / "a.wav").touch()
    (folder / "б").mkdir()
    (folder / "б" / "голос 😀\n.FLAC").touch()
    found = find_files([folder])
    names = [file.name for file in found.files]
    assert names == sorted(names)
    assert names[-1] == "б/голос 😀\n.FLAC"
    assert len(names) == 29
    assert found.skipped == 1


def test_inputs_that_share_a_name_are_all_kept_and_none_twice(
    folder: Path, tmp_path: Path, write_wav: WriteWav
) -> None:
    other = write_wav(tmp_path / "other" / "00.wav", np.ones(9_000))
    found = find_files([folder, tmp_path / "other", other, folder])
    assert len(found.files) == 29
    assert sorted(file.name for file in found.files if file.path == other) == [other.as_posix()]


def test_loops_of_symbolic_links_end(folder: Path) -> None:
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    assert len(find_files([folder]).files) == 28


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: no such file or folder"):
        find_files([tmp_path / "none"])


@pytest.mark.parametrize("max_batch", [1, 4, 64])
@pytest.mark.parametrize(("decode_threads", "parallel_batches"), [(1, 1), (3, 1), (2, 3)])
def test_a_folder_answers_as_one_clip_after_the_other(
    predictor: emotions.Predictor, folder: Path, max_batch: int, decode_threads: int, parallel_batches: int
) -> None:
    files = find_files([folder]).files
    results = list(
        predict_files(
            predictor,
            files,
            max_batch=max_batch,
            decode_threads=decode_threads,
            parallel_batches=parallel_batches,
            chunk_files=11,
        )
    )
    assert [result.name for result in results] == [file.name for file in files]
    codes = {result.name: result.code for result in results if result.code}
    assert codes == {"05_broken.wav": "not_audio", "09_broken.wav": "not_audio", "24_silent.wav": "silent"}
    for file, result in zip(files, results, strict=True):
        if result.prediction:
            alone = predictor.predict(file.path)
            assert result.prediction.duration_sec == alone.duration_sec
            for label, probability in alone.probabilities["emotion"].items():
                assert result.prediction.probabilities["emotion"][label] == pytest.approx(probability, abs=1e-5)


@pytest.mark.parametrize("parallel_batches", [1, 3])
def test_a_clip_of_many_batches_between_short_ones_does_not_block(
    predictor: emotions.Predictor, tmp_path: Path, tone: Tone, write_wav: WriteWav, parallel_batches: int
) -> None:
    for name, sec in (("a", 0.3), ("b", 60.3), ("c", 0.3), ("d", 33.3)):
        write_wav(tmp_path / f"{name}.wav", tone(sec))
    results = list(
        predict_files(predictor, find_files([tmp_path]).files, max_batch=7, parallel_batches=parallel_batches)
    )
    assert [len(result.prediction.windows) for result in results if result.prediction] == [1, 121, 1, 67]


def test_no_file_gives_no_result_and_a_folder_can_be_left_midway(predictor: emotions.Predictor, folder: Path) -> None:
    assert list(predict_files(predictor, [])) == []
    rows = predictor.predict_folder(folder)
    assert next(rows).name == "00.wav"
    rows.close()


def test_a_file_that_vanished_is_a_result(predictor: emotions.Predictor, tmp_path: Path) -> None:
    (result,) = predict_files(predictor, [InputFile(tmp_path / "gone.wav", "gone.wav")])
    assert (result.code, result.error) == ("unreadable", "cannot be read (No such file or directory)")


@pytest.mark.parametrize(("answer", "code"), [("raises", "model"), ("nan", "not_a_number")])
def test_a_model_that_fails_on_a_batch_costs_the_files_of_that_batch_alone(
    predictor: emotions.Predictor, folder: Path, answer: str, code: str
) -> None:
    calls = 0

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        nonlocal calls
        calls += 1
        if calls == 2 and answer == "raises":
            raise RuntimeError("out of memory")
        answers = predictor.session.run(waveform, length)
        return {target: values * np.float32(np.nan if calls == 2 else 1) for target, values in answers.items()}

    broken = emotions.Predictor(predictor.bundle, replace(predictor.session, run=run))
    results = list(predict_files(broken, find_files([folder]).files, max_batch=4))
    failed = [result for result in results if result.code == code]
    assert 1 <= len(failed) <= 4
    assert len(results) == 28
    assert all(result.prediction for result in results if not result.code)


def test_a_pipe_is_a_result_and_a_name_that_is_not_utf8_is_read(
    predictor: emotions.Predictor, tmp_path: Path, tone: Tone, write_wav: WriteWav
) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    write_wav(tmp_path / "a.wav", tone()).rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/lat\xe9n.wav")))
    named, pipe = predict_files(predictor, find_files([tmp_path]).files)
    assert named.prediction
    assert (pipe.code, pipe.error) == ("not_audio", "is not a regular file")


def test_every_gpu_takes_its_share(
    tiny_bundle: Path, predictor: emotions.Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPUs are stood in for by sessions on the CPU that count their batches."""
    batches = [0, 0, 0]

    def opened(*given: Any, device: str, device_id: int = 0, **options: Any) -> Session:
        session = open_session(*given, device="cpu", **options)

        def run(waveform: FloatArray, length: IntArray) -> Probabilities:
            batches[device_id] += 1
            return session.run(waveform, length)

        return replace(session, run=run, device="cuda")

    monkeypatch.setattr(folders, "open_session", opened)
    monkeypatch.setattr(folders, "gpu_count", lambda: 3)
    several, parallel_batches = open_parallel(tiny_bundle, device="auto", threads=2)
    batches[:] = [0, 0, 0]
    files = find_files([folder]).files
    results = [*predict_files(several, files, max_batch=4, parallel_batches=parallel_batches)]
    assert results == [*predict_files(predictor, files, max_batch=4, parallel_batches=6)]
    assert min(batches) >= 2


def test_a_variant_is_asked_for(tiny_bundle: Path, small_bundle: Path) -> None:
    assert open_parallel(tiny_bundle, device="cpu")[0].session.variant == "fp32"
    assert open_parallel(small_bundle, device="cpu", variant="fp32")[0].session.variant == "fp32"
    with pytest.raises(BundleError, match="has no variant 'int8'"):
        open_parallel(tiny_bundle, device="cpu", variant="int8")
