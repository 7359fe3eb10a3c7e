"""How much code four tasks pass through: ``python -m benchmarks.call_paths``.

Each task runs once unobserved, so that imports and caches are out of the way, and once below a profile hook in every
thread. Counted are the modules and functions of this project that were called, and how often the module changes along
the functions in the order of their first call: how far a reader jumps who follows the task.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PACKAGES = ("emotions", "training", "export", "serving")


@dataclass
class CallPath:
    """Functions in the order of their first call: (module's file, qualified name)."""

    root: Path
    functions: dict[tuple[str, str], None] = field(default_factory=dict)
    recording: bool = False
    seen: set[CodeType] = field(default_factory=set)

    def hook(self, frame: FrameType, event: str, _: Any) -> None:
        """Note a call; for ``sys.setprofile``."""
        if self.recording and event == "call" and frame.f_code not in self.seen:
            code = frame.f_code
            self.seen.add(code)
            file = Path(code.co_filename)
            if not code.co_name.startswith("<") and file.suffix == ".py" and file.is_relative_to(self.root):
                inner = file.relative_to(self.root)
                if inner.parts[0] in PACKAGES:
                    self.functions.setdefault((str(inner), code.co_qualname))

    def figures(self) -> str:
        """Modules, functions and changes of module, in words."""
        files = [file for file, _ in self.functions]
        changes = sum(one != other for one, other in itertools.pairwise(files))
        return f"{len(set(files))} modules, {len(files)} functions, {changes} changes of module"


def record(root: Path, task: Callable[[], object]) -> CallPath:
    """Run ``task`` twice, and note what the second run calls."""
    path = CallPath(root)
    threading.setprofile(path.hook)
    sys.setprofile(path.hook)
    try:
        task()
        path.recording = True
        task()
    finally:
        path.recording = False
        sys.setprofile(None)
        threading.setprofile(None)
    return path


def command(*arguments: object) -> None:
    """Run the ``emotions`` command in this process.

    Raises:
        RuntimeError: it did not end with exit code 0.
    """
    from emotions.cli import run

    code = run([str(argument) for argument in arguments])
    if code:
        raise RuntimeError(f"emotions {arguments[0]} ended with exit code {code}")


def main() -> None:
    """Print the figures of the four tasks."""
    root = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        command("data", "demo", "clips")
        write_config(Path("train.json"))
        numbers = itertools.count()
        clip = next(Path("clips").rglob("*.wav"))
        tasks: dict[str, Callable[[], object]] = {
            "a clip to a run": lambda: command("train", "--config-file", "train.json", *output(f"run{next(numbers)}")),
            "a run to a bundle": lambda: command("export", "--run", "run0", "--output", f"bundle{next(numbers)}"),
            "a file to a row": lambda: command(
                "predict", clip, "--bundle", "bundle2", "--output", f"{next(numbers)}.csv", "--quiet"
            ),
        }
        lines = [f"{name}: {record(root, task).figures()}" for name, task in tasks.items()]
        lines.append(f"an upload to an answer: {upload(root, clip).figures()}")
    print("\n".join(lines))


def write_config(path: Path) -> None:
    """Write a training of one epoch on the folder ``clips``."""
    step = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet"},
        "learn_params": {"padding_sec": 2, "spectrogram_size": 64, "max_epoch": 1},
        "dataset": {"path": "clips", "speaker": {"pattern": "^[^/]+/([^_]+)_"}},
    }
    path.write_text(json.dumps({"pipeline": [step], "seed": 0}), encoding="utf-8")


def output(folder: str) -> tuple[str, str]:
    """The option that names the run's folder."""
    return "--set", f'pipeline.0.saving_data_params.saved_checkpoints_path=["{folder}"]'


def upload(root: Path, clip: Path) -> CallPath:
    """Send one recording to the service, in this process."""
    os.environ["EMOTIONS_BUNDLE"] = "bundle2"
    from starlette.testclient import TestClient

    from serving.service import EmotionService

    clients: list[TestClient] = []

    def post() -> None:
        if not clients:
            clients.append(TestClient(EmotionService.to_asgi()).__enter__())  # type: ignore[attr-defined]
        answer = clients[0].post("/v1/predict", content=clip.read_bytes())
        answer.raise_for_status()

    try:
        return record(root, post)
    finally:
        clients[0].__exit__(None, None, None)


if __name__ == "__main__":
    main()
