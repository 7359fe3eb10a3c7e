"""The model card: the bundle's README.md, written for whoever is to run the model or to trust it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emotions.bundle.manifest import EMBEDDING, Manifest
from emotions.bundle.summary import plain, protocol_of, warnings
from export.bundle.report import facts
from export.bundle.variants import FP32, Artifact, Artifacts
from export.proof.signals import Signals
from export.sources import HUGGINGFACE
from training.run_folder.layout import CONFUSION_PICTURE, CURVES_PICTURE

PICTURES = {CONFUSION_PICTURE: "Confusion matrix", CURVES_PICTURE: "Loss and UAR by epoch"}
"""Pictures of a run that a card shows where the bundle holds them, and what they are."""

_LIMITS = """\
- It names how speech sounds, as the people who labelled its data perceived it; not what a person feels.
- Languages, recording conditions and ways of speaking that its data lack are likely recognised worse. Measure it on
  recordings of your own before you rely on it.
- It is meant to sum up many recordings and to support people who decide. It is not meant to decide about a person: on
  work, school, credit, health or guilt. Law may forbid that where you are."""


def model_card(manifest: Manifest, forms: Artifacts, signals: Signals) -> str:
    """The card of a bundle as Markdown, without a name of a recording or a speaker."""
    sections = {
        "Answers": _answers(manifest),
        "Input": _input(manifest),
        **({"Encoder": _encoder(manifest.encoder)} if manifest.encoder and not _foreign(manifest) else {}),
        "Data": _data(manifest),
        "Measured": _measured(manifest),
        **({"Calibration": _calibration(manifest)} if manifest.calibration else {}),
        "Limits and intended use": [*_cautions(manifest), _LIMITS],
        "Proof of the export": _proof(manifest, forms, signals),
        "How to run it": _usage(manifest),
    }
    head = [
        f"# {text(manifest.name)}",
        f"A speech emotion classifier ({text(str(manifest.model['model']))}): {_SUBJECT}",
    ]
    parts = [*head, *(part for title, body in sections.items() for part in (f"## {title}", *body))]
    return "\n\n".join(parts) + "\n"


_SUBJECT = "raw samples in, the probability of each label out. `manifest.json` describes it for machines."


def text(value: str) -> str:
    """A value from a dataset as Markdown text on one line: what would be markup is escaped."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in plain(value))


def _answers(manifest: Manifest) -> Iterator[str]:
    rows = [[text(target), ", ".join(map(text, labels))] for target, labels in manifest.targets.items()]
    if manifest.embedding is not None:
        rows.append([EMBEDDING, f"the input of the output layers, {manifest.embedding.shape[1]} values"])
    yield table(["output", "labels, in the order of the probabilities"], rows)


def _input(manifest: Manifest) -> Iterator[str]:
    window, rate = manifest.window, manifest.sample_rate
    shape = "samples" if window.dynamic else str(window.samples)
    width = f"at most {window.samples} samples," if window.dynamic else "windows of"
    yield (
        f"- `waveform`: float32 [batch, {shape}], mono, {rate} Hz, -1 to 1: {width} {window.samples / rate:g} s, zeros "
        "at the end of a shorter one.\n"
        "- `length`: int64 [batch], how many samples of each window are real.\n"
        f"- A longer recording is cut every {window.hop_samples} samples, its last window moved back so that "
        "it is full; its probabilities are the mean over its windows."
    )


def _encoder(encoder: Mapping[str, Any]) -> Iterator[str]:
    if "frozen" not in encoder:
        kind, licence = (text(str(encoder.get(key) or "unknown")) for key in ("family", "license"))
        yield f"Converted from {text(str(encoder.get('name', 'a local checkpoint')))} ({kind}); licence: {licence}."
        return
    kept = "as it was" if encoder["frozen"] else "fine-tuned"
    yield (
        f"Features come from {text(encoder['name'])} ({text(encoder['config']['model_type'])}), {kept}. "
        "Its own licence and training data bind this model too."
    )


def _data(manifest: Manifest) -> Iterator[str]:
    data = manifest.dataset
    if data is None:
        yield (
            _origin(manifest.encoder)
            if manifest.encoder and _foreign(manifest)
            else "Unknown: the model was exported from a checkpoint alone."
        )
        return
    yield f"{data.clips} clips, {data.hours:.2f} hours; licence: {text(data.license or 'unknown')}."
    parts = {part: value for part, value in data.split.items() if isinstance(value, Mapping) and "clips" in value}
    if parts:
        rows = [[part, str(value["clips"]), f"{value.get('hours', 0):.2f}"] for part, value in parts.items()]
        yield table(["part", "clips", "hours"], rows)


def _foreign(manifest: Manifest) -> bool:
    """It is a classifier of Hugging Face, proven against transformers."""
    return manifest.extra.get("source") == HUGGINGFACE


def _origin(encoder: Mapping[str, Any]) -> str:
    """Where a model of Hugging Face comes from, and its licence."""
    origin = (
        f"`{text(encoder['name'])}` on the Hugging Face hub" if "name" in encoder else "a checkpoint of Hugging Face"
    )
    licence = text(encoder.get("license") or "unknown")
    return f"Unknown here: the model was trained elsewhere and exported from {origin}; licence of the model: {licence}."


def _measured(manifest: Manifest) -> Iterator[str]:
    scores = [
        (part, target, values)
        for part, targets in manifest.metrics.items()
        if isinstance(targets, Mapping)
        for target, values in targets.items()
    ]
    if not scores:
        yield "Nothing was measured."
        return
    yield f"Protocol: {text(protocol_of(manifest))}."
    rows = [
        [part, text(target), *(f"{values[name]:.3f}" for name in ("uar", "wa", "macro_f1")), str(values["clips"])]
        for part, target, values in scores
    ]
    yield table(["part", "target", "UAR", "WA", "macro-F1", "clips"], rows)
    if "evaluation" in manifest.extra:
        yield from _by_folds(manifest.extra["evaluation"])
    for part, target, values in scores:
        if part == _judged(manifest):
            yield from _confusion(part, target, values)
    yield from (f"![{what}]({name})" for name, what in PICTURES.items() if name in manifest.files)


def _by_folds(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """What an evaluation of the same model by folds says, with its intervals."""
    yield (
        f"The same model and data, trained anew for each fold: {text(evaluation['protocol'])}; means over "
        f"{len(evaluation['seeds'])} seeds, 95 % intervals over speakers in brackets."
    )
    rows = [
        [text(target), *(_with_interval(found, name) for name in ("uar", "wa", "macro_f1")), str(found["clips"])]
        for target, found in evaluation["targets"].items()
    ]
    yield table(["target", "UAR", "WA", "macro-F1", "clips"], rows)


def _with_interval(found: Mapping[str, Any], name: str) -> str:
    bounds = found[f"{name}_ci"]
    return f"{found[name]:.3f}" + (f" ({bounds[0]:.3f}-{bounds[1]:.3f})" if bounds else "")


def _judged(manifest: Manifest) -> str:
    """The part that the model is judged by: the test part where there is one."""
    return "test" if manifest.metrics.get("test") else "validation"


def _confusion(part: str, target: str, scores: Mapping[str, Any]) -> Iterator[str]:
    labels = [text(label) for label in scores["labels"]]
    rows = [[f"**{label}**", *map(str, row)] for label, row in zip(labels, scores["confusion"], strict=True)]
    yield f"Confusion matrix of {text(target)}, {part} part: a row is the truth, a column the answer."
    yield table(["", *labels], rows)


def _calibration(manifest: Manifest) -> Iterator[str]:
    """What the temperatures did to the calibration error, also where they did no good."""
    head = ["target", "temperature", "measured on", "ECE before", "ECE after", "Brier before", "Brier after"]
    names = ("ece_before", "ece_after", "brier_before", "brier_after")
    found = manifest.calibration
    rows = [
        [text(target), f"{about['temperature']:.3f}", about["measured_on"], *(f"{about[name]:.3f}" for name in names)]
        for target, about in found.items()
    ]
    yield "Temperatures come from validation clips and are part of the graph."
    yield table(head, rows)
    worse = [text(target) for target, about in found.items() if not about["lowered_ece"]]
    if worse:
        yield f"**Calibration did not lower the calibration error of {', '.join(worse)}.**"
    for target, threshold in manifest.thresholds.items():
        risk = found[target]["max_risk"]
        yield (
            f"{text(target)} is `unknown` below a confidence of {threshold:.3f}: above it at most {risk:.0%} of the "
            "validation clips were wrong."
        )


def _cautions(manifest: Manifest) -> Iterator[str]:
    if not manifest.calibration:
        yield "Its probabilities are not calibrated: take them as an order, not as frequencies."
    for warning in warnings(manifest):
        yield f"**Warning: {text(warning)}.**"
    if manifest.metrics and not manifest.metrics.get("test"):
        yield (
            "**Warning: there is no held-out test part. The validation figures chose the checkpoint, so they flatter "
            "it.**"
        )


def _proof(manifest: Manifest, forms: Artifacts, signals: Signals) -> Iterator[str]:
    about, proof = facts(signals), forms.kept[FP32].proof
    model = "the transformers library" if _foreign(manifest) else "the torch model"
    yield (
        f"The graph answered {about['windows']} windows ({about['source']}) and {about['special']} special signals "
        f"as {model} did, alone and in batches: probabilities differ by at most {proof.max_abs_diff:.1e}, "
        f"labels agree for {proof.agreement:.1%}. `report.json` has all figures."
    )
    if len(forms.kept) > 1:
        head = ["form", "file", "MB", "made for", "largest difference", "in a batch", "same label"]
        yield table(head, [_form(manifest, name, form) for name, form in forms.kept.items()])
    for name, verdict in forms.lossy.items():
        yield f"**{name} loses more than it may ({'; '.join(verdict.faults)}): it runs only where it is named.**"


def _form(manifest: Manifest, name: str, form: Artifact) -> list[str]:
    proof, size = form.proof, manifest.variants[name].bytes / 1e6
    figures = [f"{proof.max_abs_diff:.1e}", f"{proof.batch_difference:.1e}", f"{proof.agreement:.1%}"]
    return [name, form.file, f"{size:.1f}", _MADE_FOR[form.device], *figures]


_MADE_FOR = {"any": "any device", "cuda": "GPUs", "cpu": "CPUs"}


def _usage(manifest: Manifest) -> Iterator[str]:
    samples, (target, labels) = manifest.window.samples, next(iter(manifest.targets.items()))
    window = "samples[None]" if manifest.window.dynamic else f"np.pad(samples, (0, {samples} - len(samples)))[None]"
    yield "In this folder, with onnxruntime, numpy and soundfile alone, for a mono recording at 16 kHz:"
    yield f"""```python
import numpy as np, onnxruntime, soundfile
samples, rate = soundfile.read("clip.wav", dtype="float32", frames={samples})
window = {window}
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
answers = session.run([{target!r}], {{"waveform": window, "length": np.array([len(samples)], np.int64)}})
print(dict(zip({list(labels)!r}, answers[0][0].tolist())))
```"""
    yield "`emotions predict` and `emotions.load` of the toolkit that made it do the rest: any format, rate and length."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells that are escaped already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
