"""The speech of one stream while it comes: samples in parts of any size to segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotions.audio.speech.network import FRAME, SpeechNetwork, initial_state
from emotions.audio.speech.segmenter import Segmenter, SegmentOptions, SpeechSpan
from emotions.audio.windows import FloatArray


class SpeechDetector:
    """The speech of one stream at 16 kHz. Give it all samples in order, then ``finish``.

    Args:
        network: shared by all streams.
        options: what counts as a segment.

    Attributes:
        samples: that it was given.
        segmenter: what of them is speech.
    """

    def __init__(self, network: SpeechNetwork, options: SegmentOptions = SegmentOptions()) -> None:  # noqa: B008
        self.samples = 0
        self.segmenter = Segmenter(options)
        self._network = network
        self._state = initial_state()
        self._rest = np.zeros(0, np.float32)

    def push(self, samples: FloatArray) -> list[SpeechSpan]:
        """Take the next samples (samples,) float32, and give the segments that are certain by them."""
        frames = self._framed(samples)
        if not len(frames):
            return []
        probabilities, self._state = self._network.run(frames, self._state)
        return self.segmenter.push(probabilities.tolist())

    def finish(self) -> list[SpeechSpan]:
        """The last segments: the last frame is filled up with zeros."""
        last = np.pad(self._rest, (0, -len(self._rest) % FRAME)).reshape(-1, FRAME)
        probabilities, self._state = self._network.run(last, self._state)
        self._rest = self._rest[:0]
        found = self.segmenter.push(probabilities.tolist())
        return [*found, *self.segmenter.finish(self.samples)]

    def _framed(self, samples: FloatArray) -> FloatArray:
        """The whole frames (frames, 512) of what was left over and what comes."""
        self.samples += len(samples)
        held = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        whole = len(held) // FRAME * FRAME
        self._rest = held[whole:].copy()
        return held[:whole].reshape(-1, FRAME)

    @staticmethod
    def push_all(
        network: SpeechNetwork, detectors: Sequence[SpeechDetector], samples: Sequence[FloatArray]
    ) -> list[list[SpeechSpan]]:
        """As ``push`` of several streams, whose frames share the batches of the network.

        Args:
            network: of all of them.
            detectors: one a stream.
            samples: the next ones of each, as many as there are.
        """
        frames = [detector._framed(part) for detector, part in zip(detectors, samples, strict=True)]
        found: list[list[SpeechSpan]] = [[] for _ in detectors]
        for at in range(max(map(len, frames), default=0)):
            live = [number for number, each in enumerate(frames) if at < len(each)]
            states = [detectors[number]._state for number in live]
            probabilities, states = network.step(np.stack([frames[number][at] for number in live]), states)
            for number, probability, state in zip(live, probabilities.tolist(), states, strict=True):
                detectors[number]._state = state
                found[number] += detectors[number].segmenter.push([probability])
        return found
