"""The service on the fake of the CUDA provider; ``bentoml serve`` imports it in a dry run, nobody else should."""

from __future__ import annotations

from benchmarks.gpu import fake_cuda

fake_cuda.install()

from serving.service import EmotionService  # noqa: E402  # what it imports must find the fake

__all__ = ["EmotionService"]
