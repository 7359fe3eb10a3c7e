"""How long a trial of a search takes before it trains: the first one of a process, imports included, and the next."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks.training.peak import forget_peak, peak_mb
from emotions.pipeline.runner import Context
from training.config.tune import TuneStep
from training.data.checks.leakage import Leaks
from training.tuning.records import SearchRecord
from training.tuning.trial import Shared, run_trial

STEPS = ("first trial of a process", "next trial")
_METRIC = "val/emotion_uar"
_BATCH = 1024


def trial_starts(step: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, list[float]]]:
    """Each of ``STEPS``: seconds, CPU seconds of the process with the training, and its peak resident MB.

    As in a search, the process is told what the parts of the split share.

    Args:
        step: ``model``, ``dataset`` and ``learn_params`` of a ``train`` step on a corpus whose caches are filled.
        folder: where the results go.
    """
    command = [sys.executable, "-m", "benchmarks.training.trial_start", str(folder), json.dumps(step)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    yield from json.loads(done.stdout.splitlines()[-1]).items()


def _measure(folder: Path, given: Mapping[str, Any]) -> dict[str, list[float]]:
    learn = {**given["learn_params"], "batch_size": _BATCH}
    raw = {**given, "learn_params": learn, "tune": {"num_samples": len(STEPS), "max_tune_epochs": 1}}
    step = TuneStep.model_validate({**raw, "accelerator": "cpu"})
    record = SearchRecord(
        key="0" * 64,
        model=step.model,
        spaces={},
        metric=_METRIC,
        mode="max",
        num_samples=len(STEPS),
        max_epochs=1,
        sampler="random",
        seed=0,
        threshold=None,
        protocol="",
        step={},
        root=str(folder),
    )
    context = Context(folder, seed=0, workers=0, config={"pipeline": []}, quiet=True)
    shared = Shared(step, context, folder / "search", record, Leaks({}, (), ()))
    found, began = {}, psutil.Process().create_time()
    for number, name in enumerate(STEPS):
        cpu = time.process_time() if number else 0.0
        forget_peak()
        trial = run_trial(shared, number, {}, lambda _: None)
        if trial.state != "done":
            raise RuntimeError(trial.reason)
        found[name] = [time.time() - began - trial.seconds, time.process_time() - cpu, peak_mb()]
        began = time.time()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(Path(sys.argv[1]), json.loads(sys.argv[2]))) + "\n")
