"""A model repository for NVIDIA Triton: the bundle's graph, and a ``config.pbtxt`` of inputs, outputs and batching."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import TensorSpec
from emotions.errors import BundleError
from emotions.files.atomic import atomic_folder

CONFIG = "config.pbtxt"
LABELS = "labels.{target}.txt"
MAX_BATCH = 64
_TYPES = {"float32": "TYPE_FP32", "int64": "TYPE_INT64"}
_QUEUE_MICROSECONDS = 500


def to_triton(bundle: Bundle, repository: Path, *, variant: str = "fp32", name: str | None = None) -> Path:
    """Write ``repository/<name>`` as Triton's ONNX Runtime backend serves it.

    Args:
        bundle: an opened bundle.
        repository: the model repository; the model's folder in it must not be there yet.
        variant: which of the bundle's ONNX variants.
        name: of the model there; by default the bundle's.

    Returns:
        The model's folder.

    Raises:
        BundleError: the bundle has no such ONNX variant, or its name is no folder name.
        OutputExists: the folder is there already.
    """
    found = bundle.manifest.variants.get(variant)
    if found is None or not found.file.endswith(".onnx"):
        raise BundleError(f"{bundle.path}: has no ONNX variant {variant!r}")
    name = name or bundle.manifest.name
    if Path(name).name != name or name.startswith("."):
        raise BundleError(f"{name!r} is no folder name: give another with --name")
    with atomic_folder(repository / name) as folder:
        version = folder / "1"
        version.mkdir()
        # A graph names its file of weights, so both keep the names they have.
        for file in (file for file in bundle.manifest.files if file.startswith(found.file)):
            shutil.copyfile(bundle.path / file, version / file)
        for target, labels in bundle.manifest.labels.items():
            (folder / LABELS.format(target=target)).write_text("\n".join(labels) + "\n", encoding="utf-8")
        (folder / CONFIG).write_text(config(bundle, name, variant), encoding="utf-8")
    return repository / name


def config(bundle: Bundle, name: str, variant: str = "fp32") -> str:
    """The text of ``config.pbtxt``. Triton adds the batch axis itself, so shapes are without it.

    Args:
        bundle: an opened bundle.
        name: of the model in the repository.
        variant: which of the bundle's ONNX variants.
    """
    manifest = bundle.manifest
    outputs = [*manifest.outputs, *([manifest.embedding] if manifest.embedding else [])]
    found = manifest.variants[variant]
    kind = "KIND_CPU" if found.device == "cpu" else "KIND_AUTO"
    lines = [
        f"name: {_quoted(name)}",
        'platform: "onnxruntime_onnx"',
        f"default_model_filename: {_quoted(found.file)}",
        f"max_batch_size: {MAX_BATCH}",
        *(line for tensor in manifest.inputs for line in _tensor("input", tensor)),
        *(line for tensor in outputs for line in _tensor("output", tensor, manifest.labels)),
        f"dynamic_batching {{ max_queue_delay_microseconds: {_QUEUE_MICROSECONDS} }}",
        f"instance_group [ {{ count: 1 kind: {kind} }} ]",
    ]
    return "\n".join(lines) + "\n"


def _tensor(way: str, tensor: TensorSpec, targets: dict[str, list[str]] | None = None) -> Iterator[str]:
    dims = [str(size) if isinstance(size, int) else "-1" for size in tensor.shape[1:]]
    yield f"{way} {{"
    yield f"  name: {_quoted(tensor.name)}"
    yield f"  data_type: {_TYPES[tensor.dtype]}"
    # A value a row, (batch,) in the graph, is an empty shape here, which Triton writes as [1] that is reshaped away.
    yield f"  dims: [ {', '.join(dims) or '1'} ]"
    if not dims:
        yield "  reshape { shape: [ ] }"
    if targets and tensor.name in targets:
        yield f"  label_filename: {_quoted(LABELS.format(target=tensor.name))}"
    yield "}"


def _quoted(text: str) -> str:
    """A string of the text format: UTF-8, quotes and control characters escaped."""
    return json.dumps(text, ensure_ascii=False)
