"""The targets of what people and diarisers wrote about recordings: annotations, and who speaks when."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from pathlib import Path
from random import Random

from emotions.calls.diarisation import Diarisation
from emotions.calls.formats.annotation import Annotation, Interval, Tier, Turns
from emotions.calls.formats.elan import elan
from emotions.calls.formats.label_studio import label_studio
from emotions.calls.formats.plain_text import rttm
from emotions.calls.formats.table import labels_of
from emotions.calls.formats.textgrid import textgrid
from emotions.errors import DataError
from emotions.inputs.input_file import InputFile
from tests.security.fuzz.mutate import mutated_text, mutated_tree
from tests.security.fuzz.target import Files, Target


@functools.cache
def _annotation() -> Annotation:
    intervals = (Interval(0.5, 1.25, "angry", 0.9), Interval(2, 3.5, 'гнев "!"', 0.5))
    tiers = tuple(Tier(f"{who} emotion", intervals, "emotion", who, 1, "ann") for who in ("agent", "customer"))
    turns = tuple(Turns(who, 1, ((0.5, 1.25), (2, 3.5))) for who in ("agent", "customer"))
    return Annotation("a b.wav", 4.0, tiers, turns, "ann")


@functools.cache
def _export() -> list[object]:
    (task,) = json.loads(label_studio(_annotation()))
    (prediction,) = task.pop("predictions")
    short = {"audio": "c.wav", "annotator": 1, "emotion": [{"start": 0, "end": 1, "labels": ["sad"]}]}
    return [{**task, "annotations": [{"completed_by": {"email": "ann@x"}, "result": prediction["result"]}]}, short]


def _annotations(random: Random) -> Files:
    kind = random.choice(("TextGrid", "eaf", "json"))
    if kind == "json":
        text = json.dumps(mutated_tree(random, _export(), random.choice((0.01, 0.05, 0.2)))).encode()
        return {"a.json": mutated_text(random, text) if random.random() < 0.3 else text}
    text = (textgrid if kind == "TextGrid" else elan)(_annotation()).encode(random.choice(("utf-8", "utf-16")))
    return {f"a.{kind}": mutated_text(random, text)}


def _annotations_read(folder: Path) -> None:
    (path,) = folder.iterdir()
    for each in labels_of(path, Path(tempfile.gettempdir())):
        assert each.begin is None or 0 <= each.begin <= (each.end or 0.0) < math.inf
        assert isinstance(each.label, str)
        assert isinstance(each.rater, str)


def _turns(random: Random) -> Files:
    if random.random() < 0.5:
        return {"a.rttm": mutated_text(random, rttm(_annotation()).encode())}
    segments = [{"start": 0.5, "end": 1, "speaker": "A"}, {"start": 1, "end": 2.5, "speaker": "B", "words": []}]
    tree = mutated_tree(random, random.choice((segments, {"segments": segments})), random.choice((0.05, 0.2)))
    text = json.dumps(tree).encode()
    return {"a.json": mutated_text(random, text) if random.random() < 0.3 else text}


def _turns_read(folder: Path) -> None:
    (path,) = folder.iterdir()
    for spans in Diarisation(path).of(InputFile("a.wav", "a.wav")).values():
        edges = [edge for span in spans for edge in span]
        assert edges == sorted(edges)
        assert all(0 <= edge < math.inf for edge in edges)


ANNOTATION_TARGETS: dict[str, Target] = {
    "annotations": Target(_annotations, _annotations_read, (DataError,)),
    "diarisation": Target(_turns, _turns_read, (DataError,)),
}
