from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.goals import training
from benchmarks.training import corpus_scale, encoding, fine_tuning, trial_start
from benchmarks.training.altered_copies import compare_altered_copies
from benchmarks.training.copies import searched
from benchmarks.training.corpus import read_windows, synthesise
from benchmarks.training.loop import compare_loops
from benchmarks.training.memory import peak
from benchmarks.training.timing import medians
from benchmarks.training.transformers_trainer import compare_trainer
from benchmarks.training.tuning import compare_searches
from tests.training.conftest import make_corpus
from tests.training.tuning.conftest import without_ray


def figure(line: str) -> float:
    found = re.search(r"  +(-?[0-9.]+)(?: s| MB|  .*|)$", line)
    assert found, line
    return float(found[1])


def test_rivals_take_turns_and_medians_are_taken() -> None:
    order: list[str] = []

    def candidate(name: str, seconds: list[float]) -> Callable[[], list[float]]:
        def run() -> list[float]:
            order.append(name)
            return [seconds.pop(0)]

        return run

    assert medians({"a": candidate("a", [3, 1, 2]), "b": candidate("b", [5, 9, 7])}, 3) == {"a": 2, "b": 7}
    assert order == ["a", "b", "b", "a", "a", "b"]


@pytest.mark.slow
def test_an_epoch_from_the_cache_beats_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "WINDOW_SEC", 1.0)
    lines = encoding.compare_encoding(synthesise(tmp_path / "data", 12, 1.0), 12, 1)
    assert "94.4 M encoder" in lines[0]
    assert figure(lines[-1]) > encoding.TARGET


def test_the_loop_is_measured_against_a_bare_one(tmp_path: Path) -> None:
    lines = compare_loops(synthesise(tmp_path / "data", 32, 1.0), 32, 1, backbone="test_efficientnet")
    assert "32 images of 128 x 128" in lines[0]
    ours, bare, ratio = map(figure, lines[1:])
    assert ratio == pytest.approx(bare / ours, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("longest", [0.6, 3.0])
def test_each_step_to_the_first_batch_is_measured_by_itself(longest: float) -> None:
    found = dict(corpus_scale.steps(120, longest))
    assert tuple(found) == corpus_scale.STEPS
    for step, (seconds, cpu, megabytes) in found.items():
        assert cpu > 0
        assert cpu < 10 * seconds or step in trial_start.STEPS  # whose training is no part of their seconds
        assert 100 < megabytes < 4000


@pytest.mark.parametrize("kind", ["tones of 0.6 s", "random bits of 2.8 s"])
def test_the_search_for_copies_finds_none_where_there_are_none(kind: str) -> None:
    seconds, megabytes, found = searched(kind, 50)
    assert found == 0
    assert 0 < seconds < 60
    assert 10 < megabytes < 1000


def test_altered_copies_are_counted_by_what_was_done_to_them(tmp_path: Path) -> None:
    title, *lines = compare_altered_copies(synthesise(tmp_path / "data", 6, 1.0), 4)
    assert "among 8 clips" in title
    found = {line[:46].strip(): line[46:].split() for line in lines}
    assert len(found) == 7
    assert found["at the telephone's band"] == found["37 ms later"] == ["4", "4", "of", "4", "0"]
    assert all(other[-1] == "0" for other in found.values())


def test_the_clips_measured_are_of_every_part_of_a_dataset(tmp_path: Path) -> None:
    data = synthesise(tmp_path / "data", 8, 1.0)
    rows = {f"{clip}.wav": {"emotion": "first" if clip < 4 else "second"} for clip in range(8)}
    (data / "annotations.json").write_text(json.dumps(rows))
    assert read_windows(data, 4, 1.0).classes("emotion").tolist() == [0, 0, 1, 1]
    assert len(read_windows(data, 20, 1.0)) == 8


def test_transformers_trainer_is_measured_or_its_lack_told(tmp_path: Path) -> None:
    lines = compare_trainer(synthesise(tmp_path / "data", 8, 1.0), 8, 1, backbone="test_efficientnet")
    if find_spec("accelerate") is None:
        assert lines == ["transformers' Trainer: not run: accelerate is not installed; pip install accelerate"]
        return
    assert "8 windows of 5 s" in lines[0]
    cached, uncached, trainer, to_cached, to_uncached = map(figure, lines[1:])
    assert to_cached == pytest.approx(trainer / cached, rel=0.1)
    assert to_uncached == pytest.approx(trainer / uncached, rel=0.1)


@pytest.mark.slow
def test_memory_is_measured_from_the_command_line() -> None:
    command = [sys.executable, "-m", "benchmarks.training", "memory", "--clips", "2"]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True, check=True)
    assert "      2 clips " in done.stdout
    assert "      8 clips " in done.stdout
    assert "growth / data added" in done.stdout


@pytest.mark.slow
def test_the_peak_is_that_of_the_measured_process_alone() -> None:
    held = bytearray(b"x") * (3 << 30)
    assert peak(2) < len(held) / 1e6


@pytest.mark.slow
def test_searches_are_measured(tmp_path: Path, write_wav: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch)
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    corpus = make_corpus(tmp_path / "data", write_wav)
    lines = compare_searches(corpus, 2, tmp_path, "test_efficientnet")
    assert "2 trials of 5 epochs" in lines[0]
    own, whole, ratio = map(figure, lines[1:4])
    assert whole > own / 2
    assert ratio > 0.5
    assert 0 < figure(lines[5]) <= 1


@pytest.mark.slow
def test_ways_of_fine_tuning_are_measured_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fine_tuning, "WAYS", {name: fine_tuning.WAYS[name] for name in ("fp32", "bf16")})
    tiny = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    lines = fine_tuning.compare_fine_tuning(synthesise(tmp_path / "data", 4, 1.0), 4, 1, {**tiny, "conv_dim": [16] * 7})
    found = [training._fine_tuning(line) for line in lines[1:]]
    assert [way for way, *_ in found] == ["fp32", "bf16"]
    assert found[0][1] == 1
    assert all(ratio > 0 and 100 < peak < 4_000 for _, ratio, peak in found)
