from __future__ import annotations

import pytest

from emotions.errors import DataError
from training.data.label_matching import match_labels


def test_labels_are_matched_where_that_is_certain() -> None:
    bundle = ["гнев", "joy", "neutral", "sad"]
    matched = match_labels(bundle, ["angry", "happy", "neu", "sadness"])
    assert matched == {"angry": "гнев", "happy": "joy", "neu": "neutral", "sadness": "sad"}
    assert match_labels(["Anger", "anger"], ["anger"]) == {"anger": "anger"}
    with pytest.raises(DataError, match=r"labels 'calm', 'excited' have no certain counterpart .*rename them"):
        match_labels(bundle, ["angry", "calm", "excited"])
    with pytest.raises(DataError, match="'Angry'"):
        match_labels(["Anger", "anger"], ["Angry"])
