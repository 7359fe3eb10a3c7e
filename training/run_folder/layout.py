"""Names of files in a run folder. Without torch, so that a search's results are read without it."""

RUN_FILE = "run.json"
"""The index, written last: a folder with it is complete."""
LOCK_FILE = "run.lock"
"""Held while a training writes the folder."""
SPLIT_FILE = "split.json"
LAST = "last"
"""Stem of the last epoch's checkpoint."""
CONFUSION_PICTURE = "confusion_matrix.png"
"""Of the part that the run is judged by."""
CURVES_PICTURE = "curves.png"
"""Loss and UAR by epoch."""

CHECKPOINT_KEY = "emotions"
CHECKPOINT_FORMAT = 1
ENCODER_KEY = "encoder_sha256"
"""Key of the hash of the frozen encoder, in the checkpoint's entry ``CHECKPOINT_KEY``."""
