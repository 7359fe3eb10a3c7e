"""The Python interface: ``emotions.load("bundle").predict("clip.wav")``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from emotions.audio import decode
from emotions.audio.decoders.read import read
from emotions.audio.speech.windows import Segments
from emotions.audio.windows import FloatArray
from emotions.bundle.bundle import read_bundle
from emotions.calls.call import CallSummary, Participant, call_summary
from emotions.calls.channels import Channels, by_channel, channels_in, check_speakers, one_channel, participants
from emotions.errors import AudioError, BadAudio, IncompleteAudio, NoChannel
from emotions.folder.predict_files import predict_files
from emotions.folder.result import FileResult
from emotions.inputs.discovery import find_files
from emotions.runtime.prediction import ClipInput, Model, Prediction
from emotions.runtime.session import DeviceChoice, open_session


class Predictor(Model):
    """A loaded classifier. Made by ``load``; safe to use from several threads."""

    def __repr__(self) -> str:
        targets = ", ".join(f"{name}: {'|'.join(labels)}" for name, labels in self.manifest.targets.items())
        where = f"{self.session.variant} on {self.session.device}"
        return f"<Predictor {self.bundle.id} ({where}; window {self.window_sec:g} s; {targets})>"

    def predict(
        self,
        clip: ClipInput,
        *,
        strict: bool = False,
        segments: Segments = "windows",
        channels: Channels = "mix",
    ) -> Prediction:
        """Classify one clip.

        Args:
            clip: a path, a file's bytes, a mono waveform (samples,) at 16 kHz, or (waveform, samples per second).
            strict: refuse a recording of which a part is missing, rather than classify what there is and say so in
                the prediction's ``warnings``.
            segments: ``speech`` classifies its speech alone, as Silero VAD finds it.
            channels: ``mix`` is the mean of all, ``first`` the first, a number that one, from 1.

        Raises:
            AudioError: the recording cannot be used, or has no such channel.
            ConfigError: the package of Silero VAD is not installed, or ``channels`` is ``split``.
            OSError: the file cannot be read.

        Example:
            >>> predictor = emotions.load("bundles/demo")  # doctest: +SKIP
            >>> predictor.predict("clip.wav").probabilities  # doctest: +SKIP
            {'emotion': {'joy': 0.83, 'anger': 0.17}}
        """
        waveform, flaws = to_waveform(clip, strict=strict, channel=one_channel(channels))
        windows, speech = self.split_into(segments, waveform)
        return self.prediction(windows, self.session.run(windows.samples, windows.lengths), flaws, speech)

    def predict_call(
        self,
        clip: ClipInput,
        *,
        strict: bool = False,
        channels: Channels = "split",
        speakers: Sequence[str] = (),
    ) -> CallSummary:
        """Sum up what each participant of a call does: the speech on each channel, as Silero VAD finds it.

        Args:
            clip: as ``predict``.
            strict: as ``predict``.
            channels: ``split`` takes each channel for a participant; else as ``predict``, and there is one.
            speakers: names of channels 1, 2 and so on.

        Raises:
            AudioError: the recording cannot be used, or has no speech at all.
            ConfigError: the package of Silero VAD is not installed, or the names cannot be told apart.
            OSError: the file cannot be read.

        Example:
            >>> call = predictor.predict_call("call.wav", speakers=("agent", "customer"))  # doctest: +SKIP
            >>> call.participants[0].talk_share, call.interruptions  # doctest: +SKIP
            (0.62, 3)
        """
        names = check_speakers(speakers)
        people = [("", one_channel(channels))] if channels != "split" else _people(clip, names)
        found: list[Participant] = []
        for speaker, channel in people:
            try:
                whole = self.predict(clip, strict=strict, segments="speech", channels=channel or "mix")
                found.append(Participant(speaker, channel, whole))
            except BadAudio as error:
                found.append(Participant(speaker, channel, None, f"{error.code}: {error}"))
                failure = error
        if not any(each.prediction for each in found):
            raise failure
        return call_summary(found)

    def predict_folder(
        self,
        *inputs: Path | str,
        strict: bool = False,
        segments: Segments = "windows",
        channels: Channels = "mix",
        speakers: Sequence[str] = (),
    ) -> Iterator[FileResult]:
        """Classify every recording below a folder, in the order of their names; one result a file, errors included.

        Args:
            inputs: folders, files, patterns, tables of segments or URLs, as ``emotions predict`` takes them.
            strict: a recording of which a part is missing is an error.
            segments: as ``predict``.
            channels: as ``predict``, or ``split``: a result for each channel, which says ``channel`` and ``speaker``.
            speakers: names of channels 1, 2 and so on, for ``split``.

        Raises:
            DataError: an input does not exist.
            ConfigError: the names cannot be told apart.

        Example:
            >>> for result in predictor.predict_folder("recordings"):  # doctest: +SKIP
            ...     print(result.name, result.error or result.prediction.label)
            a.wav joy
            b.txt.wav is not audio that we read (WAV, Wave64, AIFF, ...)
        """
        files = by_channel(find_files(inputs).files, channels, check_speakers(speakers))
        return predict_files(self, files, strict=strict, segments=segments)


def _people(clip: ClipInput, speakers: Sequence[str]) -> list[tuple[str, int | None]]:
    """Name and channel of each participant of a recording; a waveform has one channel."""
    count = channels_in(clip) if isinstance(clip, (str, Path, bytes)) else 1
    return [(speaker, channel) for channel, speaker in participants(count, speakers)]


def load(
    bundle: Path | str,
    *,
    device: DeviceChoice = "auto",
    variant: str | None = None,
    threads: int | None = None,
    device_id: int = 0,
    embedding: bool = False,
) -> Predictor:
    """Open a bundle, check its files, load its model and replay the probe.

    Args:
        bundle: the bundle's folder.
        device: ``auto`` takes a usable GPU, else the CPU.
        variant: form of the model, ``fp32``, ``fp16`` or ``int8``; by default, or for ``auto``, the one that suits the
            device: fp16 on a GPU, int8 on a CPU where the bundle has it, else fp32.
        threads: CPU threads of one run; by default the cores of this process.
        device_id: which GPU.
        embedding: the results of a folder hold each window's embedding, too, where the bundle answers one.

    Raises:
        BundleError: the bundle is missing, altered or broken, or does not answer as it did at export.
        DeviceError: the device asked for cannot be used.

    Example:
        >>> import emotions
        >>> emotions.load("bundles/demo").predict("clip.wav").label  # doctest: +SKIP
        'joy'
    """
    opened = read_bundle(bundle)
    session = open_session(
        opened, device=device, variant=variant, threads=threads, device_id=device_id, embedding=embedding
    )
    return Predictor(opened, session)


def to_waveform(
    clip: ClipInput, *, strict: bool = False, channel: int | None = None
) -> tuple[FloatArray, tuple[IncompleteAudio, ...]]:
    """Any form of a clip to a waveform (samples,) at 16 kHz that is fit to be classified, and what is missing in it.

    Args:
        clip: as ``Predictor.predict`` takes it.
        strict: refuse a recording of which a part is missing.
        channel: the one to read, from 1; None for the mean of all. A waveform has one.

    Raises:
        AudioError, OSError: as ``decoders.read``.
    """
    if isinstance(clip, (str, Path, bytes)):
        recording = read(clip, decode.ReadOptions(strict=strict, channel=channel))
        return decode.checked(recording.waveform), recording.flaws
    samples, rate = clip if isinstance(clip, tuple) else (clip, decode.SAMPLE_RATE)
    if not isinstance(samples, np.ndarray):
        raise AudioError(f"a clip is a path, bytes, an array or (array, rate), got {type(samples).__name__}")
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError(f"a waveform is a (samples,) array of floats, got {samples.shape} of {samples.dtype}")
    if channel is not None and channel > 1:
        raise NoChannel(f"a waveform has one channel, so there is none of the number {channel}")
    if rate < 1:
        raise AudioError(f"samples per second must be positive, got {rate}")
    waveform = np.ascontiguousarray(samples, np.float32)
    return decode.checked(decode.to_model_rate(waveform, rate)), ()
