"""A bundle in words, for ``emotions info``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import Manifest, TensorSpec
from emotions.bundle.reference.reference import REFERENCE
from emotions.bundle.variants import lossy
from emotions.errors import plain

_SKIPPED = frozenset({"confusion", "per_class"})
_POOLING = {"coverage": "coverage: every sample counts once", "mean": "mean: every window counts once"}


def describe(bundle: Bundle, variant: str, device: str, here: Iterable[tuple[str, str]] = ()) -> str:
    """A bundle's inputs, outputs, measured metrics and files, as aligned text.

    Args:
        bundle: an opened bundle.
        variant: which one runs here unless another is asked for.
        device: where it runs, ``cpu`` or ``cuda``.
        here: further rows about this machine: name and value.
    """
    manifest = bundle.manifest
    rows = [
        ("bundle", bundle.id),
        ("created", f"{manifest.created:%Y-%m-%d %H:%M} by toolkit {manifest.toolkit_version}"),
        *_signature(manifest),
        *_measured(manifest),
        *_origin(manifest),
        *_variants(manifest),
        ("drift", _drift(manifest)),
        ("runs here", f"{variant} on {device}, unless another variant is asked for"),
        *here,
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{plain(name):<{width}}  {plain(value)}" for name, value in rows)


def warnings(manifest: Manifest) -> list[str]:
    """What keeps a bundle's figures from being trusted, or the bundle from being used for money."""
    found = _unfree(manifest)
    if not [*figures(manifest.metrics)]:
        return [*found, "the bundle holds no metrics: nobody measured what its answers are worth"]
    protocol = protocol_of(manifest)
    if "speaker-disjoint" not in protocol:
        found.append(f"the protocol is not speaker-disjoint ({plain(protocol)}): new speakers may be recognised worse")
    leaked = _leaks(manifest.dataset.split if manifest.dataset else {})
    if leaked:
        found.append(f"training and test share {leaked}, which was allowed: the figures are optimistic")
    return found


def _unfree(manifest: Manifest) -> list[str]:
    """That the licence of a model, as its card names it, forbids commercial use, such as ``cc-by-nc-sa-4.0``."""
    licence = str((manifest.encoder or {}).get("license", ""))
    parts = licence.lower().replace("_", "-").split("-")
    forbids = "nc" in parts or "noncommercial" in parts or "non-commercial" in licence.lower()
    return [f"NON-COMMERCIAL: the model's licence, {plain(licence)}, forbids commercial use"] if forbids else []


def _leaks(split: Mapping[str, Any]) -> str:
    """What the parts of a split share that was allowed, such as ``speaker (3)``; empty where it is nothing."""
    leaks = split.get("leaks")
    found = leaks.get("found") if isinstance(leaks, Mapping) else None
    allowed = leaks.get("allowed") if isinstance(leaks, Mapping) else None
    if not isinstance(found, Mapping) or not isinstance(allowed, list):
        return ""
    return ", ".join(f"{plain(str(kind))} ({found[kind]})" for kind in allowed if found.get(kind))


def protocol_of(manifest: Manifest) -> str:
    """How the bundle's metrics were measured, or ``unknown``."""
    return str(manifest.metrics.get("protocol", "unknown"))


def _drift(manifest: Manifest) -> str:
    if REFERENCE in manifest.files:
        return f"watched, by the statistics of its validation clips in {REFERENCE}"
    return "not watched; emotions drift reference BUNDLE --data RECORDINGS adds what to compare with"


def _signature(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for tensor in manifest.inputs:
        yield "input", _tensor(tensor)
    for tensor in manifest.outputs:
        yield "output", _tensor(tensor)
    if manifest.embedding is not None:
        yield "output", f"{_tensor(manifest.embedding)} (the input of the output layers)"
    for target, labels in manifest.labels.items():
        yield f"labels of {target}", ", ".join(labels)
    for target, names in manifest.dimensions.items():
        low, high = manifest.ranges[target]
        yield f"dimensions of {target}", f"{', '.join(names)}, from {low:g} to {high:g}"
    window = manifest.window
    rate = manifest.sample_rate
    most = "at most " if window.dynamic else ""
    yield "window", f"{most}{window.samples / rate:g} s, hop {window.hop_samples / rate:g} s, at {rate} Hz"
    yield "pooling", _POOLING[manifest.pooling]


def _tensor(tensor: TensorSpec) -> str:
    return f"{tensor.name} {tensor.dtype} [{', '.join(map(str, tensor.shape))}]"


def _measured(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield "protocol", protocol_of(manifest)
    for name, value in figures(manifest.metrics):
        yield name, f"{value:.3f}" if isinstance(value, float) else str(value)


def figures(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float | int]]:
    """The figures among a bundle's nested metrics, named by their path.

    Args:
        metrics: of a manifest.
        prefix: of the names.
    """
    for name, value in metrics.items():
        if isinstance(value, Mapping) and name not in _SKIPPED:
            yield from figures(value, f"{prefix}{name}.")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{name}", value


def _origin(manifest: Manifest) -> Iterator[tuple[str, str]]:
    data = manifest.dataset
    if data is not None:
        yield "trained on", f"{data.clips} clips, {data.hours:.2f} h ({data.fingerprint[:12]})"
    yield "licence of data", (data.license if data else None) or "unknown"
    teacher = manifest.extra.get("teacher")
    if isinstance(teacher, Mapping):
        yield "learnt from", f"the teacher {teacher.get('bundle')} (digest {str(teacher.get('digest'))[:12]})"
    if manifest.encoder is not None:
        yield "encoder", ", ".join(f"{key}: {value}" for key, value in manifest.encoder.items())


def _variants(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for name, variant in manifest.variants.items():
        size = f"{variant.bytes / 1e6:.2f} MB"
        proof = f"differs by at most {variant.max_abs_diff:.1e}, same label for {variant.agreement:.1%}"
        loss = "; loses, or may lose, more than it may: runs only when named" if name in lossy(manifest) else ""
        yield f"variant {name}", f"{variant.file}, {size}, for {variant.device}; {proof}{loss}"
