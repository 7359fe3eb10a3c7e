"""Who sounds like whom in a dataset: a picture, names that sound like one person, a guess at unknown speakers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.errors import plain
from emotions.files.atomic import write_bytes
from emotions.files.json_text import write_json
from emotions.runtime.cores import available_cores
from training.config.dataset import DatasetConfig
from training.data.clips import Clip, ClipTable, read_clips
from training.data.voices.comparison import Comparison, VoicePair, compare_voices
from training.data.voices.embeddings import clip_embeddings
from training.data.voices.guess import guess_speakers
from training.data.voices.names import main_labels, named_voices
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.usable import usable
from training.data.waveforms.waveform_cache import WaveformCache
from training.metrics.voice_matrix import MOST, draw_voices
from training.models.shelf.catalogue import RESEMBLYZER
from training.models.shelf.fetch import ready

PICTURE, FINDINGS, TABLE = "voices.png", "voices.json", "voices.csv"
"""Files that are written; the table only where speakers are guessed."""

_SHOWN = 20
_GUESS = "a guess that errs: of ten speakers of EmoDB it made ten groups, with an adjusted Rand index of 0.70"


@dataclass(frozen=True)
class VoiceReport:
    """What the voices of a dataset say.

    Attributes:
        voices: of the names, or of the guessed speakers.
        guessed: whether no clip names its speaker, so that speakers are guessed.
        folder: where picture, findings and table are.
    """

    voices: Comparison
    guessed: bool
    folder: Path

    def __str__(self) -> str:
        rows = [("voices", _counted(self.voices))]
        if self.guessed:
            rows += [("", _GUESS), ("table", f"{self.folder / TABLE}: set dataset.split.by to 'voice' to use it")]
        else:
            rows += [("one person?", _told(pair)) for pair in self.voices.pairs[:_SHOWN]]
            more = len(self.voices.pairs) - _SHOWN
            rows += [("", f"and {more} more pairs")] if more > 0 else []
            rows += [] if self.voices.pairs else [("one person?", "no two names sound like it")]
        rows += [("picture", str(self.folder / PICTURE)), ("findings", str(self.folder / FINDINGS))]
        return "\n".join(f"  {name:<12}  {text}".rstrip() for name, text in rows)


def check_voices(config: DatasetConfig, root: Path, folder: Path) -> VoiceReport | None:
    """Compare the voices of a dataset, or guess who speaks where no clip says it, and write what was found.

    Args:
        config: the ``dataset`` block.
        root: folder that a relative ``config.path`` starts from.
        folder: where to write.

    Returns:
        The report; None where there is one speaker alone.

    Raises:
        ConfigError: the speaker encoder is not here and cannot be fetched.
        DataError: the dataset cannot be read.
    """
    encoder, cache = ready(RESEMBLYZER), WaveformCache()
    table = read_clips(config, root)
    table, facts = usable(table, cache.prepare(table.clips, available_cores()))
    guessed = not any(clip.speaker for clip in table.clips)
    voices = _guessed(table, facts, cache, encoder, folder) if guessed else named_voices(table, facts, cache, encoder)
    if voices is None:
        return None
    _write(folder, voices, guessed=guessed)
    return VoiceReport(voices, guessed, folder)


def _guessed(
    table: ClipTable, facts: Sequence[ClipInfo], cache: WaveformCache, encoder: Path, folder: Path
) -> Comparison:
    """The voices of guessed speakers; the table of clips with them is written."""
    embeddings: FloatArray = clip_embeddings(table.clips, facts, cache, encoder)
    labels = main_labels(table.clips, table.targets)
    speakers = guess_speakers(embeddings, labels)
    width = len(str(int(speakers.max()) + 1))
    names = [f"voice_{speaker + 1:0{width}}" for speaker in speakers]
    write_bytes(folder / TABLE, _table(table.clips, table.targets, names).encode())
    return compare_voices(embeddings, names, labels)


def _table(clips: Sequence[Clip], targets: Sequence[str], names: Sequence[str]) -> str:
    """The dataset as a table, with a column ``voice``."""
    own = dict.fromkeys(name for clip in clips for name in clip.columns)
    columns = list(dict.fromkeys(["file", "start", "end", *targets, *own, "voice"]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore")
    writer.writeheader()
    for clip, name in zip(clips, names, strict=True):
        times = {key: "" if value is None else repr(value) for key, value in (("start", clip.start), ("end", clip.end))}
        writer.writerow({**clip.columns, "file": str(clip.file), **times, **clip.labels, "voice": name})
    return text.getvalue()


def _write(folder: Path, voices: Comparison, *, guessed: bool) -> None:
    shown = np.argsort(-voices.clips, kind="stable")[:MOST]
    # Pairs that are told are shown before names that have more clips.
    told = [voices.names.index(name) for pair in voices.pairs for name in (pair.first, pair.second)]
    shown = np.sort(np.array(list(dict.fromkeys([*([] if guessed else told), *shown.tolist()]))[:MOST]))
    names = [plain(voices.names[index]) for index in shown]
    pairs = [] if guessed else [(plain(pair.first), plain(pair.second)) for pair in voices.pairs]
    draw_voices(folder / PICTURE, names, voices.distances(shown)[:, shown], pairs)
    findings = {
        "encoder": RESEMBLYZER.name,
        "guessed": guessed,
        "clips": {name: int(count) for name, count in zip(voices.names, voices.clips, strict=True)},
        "pairs": [] if guessed else [asdict(pair) for pair in voices.pairs],
    }
    write_json(folder / FINDINGS, findings)


def _counted(voices: Comparison) -> str:
    sizes = Counter(dict(zip(voices.names, map(int, voices.clips), strict=True))).most_common(_SHOWN)
    more = len(voices.names) - len(sizes)
    named = ", ".join(f"{plain(name)} ({count})" for name, count in sizes)
    return f"{len(voices.names)}: {named}{f' and {more} more' if more else ''}"


def _told(pair: VoicePair) -> str:
    return (
        f"{plain(pair.first)} ({pair.clips[0]} clips) and {plain(pair.second)} ({pair.clips[1]} clips): "
        f"{pair.sure} certain, distance {pair.distance:.2f}"
    )
