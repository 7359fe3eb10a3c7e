from __future__ import annotations

import pytest

from emotions.errors import DataError
from training.data.label_matching import match_labels, shared_labels


def test_labels_are_matched_where_that_is_certain() -> None:
    bundle = ["гнев", "joy", "neutral", "sad"]
    matched = match_labels(bundle, ["angry", "happy", "neu", "sadness"])
    assert matched == {"angry": "гнев", "happy": "joy", "neu": "neutral", "sadness": "sad"}
    assert match_labels(["Anger", "anger"], ["anger"]) == {"anger": "anger"}
    with pytest.raises(DataError, match=r"labels 'calm', 'excited' have no certain counterpart .*rename them"):
        match_labels(bundle, ["angry", "calm", "excited"])
    with pytest.raises(DataError, match="'Angry'"):
        match_labels(["Anger", "anger"], ["Angry"])


def test_labels_that_all_corpora_have_get_the_words_of_the_first() -> None:
    found = shared_labels({"a": ["гнев", "joy", "calm"], "b": ["happy", "ang"], "c": ["anger", "hap", "sad"]})
    assert found == {
        "a": {"гнев": "гнев", "joy": "joy"},
        "b": {"ang": "гнев", "happy": "joy"},
        "c": {"anger": "гнев", "hap": "joy"},
    }
