"""Folders by format: files a second of FLAC, MP3 and M4A beside WAV's, the same recordings, decoding included.

python -m benchmarks.serving formats --bundle bundles/mine --data recordings
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median

import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.decoders.read import read
from emotions.audio.windows import FloatArray
from emotions.files.atomic import scratch_folder
from emotions.folder.predict_files import open_parallel
from emotions.inputs.discovery import find_files
from serving.benchmark.driver.clips import evenly_spread
from serving.benchmark.driver.interleaved import interleaved, seconds_of
from serving.benchmark.layers.layers import predict_to_csv
from training.data.waveforms.distortions import encoded

WAV = "wav"
_CODECS = {"flac": ("flac", "flac"), "mp3": ("mp3", "libmp3lame"), "m4a": ("ipod", "aac")}
"""Ending -> muxer and encoder of FFmpeg."""


def to_wav(bundle: Path, data: Path, files: int, rounds: int) -> Mapping[str, tuple[float, float, float]]:
    """Files a second of each format by those of WAV: median, lowest and highest ratio of the rounds.

    Args:
        bundle: the bundle.
        data: folder of recordings.
        files: how many of them, evenly spread.
        rounds: how often each format is classified.
    """
    with scratch_folder("emotions-benchmark") as scratch:
        for number, file in enumerate(evenly_spread(find_files([data]).files, files)):
            _write(scratch, f"{number:06}", read(file.path).waveform)
        folder = open_parallel(bundle, device="cpu")
        runs = {
            ending: seconds_of(
                partial(predict_to_csv, *folder, find_files([scratch / ending]).files, scratch / f"{ending}.csv")
            )
            for ending in (WAV, *_CODECS)
        }
        seconds = interleaved(runs, rounds)
    ratios = {ending: [wav / own for wav, own in zip(seconds[WAV], seconds[ending], strict=True)] for ending in _CODECS}
    return {ending: (median(each), min(each), max(each)) for ending, each in ratios.items()}


def _write(folder: Path, name: str, waveform: FloatArray) -> None:
    """A recording in every format."""
    for ending in (WAV, *_CODECS):
        path = folder / ending / f"{name}.{ending}"
        path.parent.mkdir(exist_ok=True)
        if ending == WAV:
            soundfile.write(path, waveform, SAMPLE_RATE, subtype="PCM_16")
        else:
            path.write_bytes(encoded(waveform, *_CODECS[ending], SAMPLE_RATE))
