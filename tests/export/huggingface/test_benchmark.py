"""The benchmark: it runs, and says what it measured."""

from __future__ import annotations

import re

from transformers import Wav2Vec2Config

from export.benchmark.huggingface import benchmark
from tests.training.models.encoders import TINY


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
