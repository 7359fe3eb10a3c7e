"""Names of files in a run folder. No torch: a search's results are read without it."""

RUN_FILE = "run.json"
"""The index, written last: a folder that has it is complete."""
SPLIT_FILE = "split.json"
CONFUSION_PICTURE = "confusion_matrix.png"
"""Of the part that the run is judged by."""
CURVES_PICTURE = "curves.png"
"""Loss and UAR by epoch."""


CHECKPOINT_KEY = "emotions"


CHECKPOINT_FORMAT = 1


ENCODER_KEY = "encoder_sha256"
"""What a checkpoint names the frozen encoder by, whose weights lie beside it."""
