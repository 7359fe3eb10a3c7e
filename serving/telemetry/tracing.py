"""OpenTelemetry spans ``decode -> queue -> infer`` of a recording, below the request's own, which BentoML makes.

They are recorded afterwards, and only for sampled requests (``EMOTIONS_TRACE_RATE``), so that the others cost nothing.
BentoML's ``tracing`` configuration (``BENTOML_CONFIG``) says where they are exported.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry import trace

_TRACER = trace.get_tracer("emotions.serving")


def use(provider: trace.TracerProvider) -> None:
    """Set the tracer provider, unless the process has one already."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)


def record(stages: Mapping[str, float], audio_sec: float) -> None:
    """Record the spans of a recording that was classified just now.

    Args:
        stages: seconds of each stage, in order; the last has just ended.
        audio_sec: seconds of audio.
    """
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return
    ends = time.time_ns()
    for name, seconds in reversed([*stages.items()]):
        starts = ends - int(seconds * 1e9)
        span = _TRACER.start_span(name, start_time=starts, attributes={"emotions.audio_sec": audio_sec})
        span.end(ends)
        ends = starts
