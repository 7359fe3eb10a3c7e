"""What a response says of recordings: of all of one, or of each channel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from emotions.runtime.prediction import Prediction, WindowPrediction
from serving.http.errors import Body, RequestError, error_body
from serving.http.participants import Answer, Part
from serving.worker.engine import Engine, TimedPrediction


def prediction_body(answer: Answer, engine: Engine, request_id: str, total_sec: float) -> Body:
    """The response to one recording.

    Args:
        answer: its predictions.
        engine: what made them.
        request_id: id of the request.
        total_sec: seconds since the request arrived.
    """
    return {
        **_answer_scores(answer),
        "timing_ms": {**_stages(answer), "total": _ms(total_sec)},
        "usage": _usage([answer]),
        "bundle": engine.predictor.bundle.id,
        "request_id": request_id,
        **_answer_details(answer),
    }


def batch_body(items: list[Answer | RequestError], engine: Engine, request_id: str, total_sec: float) -> Body:
    """The response to several recordings, in their order: a prediction or an error each. As ``prediction_body``."""

    def result(item: Answer | RequestError) -> Body:
        if isinstance(item, RequestError):
            return {"error": {"status": item.status, **error_body(item)}}
        return {**_answer_scores(item), "timing_ms": _stages(item), "usage": _usage([item]), **_answer_details(item)}

    return {
        "results": [{"index": index, **result(item)} for index, item in enumerate(items)],
        "errors": sum(isinstance(item, RequestError) for item in items),
        "timing_ms": {"total": _ms(total_sec)},
        "usage": _usage([item for item in items if isinstance(item, Answer)]),
        "bundle": engine.predictor.bundle.id,
        "request_id": request_id,
    }


def log_fields(answer: Answer) -> dict[str, float]:
    """The figures of a recording for the access log."""
    stages = {f"{stage}_ms": value for stage, value in _stages(answer).items()}
    return {"audio_sec": round(sum(each.prediction.duration_sec for each in answer.classified), 3), **stages}


def _answer_scores(answer: Answer) -> Body:
    """The scores of a recording; where its channels are split, those of each."""
    if not answer.query.splits:
        return _scores(answer.classified[0].prediction)
    channels = [_channel(part, windows=answer.query.windows) for part in answer.parts]
    return {"channels": channels, "duration_sec": answer.duration_sec()}


def _answer_details(answer: Answer) -> Body:
    """What was asked for besides: windows, and what the call comes to."""
    query, details = answer.query, Body()
    if query.windows and not query.splits:
        details["windows"] = _parts(answer.classified[0].prediction.windows)
    return {**details, "call": answer.call()} if query.calls else details


def _channel(part: Part, *, windows: bool) -> Body:
    if not isinstance(part.outcome, TimedPrediction):
        return _part_head(part)
    prediction = part.outcome.prediction
    return {**_part_head(part), **_scores(prediction), **({"windows": _parts(prediction.windows)} if windows else {})}


def _part_head(part: Part) -> Body:
    """Who a part is, and its error if it has one."""
    head: Body = {"channel": part.channel, "speaker": part.speaker}
    if isinstance(part.outcome, RequestError):
        head["error"] = {"status": part.outcome.status, **error_body(part.outcome)}
    return head


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


def _usage(answers: Sequence[Answer]) -> Body:
    """What answers cost: seconds of audio that were classified, of all channels, and milliseconds spent on them.

    Waiting is no cost; the model's time is that of the batches, which recordings may have shared.
    """
    stages = [answer.stages for answer in answers]
    classified = [each for answer in answers for each in answer.classified]
    return {
        "audio_sec": round(sum(each.prediction.duration_sec for each in classified), 3),
        "processing_ms": _ms(sum(each["decode"] + each["inference"] for each in stages)),
    }


def _stages(answer: Answer) -> Body:
    return {stage: _ms(seconds) for stage, seconds in answer.stages.items()}


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
