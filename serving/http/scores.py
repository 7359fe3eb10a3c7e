"""What a response says of a recording: of all of it, or of each channel."""

from __future__ import annotations

from collections.abc import Iterable

from emotions.runtime.prediction import Prediction, WindowPrediction
from serving.http.errors import Body
from serving.http.participants import Answer, Part, part_head
from serving.worker.engine import TimedPrediction


def answer_scores(answer: Answer) -> Body:
    """The scores of a recording; where its channels are split, those of each.

    Args:
        answer: its predictions.
    """
    if not answer.query.splits:
        return _scores(answer.classified[0].prediction)
    channels = [_channel(part, windows=answer.query.windows) for part in answer.parts]
    return {"channels": channels, "duration_sec": answer.duration_sec()}


def answer_details(answer: Answer) -> Body:
    """What was asked for besides: windows, and what the call comes to. Args as ``answer_scores``."""
    query, details = answer.query, Body()
    if query.windows and not query.splits:
        details["windows"] = _parts(answer.classified[0].prediction.windows)
    return {**details, "call": answer.call()} if query.calls else details


def _channel(part: Part, *, windows: bool) -> Body:
    if not isinstance(part.outcome, TimedPrediction):
        return part_head(part)
    prediction = part.outcome.prediction
    return {**part_head(part), **_scores(prediction), **({"windows": _parts(prediction.windows)} if windows else {})}


def _scores(prediction: Prediction) -> Body:
    scores: Body = {
        "label": prediction.label if prediction.probabilities else None,
        "confidence": prediction.confidence if prediction.probabilities else None,
        "probabilities": prediction.probabilities,
        **({"values": prediction.values} if prediction.values else {}),
        "duration_sec": prediction.duration_sec,
        "truncated": prediction.truncated,
        "warnings": [*prediction.warnings],
    }
    if prediction.segments:
        scores |= {"speech_sec": prediction.speech_sec, "segments": _parts(prediction.segments)}
    if unknowns := prediction.unknown:  # empty where the bundle has no thresholds
        first_target = next(iter(prediction.probabilities))
        scores |= {"unknown": unknowns.get(first_target, False), "unknowns": unknowns}
    return scores


def _parts(parts: Iterable[WindowPrediction]) -> list[Body]:
    return [
        {
            "start": part.start,
            "end": part.end,
            "probabilities": part.probabilities,
            **({"values": part.values} if part.values else {}),
            **({} if part.level_dbfs is None else {"level_dbfs": part.level_dbfs}),
        }
        for part in parts
    ]
