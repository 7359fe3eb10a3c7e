"""What a report says of live streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def stream_notes(live: Mapping[str, Any]) -> Iterator[str]:
    """What the scenario ``stream`` found, a line a question.

    Args:
        live: its figures.
    """

    def told(name: str) -> str:
        return ", ".join(f"{key} {value:.0f}" for key, value in live[name].items()) or "none"

    alone, beside = live["uploads_alone_ms"]["p99"], live["uploads_beside_ms"]["p99"]
    what = "of speech" if live["vad"] else "of all audio (no speech was found in it)"
    yield (
        f"stream: {live['streams']} streams in real time for {live['seconds']:g} s beside {live['uploads_per_sec']:g} "
        f"uploads/s; {live['measurements']} measurements {what}, lag in ms: {told('lag_ms')}; {live['behind']} streams "
        f"fell behind, {live['errors']} failed; slip p99 {live['slip_p99_ms']:.1f} ms"
    )
    if live["vad"]:
        yield (
            f"stream: ms from the start of speech to its first measurement: {told('started_to_measurement_ms')}; "
            f"from its end to the last: {told('stopped_to_measurement_ms')}"
        )
    yield (
        f"stream: uploads' p99 {alone:.1f} ms alone, {beside:.1f} ms beside streams "
        f"({live['uploads_p99_ratio']:.2f} times), {live['uploads_lost']} lost; {live['server_cores']:.2f} cores, "
        f"{live['streams_per_core']:.0f} streams a core; memory {live['memory_growth']:+.1%}"
    )
    yield (
        f"stream: {live['fast_streams']} streams as fast as the service reads: {live['fast_audio_per_sec']:.0f} s of "
        f"audio a second, {live['fast_errors']} failed"
    )
