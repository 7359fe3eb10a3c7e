"""Training on the GPU: the feature pass of a frozen encoder by precision, and a fit in mixed precision."""

from __future__ import annotations

import contextlib
import io
import time
from typing import Any

import torch

from benchmarks.gpu.child import in_words
from benchmarks.gpu.models import TINY
from benchmarks.gpu.sessions import timed, voices
from benchmarks.gpu.step import Bench, Figures
from benchmarks.training.corpus import read_windows, synthesise
from emotions.files.json_text import read_json
from emotions.pipeline.runner import Context
from training.config.train import TrainStep
from training.data.demo import make_demo_corpus
from training.features.feature_cache import FeatureCache
from training.loop.fit import fit
from training.models.frontends.encoders import blank_encoder
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend


def precompute(bench: Bench) -> Figures:
    """Windows a second of an encoder in fp32, TF32 and bf16, what they differ by, and of the toolkit's own pass."""
    torch.manual_seed(0)
    torch.zeros(1, device=bench.torch_device)  # says at once where there is no card
    encoder = blank_encoder({"normalize": True, "config": {"model_type": "wav2vec2", **(TINY if bench.dry else {})}})
    frontend = Wav2Vec2Frontend(encoder, bench.samples, 1 if bench.dry else 12).eval()
    few = [torch.as_tensor(each) for each in voices(bench.batches[0], bench.samples)]
    with torch.inference_mode():
        expected = frontend(*few)[0]
    frontend.to(bench.torch_device)
    size = bench.batches[2] // 2
    many = [torch.as_tensor(each).to(bench.torch_device) for each in voices(size, bench.samples)]
    few = [each.to(bench.torch_device) for each in few]
    for name in ("fp32", "tf32", "bf16"):
        with _precision(name, bench.torch_device), torch.inference_mode():
            off = (frontend(*few)[0].float().cpu() - expected).abs().max() / expected.abs().max()
            taken = timed(lambda: _finished(frontend(*many), bench), bench.measured_sec)
        yield name, {"windows_per_sec": size / taken, "difference": float(off)}
    frontend.to("cpu")
    data = synthesise(bench.scratch / f"noise-{time.time_ns()}", 8 if bench.dry else 256, bench.window_sec)
    windows = read_windows(data, 1000, bench.window_sec)
    cache = FeatureCache(frontend, windows.spec, lambda: frontend)
    began = time.perf_counter()
    made = cache.prepare(windows, frontend, [bench.torch_device])
    yield "toolkit's pass, windows_per_sec", made / (time.perf_counter() - began)


@contextlib.contextmanager
def _precision(name: str, device: str) -> Any:
    """Compute in it until the block ends: torch's own default is TF32 for convolutions alone."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    with torch.autocast(device, torch.bfloat16, enabled=name == "bf16"):
        yield


def _finished(answer: Any, bench: Bench) -> Any:
    if not bench.dry:
        torch.cuda.synchronize()
    return answer


def fit_mixed(bench: Bench) -> Figures:
    """Seconds and figures of a training of two epochs in fp32, fp16 and bf16, each from the command's own function.

    Raises:
        RuntimeError: one of them did not end; all were tried.
    """
    corpus = bench.scratch / "voices"
    if not corpus.exists():
        make_demo_corpus(corpus, speakers=3, takes=2 if bench.dry else 8)
    failed = []
    for precision in ("32-true", "bf16-mixed") if bench.dry else ("32-true", "16-mixed", "bf16-mixed"):
        try:
            yield precision, _fitted(bench, str(corpus), precision)
        except Exception as error:  # noqa: BLE001 - told as the figure, and the next one is tried
            failed.append(precision)
            yield precision, in_words(error)
    if failed:
        raise RuntimeError(f"no training in {', '.join(failed)}")


def _fitted(bench: Bench, corpus: str, precision: str) -> dict[str, Any]:
    run = bench.scratch / f"run-{precision}-{time.time_ns()}"
    step = TrainStep.model_validate(
        {
            "model": "SpectrogramCnnClassifier",
            "model_architecture": {"backbone": "test_efficientnet" if bench.dry else "efficientnet_b0"},
            "learn_params": {
                "padding_sec": bench.window_sec,
                "spectrogram_size": 32 if bench.dry else 128,
                "max_epoch": 1 if bench.dry else 2,
                "precision": precision,
            },
            "saving_data_params": {
                "saved_checkpoints_path": [str(run)],
                "saved_checkpoints_filename": ["best"],
            },
            "dataset": {"path": corpus, "speaker": {"pattern": "^[^/]+/([^_]+)_"}},
            "accelerator": "cpu" if bench.dry else "gpu",
        }
    )
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        folder = fit(step, Context(bench.scratch, seed=0, workers=0, config={"seed": 0}, quiet=True))
    taken = time.perf_counter() - began
    history = read_json(folder / "metrics.json")["history"]
    return {"seconds": taken, "loss, first epoch": history["train/loss"][0], "last": history["train/loss"][-1]}
