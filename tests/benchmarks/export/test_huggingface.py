"""The benchmarks: they run, and say what they measured."""

from __future__ import annotations

import re

import pytest
from transformers import Wav2Vec2Config

from benchmarks.export import int8 as int8_benchmark
from benchmarks.export.huggingface import benchmark
from tests.training.models.encoders import TINY


@pytest.mark.slow
def test_it_reports_conversion_memory_and_the_race() -> None:
    lines = [*benchmark(1, 1, 0.2, 2, Wav2Vec2Config(**TINY, classifier_proj_size=16))]
    assert [re.sub(r"[\d.]+", "#", line) for line in lines] == [
        "model # MiB, conversion # s (at most #)",
        "peak memory above the loaded model # MiB, # times its size (at most #)",
        "bundle: # clips/s (median of # rounds of # clips)",
        "transformers: # clips/s (median of # rounds of # clips)",
        "ratio # (median; # to #; at least #)",
    ]
    bundle, transformers = (float(re.findall(r"[\d.]+", line)[0]) for line in lines[2:4])
    assert min(bundle, transformers) > 0


@pytest.mark.slow
def test_int8_races_fp32() -> None:
    lines = [*int8_benchmark.benchmark(1, 1, 0.2, Wav2Vec2Config(**TINY, classifier_proj_size=16))]
    assert [re.sub(r"[\d.]+", "#", line) for line in lines] == [
        "fp# # MiB, int# # MiB",
        "fp#: # clips/s (median of # rounds of # clips, # threads)",
        "int#: # clips/s (median of # rounds of # clips, # threads)",
        "ratio # (at least #)",
    ]
    (fp32, int8), (ratio, _) = (
        (float(line.split()[1]) for line in lines[1:3]),
        re.findall(r"[\d.]+", lines[3]),
    )
    assert abs(int8 / fp32 - float(ratio)) < 0.1 * float(ratio)
