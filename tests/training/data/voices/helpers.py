"""Embeddings of persons that do not exist."""

from __future__ import annotations

import numpy as np

from emotions.audio.windows import FloatArray


def embeddings(persons: list[int], clips: int, seed: int = 0) -> FloatArray:
    """Unit vectors, (names x clips, 256): ``persons`` says which person each name is; clips of a name stand together.

    Persons and clips scatter about as EmoDB-4 has it.
    """
    random = np.random.default_rng(seed)
    common, who = random.standard_normal(256), random.standard_normal((max(persons) + 1, 256))
    voices = common + 0.45 * np.repeat(who[persons], clips, axis=0)
    values = voices + 0.55 * random.standard_normal(voices.shape)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
