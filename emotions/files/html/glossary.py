"""Terms of the field that a report explains: beside the word where it stands, and in a list at the page's end."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

GLOSSARY = {
    "UAR": "Unweighted average recall: the share of recordings that is right, computed for each class by itself and "
    "then averaged, so that a rare class counts as much as a frequent one.",
    "WA": "Weighted accuracy: the share of all recordings that is right. Frequent classes decide it.",
    "macro-F1": "The F1 score of each class, averaged over the classes.",
    "F1": "Harmonic mean of precision and recall: high only where both are.",
    "recall": "Of the recordings that are of a class, the share that was given this class.",
    "precision": "Of the recordings that were given a class, the share that is of this class.",
    "chance": "What guessing would reach: one over the number of classes.",
    "ECE": "Expected calibration error: how far, on average, the stated confidence is from the share that is right. 0 "
    "is best.",
    "Brier": "Brier score: mean squared distance between the stated probabilities and the truth, from 0 (best) to 2.",
    "reliability": "How far probabilities are from how often what they say comes true; part of the Brier score. 0 is "
    "best.",
    "resolution": "How far the answers go beyond how frequent each class is; part of the Brier score. High is best.",
    "uncertainty": "What is unknown where only the classes' frequencies are known; part of the Brier score, the same "
    "for every model.",
    "NLL": "Negative log-likelihood: the cost of the probability that the model gave to the true class. 0 is best.",
    "temperature": "A number that the model's outputs are divided by, so that its probabilities are neither too bold "
    "nor too timid. It changes no label.",
    "LOSO": "Leave one speaker out: each speaker in turn is tested by a model that was trained without them.",
    "fold": "One of the parts that the data is cut into; each is tested once by a model that was trained on others.",
    "seed": "Number that fixes all random draws, so that a result can be computed again.",
    "confidence": "The probability that the model gives to its own answer.",
    "interval": "Range that holds the true figure in 95 of 100 such measurements.",
    "epoch": "One pass over all training recordings.",
    "loss": "What training makes small: the cross-entropy between the model's probabilities and the labels.",
    "trial": "One training of a search, with the values that were drawn for it.",
    "p50": "Median: half of the requests were answered within this time.",
    "p90": "90 of 100 requests were answered within this time.",
    "p95": "95 of 100 requests were answered within this time.",
    "p99": "99 of 100 requests were answered within this time.",
    "p99.9": "999 of 1000 requests were answered within this time.",
    "Poisson": "Arrivals at random moments, as those of many independent callers are.",
    "real time": "Seconds of audio that are classified in one second of computing.",
}
"""Term -> explanation in one or two sentences."""

_TERM = re.compile(
    rf"(?<![\w.-])({'|'.join(re.escape(term) for term in sorted(GLOSSARY, key=len, reverse=True))})(?![\w-]|\.\d)"
)


def explained(text: object) -> Markup:
    """Text as HTML, escaped, each known term with its explanation one hover, focus or tap away.

    Args:
        text: text of the toolkit's own, such as the head of a column; not labels or names, which may look like terms.
    """
    parts = _TERM.split(str(text))
    return Markup("").join(_button(part) if at % 2 else escape(part) for at, part in enumerate(parts))


def terms_in(content: str) -> dict[str, str]:
    """The terms that a page explains, in the order of the glossary.

    Args:
        content: HTML that ``explained`` had a part in.
    """
    return {term: meaning for term, meaning in GLOSSARY.items() if f'aria-describedby="{anchor(term)}"' in content}


def anchor(term: str) -> str:
    """The ``id`` of a term in the list at the page's end."""
    return f"term-{re.sub(r'[^a-z0-9]+', '-', term.lower())}"


def _button(term: str) -> Markup:
    return Markup('<button type="button" class="term" aria-describedby="{}" data-tip="{}">{}</button>').format(
        anchor(term), GLOSSARY[term], term
    )
