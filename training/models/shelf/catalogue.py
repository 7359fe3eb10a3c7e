"""The encoders that can be fetched by name: a closed table, each pinned to one artefact by its hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ShelfEncoder:
    """An encoder and where it comes from.

    Attributes:
        name: what a config calls it.
        package: package and version on the index, of which nothing is installed.
        wheel: file name of the package's wheel.
        wheel_sha256: of the wheel.
        member: the artefact inside the wheel.
        member_sha256: of the artefact.
        member_bytes: size of the artefact.
        licence: SPDX name, of weights and code.
        learnt_from: what it learnt from.
        architecture: what it is, in words.
        kind: ``frames``, of whose layers a classifier takes features; ``speaker``, which gives a voice one embedding.
        layers: of the encoder; which to take of one of frames is a matter of measuring.
        dims: size of a frame's features, or of the embedding.
        window_sec: longest window, in seconds; of a speaker encoder the part that it takes at once.
        convert: turns the artefact's bytes into an encoder folder, proven against the artefact.
    """

    name: str
    package: str
    wheel: str
    wheel_sha256: str
    member: str
    member_sha256: str
    member_bytes: int
    licence: str
    learnt_from: str
    architecture: str
    kind: Literal["frames", "speaker"]
    layers: int
    dims: int
    window_sec: float
    convert: Callable[[bytes, Path], str]


def _smart_turn(artefact: bytes, folder: Path) -> str:
    from training.models.shelf.smart_turn import convert_smart_turn  # torch is not needed to look what is here

    return convert_smart_turn(artefact, folder)


def _resemblyzer(artefact: bytes, folder: Path) -> str:
    from training.models.shelf.resemblyzer import convert_resemblyzer

    return convert_resemblyzer(artefact, folder)


SMART_TURN = ShelfEncoder(
    name="smart-turn-v3.2",
    package="pipecat-ai==1.14.0",
    wheel="pipecat_ai-1.14.0-py3-none-any.whl",
    wheel_sha256="0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
    member="pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
    member_sha256="2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
    member_bytes=8_679_182,
    licence="BSD-2-Clause",
    learnt_from="speech of 23 languages, where a speaker's turn ends; it began as Whisper tiny",
    architecture="Whisper encoder on 80 mel bands, 8-bit weights made float32",
    kind="frames",
    layers=4,
    dims=384,
    window_sec=8.0,
    convert=_smart_turn,
)

RESEMBLYZER = ShelfEncoder(
    name="resemblyzer",
    package="resemblyzer==0.1.4",
    wheel="Resemblyzer-0.1.4-py3-none-any.whl",
    wheel_sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    member="resemblyzer/pretrained.pt",
    member_sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    member_bytes=17_090_379,
    licence="Apache-2.0",
    learnt_from="speech, which speaker it is; the package does not name the corpora",
    architecture="speaker encoder, LSTM on 40 mel bands",
    kind="speaker",
    layers=3,
    dims=256,
    window_sec=1.6,
    convert=_resemblyzer,
)

SHELF: dict[str, ShelfEncoder] = {each.name: each for each in (SMART_TURN, RESEMBLYZER)}
"""Name -> encoder."""
