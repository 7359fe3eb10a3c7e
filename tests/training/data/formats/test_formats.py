"""Layouts of datasets that people have, from the files that their tools write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from emotions.cli import run
from emotions.errors import DataError
from tests.training.data.helpers import read
from training.config.dataset import SplitConfig
from training.data.clips import ClipTable
from training.data.split.splits import split_clips
from training.data.waveforms.waveform_cache import WaveformCache

ClipWav = Callable[..., Path]
SPEAKERS = "abcdef"
NAMES = [f"{speaker}_{emotion}.wav" for speaker in SPEAKERS for emotion in ("angry", "happy")]


def refused(path: Path, **keys: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **keys)
    return str(caught.value)


def held(table: ClipTable) -> list[tuple[str, str, str | None, str | None]]:
    return sorted((clip.name, clip.labels["emotion"], clip.speaker, clip.split) for clip in table.clips)


def fields(name: str) -> tuple[str, str]:
    speaker, emotion = Path(name).stem.split("_")
    return speaker, emotion


# --- audformat ---------------------------------------------------------------------------------------------------

HEADER = """
name: mine
source: internal
usage: unrestricted
splits:
  dev-set: {type: dev}
  train-set: {type: train}
schemes:
  emotion: {dtype: str, labels: [angry, happy]}
  speaker:
    dtype: str
    labels:
      a: {sex: female, age: 31}
      b: {sex: male}
  room: {dtype: str, labels: rooms}
tables:
  files:
    type: filewise
    columns: {speaker: {scheme_id: speaker}, room: {scheme_id: room}}
  emotion.train.gold_standard:
    type: segmented
    split_id: train-set
    columns: {emotion: {scheme_id: emotion, rater_id: gold}}
  emotion.dev.gold_standard:
    type: segmented
    split_id: dev-set
    columns: {emotion: {scheme_id: emotion, rater_id: gold}}
  emotion:
    type: segmented
    columns: {emotion: {scheme_id: emotion}}
misc_tables:
  rooms: {levels: {room: str}, columns: {size: {scheme_id: size}}}
"""


@pytest.fixture
def database(tmp_path: Path, clip_wav: ClipWav) -> Path:
    """A database as audformat saves it, a table in CSV and another in Parquet."""
    for name in "abc":
        clip_wav(f"audio/{name}.wav", 2.0)
    (tmp_path / "db.yaml").write_text(HEADER)
    (tmp_path / "db.files.csv").write_text("file,speaker,room\naudio/a.wav,a,r1\naudio/b.wav,b,r2\naudio/c.wav,c,r1\n")
    (tmp_path / "db.rooms.csv").write_text("room,size\nr1,small\nr2,large\n")
    (tmp_path / "db.emotion.train.gold_standard.csv").write_text(
        "file,start,end,emotion\n"
        "audio/a.wav,0 days 00:00:00,0 days 00:00:01.500000,angry\n"
        "audio/a.wav,0 days 00:00:01.500000,NaT,happy\n"
        "audio/b.wav,0 days,0 days 00:00:01,happy\n".replace("0 days,", "0 days 00:00:00,")
    )
    frame = pandas.DataFrame({"file": ["audio/c.wav", "audio/c.wav"], "emotion": ["angry", "happy"]})
    frame["start"] = pandas.to_timedelta([0.0, 1.0], unit="s")
    frame["end"] = pandas.to_timedelta([1.0, None], unit="s")
    frame.to_parquet(tmp_path / "db.emotion.dev.gold_standard.parquet")
    (tmp_path / "db.emotion.pkl").write_bytes(b"never opened")
    return tmp_path


def test_audformat(database: Path) -> None:
    table = read(database)
    assert [(clip.name, clip.start, clip.end, clip.labels["emotion"], clip.split) for clip in table.clips] == [
        ("audio/a.wav", 0.0, 1.5, "angry", "train"),
        ("audio/a.wav", 1.5, None, "happy", "train"),
        ("audio/b.wav", 0.0, 1.0, "happy", "train"),
        ("audio/c.wav", 0.0, 1.0, "angry", "dev"),
        ("audio/c.wav", 1.0, None, "happy", "dev"),
    ]
    assert [clip.speaker for clip in table.clips] == ["a", "a", "b", "c", "c"]
    assert dict(table.clips[0].columns) | {} == {
        "speaker": "a",
        "room": "r1",
        "sex": "female",
        "age": "31",
        "size": "small",
    }
    assert read(database / "db.yaml", format="audformat") == table
    assert split_clips(table, SplitConfig(), 0).protocol.startswith("predefined split (speaker-disjoint")


def test_tables_of_audformat_by_name_and_pickles_are_never_opened(database: Path) -> None:
    assert len(read(database, tables=["emotion.train.gold_standard"])) == 3
    assert "is a pickle alone, which is never opened" in refused(database, tables=["emotion"])
    assert "has no table 'x'; its tables: files, emotion" in refused(database, tables=["x"])
    assert "has a column 'mood' to learn; the columns are emotion, room, speaker" in refused(database, targets=["mood"])


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("tables: [", "is not YAML"),
        ("- a", "is not the header of an audformat database"),
        ("name: x", "is not the header of an audformat database"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("tables: {a: {type: filewise, columns: {emotion: {}}}}", "the table 'a' has no file db.a.parquet or db.a.csv"),
        ("tables: {a: {columns: {emotion: {}}}, b: {columns: {emotion: {}}}}", 'dataset.tables, as ["a"]'),
        ("tables: {../../a: {columns: {emotion: {}}}}", "'../../a' is no name of a table"),
        ("tables: {1: {columns: {emotion: {}, 2: {}}}}", "the table '1' has no file db.1.parquet"),
        ("tables: {a: 3}", "no table has a column 'emotion' or 'state' to learn; the columns are none"),
    ],
)
def test_headers_that_cannot_be_used(tmp_path: Path, header: str, said: str) -> None:
    (tmp_path / "db.yaml").write_text(header)
    assert said in refused(tmp_path)


# --- Hugging Face audiofolder ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize("where", ["each part", "root"])
def test_audiofolder(tmp_path: Path, clip_wav: ClipWav, ending: str, where: str) -> None:
    parts = {"train": NAMES[:8], "validation": NAMES[8:10], "test": NAMES[10:]}
    rows = []
    for part, names in parts.items():
        of_part = []
        for name in names:
            clip_wav(f"{part}/{name}")
            speaker, emotion = fields(name)
            of_part.append({"file_name": name, "label": emotion, "speaker_id": speaker, "transcription": "eh, ja"})
        if where == "each part":
            write(of_part, tmp_path / part / f"metadata.{ending}")
        rows += [{**row, "file_name": f"{part}/{row['file_name']}"} for row in of_part]
    if where == "root":
        write(rows, tmp_path / f"metadata.{ending}")
    expected = [(f"{part}/{name}", *fields(name)[::-1], part) for part, names in parts.items() for name in names]
    table = read(tmp_path)
    assert held(table) == sorted(expected)
    split = split_clips(table, SplitConfig(), 0)
    assert (len(split.train), len(split.val), len(split.test)) == (8, 2, 2)
    assert run(["data", "check", str(tmp_path), "--format", "audiofolder"]) == 0


def write(rows: list[dict[str, str]], path: Path) -> None:
    frame = pandas.DataFrame(rows)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True, force_ascii=False)


def test_metadata_without_labels_leaves_class_folders_to_speak(tmp_path: Path, clip_wav: ClipWav) -> None:
    for name in ("angry/a.wav", "happy/b.wav"):
        clip_wav(name)
    (tmp_path / "metadata.csv").write_text("file_name,transcription\nangry/a.wav,eh\nhappy/b.wav,ja\n")
    assert read(tmp_path).labels("emotion") == ("angry", "happy")
    assert "transcription" in refused(tmp_path, format="audiofolder")


# --- Parquet with the recordings inside --------------------------------------------------------------------------

FEATURES = {
    "info": {"features": {"audio": {"_type": "Audio"}, "label": {"names": ["angry", "happy"], "_type": "ClassLabel"}}}
}


def shard(path: Path, files: list[Path], *, group: int = 3, named: bool = True) -> Path:
    """A shard as the ``datasets`` library writes it: bytes and path inside, classes as numbers."""
    rows = [{"bytes": file.read_bytes(), "path": file.name if named else None} for file in files]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = {
        "audio": pyarrow.array(rows, kind),
        "label": [["angry", "happy"].index(fields(file.name)[1]) for file in files],
        "speaker": [fields(file.name)[0] for file in files],
    }
    table = pyarrow.table(columns).replace_schema_metadata({"huggingface": json.dumps(FEATURES)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path, row_group_size=group)
    return path


def test_recordings_inside_parquet_train_as_those_on_disk_do(tmp_path: Path, clip_wav: ClipWav) -> None:
    files = [clip_wav(f"wavs/{name}", 0.2) for name in NAMES]
    for number, (part, chosen) in enumerate(
        {"train": files[:8], "validation": files[8:10], "test": files[10:]}.items()
    ):
        shard(tmp_path / "hub" / "data" / f"{part}-0000{number % 1}-of-00001.parquet", chosen)
    table = read(tmp_path / "hub")
    assert [
        (clip.name, clip.labels["emotion"], clip.speaker) for clip in sorted(table.clips, key=lambda c: c.name)
    ] == [(name, *fields(name)[::-1]) for name in sorted(NAMES)]
    split = split_clips(table, SplitConfig(), 0)
    assert (len(split.train), len(split.val), len(split.test)) == (8, 2, 2)
    (tmp_path / "t.csv").write_text("\n".join(["file,emotion", *(f"wavs/{n},{fields(n)[1]}" for n in NAMES)]))
    on_disk = read(tmp_path / "t.csv")
    cache = WaveformCache()
    expected = {
        Path(clip.name).name: fact for clip, fact in zip(on_disk.clips, cache.prepare(on_disk.clips), strict=True)
    }
    found = dict(zip((clip.name for clip in table.clips), cache.prepare(table.clips, 2), strict=True))
    assert found == expected
    assert len({fact.sha256 for fact in found.values()}) == 12
    assert run(["data", "check", str(tmp_path / "hub")]) == 0


def test_nameless_and_equally_named_recordings_are_told_apart(tmp_path: Path, clip_wav: ClipWav) -> None:
    files = [clip_wav(f"{part}/{name}") for part in "xy" for name in ("a_angry.wav", "b_happy.wav")]
    table = read(shard(tmp_path / "t.parquet", files))
    assert [clip.name for clip in table.clips] == ["a_angry-1.wav", "b_happy-1.wav", "a_angry-2.wav", "b_happy-2.wav"]
    table = read(shard(tmp_path / "u.parquet", files, named=False))
    assert [clip.name for clip in table.clips] == ["u/0000-000000", "u/0000-000001", "u/0000-000002", "u/0001-000000"]


def test_a_recording_inside_that_is_none_is_named(
    tmp_path: Path, clip_wav: ClipWav, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [clip_wav(name) for name in NAMES]
    files[0].write_bytes(b"hello")
    assert run(["data", "check", str(shard(tmp_path / "sub" / "t.parquet", files))]) == 0
    assert f"unreadable    1: {NAMES[0]} (is not audio" in capsys.readouterr().out


# --- Kaldi -------------------------------------------------------------------------------------------------------


def lines(path: Path, rows: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name} {value}\n" for name, value in rows.items()))


@pytest.mark.parametrize("labels", ["utt2emo", "utt2emotion", "text", "emotion"])
def test_kaldi(tmp_path: Path, clip_wav: ClipWav, labels: str) -> None:
    for part, names in (("train", NAMES[:8]), ("dev", NAMES[8:10]), ("test", NAMES[10:])):
        folder = tmp_path / "data" / part
        lines(folder / "wav.scp", {name[:-4]: f"wavs/{name}" for name in names})  # from the recipe's folder
        lines(folder / "utt2spk", {name[:-4]: fields(name)[0] for name in names})
        lines(folder / "spk2gender", dict.fromkeys(SPEAKERS, "f"))
        lines(folder / labels, {name[:-4]: fields(name)[1] for name in names})
        if labels != "text":
            lines(folder / "text", {name[:-4]: "das ist ein satz" for name in names})
    for name in NAMES:
        clip_wav(f"wavs/{name}")
    table = read(tmp_path / "data")
    parts = ["train"] * 8 + ["dev"] * 2 + ["test"] * 2
    root = tmp_path.as_posix()
    assert held(table) == sorted((f"{root}/wavs/{n}", *fields(n)[::-1], p) for n, p in zip(NAMES, parts, strict=True))
    assert {clip.columns["gender"] for clip in table.clips} == {"f"}
    assert run(["data", "check", str(tmp_path / "data")]) == 0
    assert len(read(tmp_path / "data" / "train")) == 8


def test_segments_of_kaldi(tmp_path: Path, clip_wav: ClipWav) -> None:
    clip_wav("r1.wav", 3.0)
    clip_wav("r2.wav", 3.0)
    lines(tmp_path / "wav.scp", {"rec1": "r1.wav", "rec2": "r2.wav"})
    lines(tmp_path / "segments", {"u1": "rec1 0.5 1.5", "u2": "rec1 1.5 -1", "u3": "rec2 0 1"})
    lines(tmp_path / "utt2emo", {"u1": "x", "u2": "y", "u3": "x"})
    found = [(clip.name, clip.start, clip.end, clip.recording) for clip in read(tmp_path).clips]
    assert found == [("r1.wav", 0.5, 1.5, "rec1"), ("r1.wav", 1.5, None, "rec1"), ("r2.wav", 0.0, 1.0, "rec2")]
    lines(tmp_path / "segments", {"u0": "", "u1": "rec1 0.5", "u2": "rec9 0 1", "u3": "rec2 0 1"})
    message = refused(tmp_path)
    assert "line of segments is not: utterance, recording, start and end in seconds: u0, u1" in message
    assert "segment of a recording that wav.scp does not name: u2 (rec9)" in message


@pytest.mark.parametrize("command", ["touch {} |", "cat x.sph | sox - {} |", "| touch {}"])
def test_a_command_in_wav_scp_is_refused_and_never_run(tmp_path: Path, clip_wav: ClipWav, command: str) -> None:
    clip_wav("a.wav")
    trace = tmp_path / "ran"
    lines(tmp_path / "wav.scp", {"u1": "a.wav", "u2": command.format(trace)})
    lines(tmp_path / "utt2emo", {"u1": "x", "u2": "y"})
    assert "is made by a command, which is never run (write it to a file, and name that in wav.scp): u2" in refused(
        tmp_path
    )
    assert not trace.exists()


def test_kaldi_without_labels_names_what_there_is(tmp_path: Path, clip_wav: ClipWav) -> None:
    clip_wav("a.wav")
    lines(tmp_path / "wav.scp", {"u1": "a.wav"})
    lines(tmp_path / "text", {"u1": "das ist ein satz"})
    assert "has no column 'emotion' to learn; its columns: text, utterance" in refused(tmp_path)
    lines(tmp_path / "wav.scp", {"u1": "a.wav", "u2": "b.ark:17"})
    lines(tmp_path / "utt2emo", {"u1": "x", "u2": "y"})
    assert "is named but not there" in refused(tmp_path)
    (tmp_path / "wav.scp").write_text("u1 a.wav\nu1 a.wav\n")
    assert "'u1' stands twice" in refused(tmp_path)


# --- tables, and the split that a dataset brings -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("split", ("train", "validation", "test")),
        ("SPLIT", ("Training", "Valid", "Testing")),
        ("partition", ("train", "devel", "eval")),
        ("subset", ("TRAIN", "DEV", "TEST")),
    ],
)
def test_a_split_of_the_dataset_is_honoured(
    tmp_path: Path, clip_wav: ClipWav, header: str, values: tuple[str, ...]
) -> None:
    rows = [f"{header},PATH,Emotion,Speaker"]
    for name, part in zip(NAMES, [values[0]] * 8 + [values[1]] * 2 + [values[2]] * 2, strict=True):
        clip_wav(name)
        speaker, emotion = fields(name)
        rows.append(f"{part},{name},{emotion},{speaker}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    split = split_clips(read(tmp_path), SplitConfig(), 0)
    assert (split.by, split.train, split.val, split.test) == ("split", tuple(range(8)), (8, 9), (10, 11))
    assert run(["data", "check", str(tmp_path)]) == 0


def test_tables_called_after_the_parts_of_a_split(tmp_path: Path, clip_wav: ClipWav) -> None:
    for part, names in (("train", NAMES[:8]), ("dev", NAMES[8:10]), ("test", NAMES[10:])):
        rows = [f"{clip_wav(name).name};{';'.join(fields(name)[::-1])}" for name in names]
        (tmp_path / f"{part}.csv").write_text("\n".join(["filename;emotion;spk", *rows]))
    parts = ["train"] * 8 + ["dev"] * 2 + ["test"] * 2
    assert held(read(tmp_path)) == sorted((n, *fields(n)[::-1], p) for n, p in zip(NAMES, parts, strict=True))


def test_a_split_that_shares_a_speaker_is_still_refused(
    tmp_path: Path, clip_wav: ClipWav, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["path,emotion,speaker,split"]
    for name, part in zip(NAMES, ["train"] * 9 + ["dev"] * 1 + ["test"] * 2, strict=True):
        clip_wav(name)
        rows.append(f"{name},{fields(name)[1]},{fields(name)[0]},{part}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    assert run(["data", "check", str(tmp_path)]) == 1
    assert "speaker: e (2 clips, in train and val)" in capsys.readouterr().out


# --- class folders without speakers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["clip_{:03}", "{emotion}_{:03}", "sample {:02}", "{emotion}-{:02}", "03_{emotion}_{:03}"]
)
def test_class_folders_without_speakers_can_be_learnt(
    tmp_path: Path, clip_wav: ClipWav, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for emotion in ("Angry", "Sad", "Neutral"):
        for number in range(7):
            clip_wav(f"{emotion}/{name.format(number, emotion=emotion)}.wav")
    assert run(["data", "check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    first = name.format(0, emotion="Angry")
    assert "recordings    " in said
    own = "Angry/" if "_{" in name else ""  # each file by its whole name, where the name's beginning tells nothing
    assert f"such as       Angry/{first}.wav: speaker unknown, recording {own}{first}" in said
    assert "recording-disjoint hold-out" in said
    assert "clip-wise" not in said
    split = split_clips(read(tmp_path), SplitConfig(), 0)
    assert min(len(split.train), len(split.val), len(split.test)) >= 3


def test_names_that_tell_recordings_apart_still_do(tmp_path: Path, clip_wav: ClipWav) -> None:
    for emotion in ("Angry", "Sad"):
        for recording in ("talk", "call", "show"):
            for number in range(3):
                clip_wav(f"{emotion}/{recording}_{emotion[0]}{number}.wav")
    assert {clip.recording for clip in read(tmp_path).clips} == {"talk", "call", "show"}


def test_where_it_cannot_be_told_the_two_keys_are_named_and_work(tmp_path: Path, clip_wav: ClipWav) -> None:
    for emotion in ("Angry", "Sad"):
        for recording in ("clip", "take"):
            for number in range(5):
                clip_wav(f"{emotion}/{recording}_{number}.wav")
    table = read(tmp_path)
    with pytest.raises(DataError) as caught:
        split_clips(table, SplitConfig(), 0)
    message = str(caught.value)
    assert "at least 3 groups, there are 2" in message
    assert "Angry/clip_0.wav counts as one of clip" in message
    assert 'dataset.recording to {"pattern": "(.+)"} and dataset.split.by to "recording"' in message
    changed = read(tmp_path, recording={"pattern": "(.+)"})
    assert split_clips(changed, SplitConfig(by="recording"), 0).test


def test_the_seeds_annotations_keep_their_rule(tmp_path: Path, clip_wav: ClipWav) -> None:
    rows = {f"rec_{number}.wav": {"emotion": "angry" if number % 2 else "sad"} for number in range(4)}
    for name in rows:
        clip_wav(name)
    (tmp_path / "annotations.json").write_text(json.dumps(rows))
    assert {clip.recording for clip in read(tmp_path).clips} == {"rec"}


def test_real_recordings_in_every_layout_give_the_same_clips(tmp_path: Path, emodb4: Path) -> None:
    files = [path for emotion in ("Angry", "Sad") for path in sorted((emodb4 / emotion).glob("*.wav"))[:6]]
    rows = {path.name: path.parent.name for path in files}
    for path in files:
        shutil.copy(path, tmp_path / path.name)
    lines(tmp_path / "kaldi" / "wav.scp", {name: f"../{name}" for name in rows})
    lines(tmp_path / "kaldi" / "utt2emo", rows)
    (tmp_path / "metadata.csv").write_text("".join(["file_name;EMOTION\n", *(f"{n};{e}\n" for n, e in rows.items())]))
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    inside = pyarrow.array([{"bytes": path.read_bytes(), "path": path.name} for path in files], kind)
    pyarrow.parquet.write_table(pyarrow.table({"audio": inside, "emotion": [*rows.values()]}), tmp_path / "p.parquet")
    tables = [read(tmp_path / "kaldi"), read(tmp_path / "metadata.csv"), read(tmp_path / "p.parquet")]
    cache = WaveformCache()
    every = [
        {
            (Path(clip.name).name, clip.labels["emotion"], fact.sha256)
            for clip, fact in zip(t.clips, cache.prepare(t.clips), strict=True)
        }
        for t in tables
    ]
    assert every[0] == every[1] == every[2]
    assert len(every[0]) == 12
