"""Lay out the angry, happy, neutral and sad recordings of EmoDB (CC0) as the tests expect them.

    python -m tests.lay_out_emodb4 WAV_FOLDER OUTPUT     then: EMOTIONS_TEST_DATA=OUTPUT make test

WAV_FOLDER is the folder ``wav`` of the Berlin Database of Emotional Speech (535 files). OUTPUT/emodb4 gets one folder
a class and an ``annotations.json`` with Russian labels.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from emotions.files.json_text import write_json

CLASSES = {
    "W": ("Angry", "гнев", "отрицательное"),
    "F": ("Happy", "радость", "положительное"),
    "N": ("Neutral", "нейтраль", "нейтральное"),
    "T": ("Sad", "печаль", "отрицательное"),
}
MALE = {"03", "10", "11", "12", "15"}


def lay_out(recordings: Path, output: Path) -> int:
    """Copy the recordings of the four classes into ``output/emodb4``; returns how many there were."""
    annotations = {}
    # A name such as 03a01Wa.wav: speaker 03, sentence a01, emotion W (German initial), take a.
    for file in sorted(recordings.glob("*.wav"), key=lambda file: (CLASSES.get(file.name[5], ("~",))[0], file.name)):
        if file.name[5] not in CLASSES:
            continue
        folder, emotion, state = CLASSES[file.name[5]]
        (output / "emodb4" / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, output / "emodb4" / folder / file.name)
        speaker = file.name[:2]
        sex = "male" if speaker in MALE else "female"
        columns = {"speaker": speaker, "sentence": file.name[2:5], "sex": sex}
        annotations[f"{folder}/{file.name}"] = {"emotion": emotion, "state": state, **columns}
    write_json(output / "emodb4" / "annotations.json", annotations)
    return len(annotations)


if __name__ == "__main__":
    sys.stdout.write(f"{lay_out(Path(sys.argv[1]), Path(sys.argv[2]))} recordings\n")
