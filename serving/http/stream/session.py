"""The audio of one stream, in parts of any size, to the events of its channels. No input, no output, no model."""

from __future__ import annotations

from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.network import SpeechNetwork
from emotions.audio.speech.segmenter import SpeechSpan
from emotions.audio.windows import FloatArray, WindowSpec
from serving.http.stream.messages import StreamConfig
from serving.http.stream.pcm import PcmReader
from serving.http.stream.track import Event, Track


class Session:
    """One stream. Whatever parts its audio comes in, its segments are those of the whole.

    Args:
        config: how its audio is written.
        spec: window and hop of the model.
        network: finds speech; None where that is not wanted.
        measures: whether what utterances sound like is measured.
    """

    def __init__(
        self, config: StreamConfig, spec: WindowSpec, network: SpeechNetwork | None, *, measures: bool = False
    ) -> None:
        self._reader = PcmReader(config)
        self._tracks = [
            Track(channel, spec, config.interval_ms, network, measures=measures) for channel in range(config.channels)
        ]

    @property
    def detectors(self) -> list[SpeechDetector]:
        """Those of its channels, in order; none where speech is not looked for."""
        return [track.detector for track in self._tracks if track.detector is not None]

    def read(self, data: bytes | None) -> list[FloatArray]:
        """The samples (samples,) of each channel that the next bytes, or the end where there are none, make known.

        Raises:
            StreamError: as ``PcmReader.read``.
        """
        return self._reader.finish() if data is None else self._reader.read(data)

    def take(self, samples: list[FloatArray], closed: list[list[SpeechSpan]]) -> list[Event]:
        """What the samples that were read bring about.

        Args:
            samples: of each channel.
            closed: what each of ``detectors`` gave for them.
        """
        spans = closed or [[] for _ in samples]
        return [event for each in zip(self._tracks, samples, spans, strict=True) for event in each[0].take(*each[1:])]

    def measure(self) -> list[Event]:
        """A measurement of each channel in which an utterance goes on."""
        return [event for track in self._tracks for event in track.measure()]

    def finish(self) -> list[Event]:
        """The end of the stream, once all samples were taken."""
        return [event for track in self._tracks for event in track.finish()]
