"""What a client is told of a stream: measurements, and in the end its segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.speech.segmenter import SpeechSpan
from emotions.audio.speech.windows import Speech
from emotions.audio.windows import FloatArray, Windows
from emotions.bundle.manifest import EMBEDDING
from emotions.bundle.reference.observation import Observation
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities
from emotions.runtime.prediction import Prediction, WindowPrediction
from serving.http.errors import Body
from serving.http.stream.messages import StreamConfig
from serving.http.stream.track import Stopped, Trigger, Utterance

_DIGITS = 6
"""Of a probability: an hour of windows is one message."""
_SAMPLES_A_MS = SAMPLE_RATE / 1000
_NO_SAMPLES: FloatArray = np.zeros((0, 0), np.float32)


@dataclass
class _Answered:
    """The windows of an utterance that were classified."""

    starts: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    answers: list[Probabilities] = field(default_factory=list)

    def joined(self) -> tuple[Windows, Probabilities]:
        windows = Windows(_NO_SAMPLES, np.array(self.lengths, np.int64), np.array(self.starts, np.int64))
        return windows, {target: np.concatenate([each[target] for each in self.answers]) for target in self.answers[0]}

    def last(self) -> tuple[Windows, Probabilities]:
        windows = Windows(_NO_SAMPLES, np.array(self.lengths[-1:], np.int64), np.array(self.starts[-1:], np.int64))
        return windows, {target: values[-1:] for target, values in self.answers[-1].items()}


class Results:
    """The answers of the model to the windows of one stream.

    Args:
        predictor: the model.
        config: of the stream.
    """

    def __init__(self, predictor: Predictor, config: StreamConfig) -> None:
        self._predictor, self._vad = predictor, config.vad
        manifest = predictor.manifest
        wanted = config.targets or [*manifest.labels, *manifest.dimensions]
        self._labelled = [target for target in manifest.labels if target in wanted]
        self._dimensions = [target for target in manifest.dimensions if target in wanted]
        self._answered: defaultdict[Utterance, _Answered] = defaultdict(_Answered)
        self._segments: list[Body] = []

    def add(self, utterance: Utterance, windows: Windows, answers: Probabilities) -> None:
        """Take the answers to windows that were cut of an utterance, in their order."""
        kept = self._answered[utterance]
        kept.starts += windows.starts.tolist()
        kept.lengths += windows.lengths.tolist()
        kept.answers.append(answers)

    def last(self, utterance: Utterance) -> tuple[Windows, Probabilities]:
        """The last window that was cut of an utterance, and the answer to it."""
        return self._answered[utterance].last()

    def measurement(self, trigger: Trigger, channel: int, window: Windows, answer: Probabilities) -> Body:
        """The message of one window.

        Args:
            trigger: why it was due.
            channel: number of the channel.
            window: it alone.
            answer: target -> (1, classes).
        """
        prediction = self._predictor.prediction(window, answer)
        start, length = int(window.starts[0]), int(window.lengths[0])
        return {
            "type": "measurement",
            "trigger": trigger,
            "channel": channel,
            **_place(start, start + length),
            **self._scores(prediction),
            **self._unknown(prediction),
        }

    def close(self, stopped: Stopped) -> Observation | None:
        """Make the segments of an utterance that has ended: itself where it is speech, else its windows.

        Returns:
            What is compared with a reference of clips: an utterance of speech. Windows of a stream are no clips.
        """
        answered = self._answered.pop(stopped.utterance)
        if not stopped.audible:
            return None
        windows, answers = answered.joined()
        channel, begin = stopped.utterance.channel, stopped.utterance.begin
        if self._vad:
            speech = Speech([SpeechSpan(begin, stopped.end)], stopped.end)
            parts = self._predictor.prediction(windows, answers, speech=speech).segments
            edges = [(begin, stopped.end)]
        else:
            parts = self._predictor.prediction(windows, answers).windows
            ends = (windows.starts + windows.lengths).tolist()
            edges = [*zip(windows.starts.tolist(), ends, strict=True)]
        for (start, end), part in zip(edges, parts, strict=True):
            self._segments.append({"channel": channel, **_place(start, end), **self._scores(part)})
        return _observed(parts[0], answers, stopped) if self._vad else None

    def closed(self, audio_ms: float) -> Body:
        """The last message.

        Args:
            audio_ms: milliseconds of audio that came.
        """
        segments = sorted(self._segments, key=itemgetter("audio_start_ms", "channel"))
        return {"type": "session.closed", "audio_ms": audio_ms, "segments": segments}

    def _scores(self, part: Prediction | WindowPrediction) -> Body:
        probabilities = {target: part.probabilities[target] for target in self._labelled}
        first = next(iter(probabilities.values()), None)
        label = None if first is None else max(first, key=first.__getitem__)
        values = {target: _rounded(part.values[target]) for target in self._dimensions}
        return {
            "label": label,
            "confidence": None if first is None or label is None else round(first[label], _DIGITS),
            "probabilities": {target: _rounded(each) for target, each in probabilities.items()},
            **({"values": values} if values else {}),
        }

    def _unknown(self, prediction: Prediction) -> Body:
        unknowns = {target: said for target, said in prediction.unknown.items() if target in self._labelled}
        return {"unknown": unknowns.get(self._labelled[0], False), "unknowns": unknowns} if unknowns else {}


def _observed(part: WindowPrediction, answers: Probabilities, stopped: Stopped) -> Observation:
    """An utterance, without its duration: the pauses before and behind speech, which a clip has, are cut off."""
    embedding = answers.get(EMBEDDING)
    mean = None if embedding is None else embedding.mean(axis=0)
    return Observation(part.probabilities, part.values, signal=stopped.signal, embedding=mean)


def _place(start: int, end: int) -> Body:
    return {"audio_start_ms": start / _SAMPLES_A_MS, "audio_end_ms": end / _SAMPLES_A_MS}


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: round(score, _DIGITS) for name, score in scores.items()}
