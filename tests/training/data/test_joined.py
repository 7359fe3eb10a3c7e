from __future__ import annotations

import json
from pathlib import Path

import pytest

from emotions.errors import DataError
from tests.conftest import WriteWav
from training.config.dataset import DatasetConfig
from training.data.clips import read_clips
from training.data.joined import Corpus, joined
from training.data.waveforms.waveform_cache import WaveformCache


def corpus(folder: Path, write_wav: WriteWav, labels: str, target: str = "emotion", **dataset: object) -> Corpus:
    """A clip of each of two speakers, 01 and 02, for each of the labels."""
    rows = {}
    for label in labels.split():
        for speaker in ("01", "02"):
            name = f"{speaker}_{label}_1.wav"
            write_wav(folder / name, [0.1, -0.1] * 4_000)
            rows[name] = {target: label, "speaker": speaker, "said": f"the {label} one"}
    (folder / "annotations.json").write_text(json.dumps(rows))
    config = DatasetConfig.model_validate({"path": str(folder), "targets": [target], **dataset})
    table = read_clips(config, folder)
    return Corpus(config, table, WaveformCache().prepare(table.clips))


def test_common_labels_get_one_wording_and_speakers_stay_apart(tmp_path: Path, write_wav: WriteWav) -> None:
    first = corpus(tmp_path / "ours", write_wav, "anger calm joy", license="CC0")
    second = corpus(tmp_path / "x" / "ours", write_wav, "ang happy bored", sentence={"column": "said"})
    together = joined([first, second])
    assert together.names == ("ours", "ours (2)")
    assert together.target == "emotion"
    assert together.table.counts("emotion") == {"anger": 4, "joy": 4}
    assert together.words[1] == {"ang": "anger", "happy": "joy"}
    assert together.left_out == ({"calm": 2}, {"bored": 2})
    assert {clip.speaker for clip in together.table.clips} == {"ours/01", "ours/02", "ours (2)/01", "ours (2)/02"}
    assert len({clip.identity for clip in together.table.clips}) == len(together.facts) == 8
    assert together.clips([1]).tolist() == [4, 5, 6, 7]
    assert {clip.columns["corpus"] for clip in together.table.clips} == {*together.names}
    assert together.table.clips[4].columns["sentence"] == "the ang one"
    assert "sentence" not in together.table.clips[0].columns
    assert together.table.license == "CC0"


@pytest.mark.parametrize(
    ("second", "target", "said"),
    [
        ("calm bored", "emotion", r"no label in common, at least two .* \(one: 'anger', 'joy'; two: 'bored', 'calm'\)"),
        ("happy bored", "emotion", "only 'joy' in common, at least two labels are needed"),
        ("joy happy anger", "emotion", "two: 'happy', 'joy' are taken for one label: rename one of them"),
        ("anger joy", "mood", r"no target of labels in common \(one: emotion; two: mood\)"),
    ],
)
def test_corpora_that_share_too_little_are_refused(
    second: str, target: str, said: str, tmp_path: Path, write_wav: WriteWav
) -> None:
    one = corpus(tmp_path / "one", write_wav, "anger joy")
    with pytest.raises(DataError, match=said):
        joined([one, corpus(tmp_path / "two", write_wav, second, target)])
