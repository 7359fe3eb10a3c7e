"""Tensors of the Open Inference Protocol, version 2, in JSON and in binary, to clips and from predictions.

In binary, by the protocol's extension, they follow the JSON, whose length is in ``Inference-Header-Content-Length``.
Names, shapes, types and sizes are compared with what came before anything of their size is made.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import IO, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import LENGTH, WAVEFORM, Manifest
from serving.http.body.bounded_json import LongStrings, parse_bounded
from serving.http.body.text import AUDIO, recording_of
from serving.http.errors import RequestError
from serving.settings import Settings
from serving.worker.engine import Clip

_STRICT = ConfigDict(strict=True)
_KINDS = {"FP32": ("<f4", frozenset({int, float})), "INT64": ("<i8", frozenset({int}))}
"""A datatype's numbers in binary, and the types that they may have in JSON."""
_UNSUPPORTED = ("shared_memory_region", "classification")
"""Parameters of the protocol's extensions that say where a tensor is or what it holds: to ignore one would be wrong."""


class Parameters(BaseModel):
    """Parameters of a tensor or of a request; unknown ones are ignored, as the protocol has it."""

    model_config = ConfigDict(strict=True, extra="allow")

    binary_data_size: Annotated[int, Field(ge=0)] | None = None
    binary_data: bool | None = None
    binary_data_output: bool = False


class Tensor(BaseModel):
    """An input: ``data`` in row-major order, nested or flat, or ``binary_data_size`` bytes behind the JSON."""

    model_config = _STRICT

    name: str
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=1 << 63)]], Field(min_length=1, max_length=2)]
    datatype: Literal["FP32", "INT64", "BYTES"]
    data: list[Any] | None = None
    parameters: Parameters = Parameters()


class Output(BaseModel):
    """A requested output."""

    model_config = _STRICT

    name: str
    parameters: Parameters = Parameters()


class InferenceRequest(BaseModel):
    """The JSON of a request to ``/infer``; unknown keys are ignored."""

    model_config = _STRICT

    id: str | None = Field(default=None, max_length=128)
    inputs: Annotated[list[Tensor], Field(max_length=8)]
    outputs: Annotated[list[Output], Field(max_length=256)] | None = None
    parameters: Parameters = Parameters()

    def is_binary(self, name: str) -> bool:
        """Whether the output of that name is to be sent in binary."""
        chosen = [output.parameters.binary_data for output in self.outputs or () if output.name == name]
        return self.parameters.binary_data_output if not chosen or chosen[0] is None else chosen[0]


_REQUEST = TypeAdapter(InferenceRequest)


def parse(
    file: IO[bytes], json_bytes: int | None, settings: Settings, manifest: Manifest
) -> tuple[InferenceRequest, list[Clip]]:
    """Parse a request and the clips in it.

    Args:
        file: the request's body.
        json_bytes: length of its JSON, which binary tensors follow; None for a body of JSON alone, and 0 for one
            without, which is a recording.
        settings: have the limits.
        manifest: of the model that is asked.

    Raises:
        RequestError: 400, it does not conform to the protocol or the model; 413, too many rows, or too much JSON.
    """
    content = file.read()
    if json_bytes == 0:
        return _RAW, [io.BytesIO(content)]
    if json_bytes is not None and json_bytes > len(content):
        raise malformed(f"the body has {len(content)} bytes, fewer than the {json_bytes} of its JSON")
    request, strings = _request(content[:json_bytes], settings)
    _check_outputs(request, manifest)
    parts = _binary_parts(request, memoryview(content)[len(content) if json_bytes is None else json_bytes :])
    return request, _clips(request.inputs, parts, strings, settings.max_items)


def malformed(message: str) -> RequestError:
    """400 for what does not conform to the protocol."""
    return RequestError(400, "bad_request", message)


_RAW = InferenceRequest(
    inputs=[Tensor(name=AUDIO, shape=[1], datatype="BYTES")], parameters=Parameters(binary_data_output=True)
)
"""The request that a recording without any JSON stands for."""


def _request(content: bytes, settings: Settings) -> tuple[InferenceRequest, LongStrings]:
    max_rows = settings.max_items
    most = {b"{": 1024, b"[": 1024 + max_rows, b":": 4096, b'"': 8192 + 2 * max_rows}
    body, strings = parse_bounded(content, settings.max_json_bytes, most)
    try:
        return _REQUEST.validate_python(body), strings
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the request"
        raise malformed(f"{where}: {fault['msg'].lower()}") from error


def _check_outputs(request: InferenceRequest, manifest: Manifest) -> None:
    outputs = [output.name for output in request.outputs or ()]
    if unknown := [name for name in outputs if name not in manifest.targets]:
        raise malformed(f"no output is called {unknown[0][:64]!r}: there are {', '.join(manifest.targets)}")
    for kind, names in (("input", [tensor.name for tensor in request.inputs]), ("output", outputs)):
        if len(set(names)) < len(names):
            raise malformed(f"an {kind} is named twice")
    for each in (*request.inputs, *(request.outputs or ())):
        if asked := [name for name in _UNSUPPORTED if name in (each.parameters.model_extra or {})]:
            raise malformed(f"{each.name!r}: the parameter {asked[0]!r} is not supported")


def _binary_parts(request: InferenceRequest, binary: memoryview) -> dict[str, memoryview]:
    """Name -> bytes of each input that is in binary; together they are all the bytes behind the JSON."""
    parts = {}
    for tensor in request.inputs:
        size = tensor.parameters.binary_data_size
        if (size is None) == (tensor.data is None):
            raise malformed(f"{tensor.name[:64]!r} has either data or binary_data_size")
        if size is not None:
            if size > len(binary):
                raise malformed(f"{tensor.name[:64]!r} has {len(binary)} bytes in binary, not {size}")
            parts[tensor.name], binary = binary[:size], binary[size:]
    if len(binary):
        raise malformed(f"{len(binary)} bytes behind the JSON belong to no input")
    return parts


def _clips(inputs: Sequence[Tensor], parts: dict[str, memoryview], strings: LongStrings, max_rows: int) -> list[Clip]:
    tensors = {tensor.name: tensor for tensor in inputs}
    if set(tensors) not in ({AUDIO}, {WAVEFORM}, {WAVEFORM, LENGTH}):
        raise malformed(f"inputs are {WAVEFORM!r} with or without {LENGTH!r}, or {AUDIO!r}")
    first = tensors.get(AUDIO) or tensors[WAVEFORM]
    _check_rows(first, parts.get(first.name), max_rows)
    if AUDIO in tensors:
        return [*map(io.BytesIO, _recordings(first, parts.get(AUDIO), strings))]
    rows = _numbers(first, parts.get(WAVEFORM), "FP32", 2)
    if LENGTH not in tensors:
        return [*rows]
    lengths = _numbers(tensors[LENGTH], parts.get(LENGTH), "INT64", 1).tolist()
    if len(lengths) != len(rows) or not all(0 <= length <= rows.shape[1] for length in lengths):
        raise malformed(f"{LENGTH!r} holds, for each row of {WAVEFORM!r}, how many of its samples are real")
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _check_rows(tensor: Tensor, part: memoryview | None, max_rows: int) -> None:
    """Bound the rows before there is an object for each; a shape that the data in JSON contradict is told as such."""
    if tensor.shape[0] == 0:
        raise malformed(f"{tensor.name!r} has no rows")
    if tensor.shape[0] > max_rows:
        if part is None:
            _check_count(tensor, len(_flat(tensor)))
        raise RequestError(413, "too_many_items", f"a batch holds 1 to {max_rows} rows")


def _check_type(tensor: Tensor, datatype: str, rank: int) -> None:
    if tensor.datatype != datatype or len(tensor.shape) != rank:
        raise malformed(f"{tensor.name!r} is {datatype} with {rank} dimension{'s' if rank > 1 else ''}")


def _check_count(tensor: Tensor, count: int) -> None:
    if count != math.prod(tensor.shape):
        raise malformed(f"{tensor.name!r} has {count} values, its shape says {math.prod(tensor.shape)}")


def _numbers(tensor: Tensor, part: memoryview | None, datatype: str, rank: int) -> FloatArray | IntArray:
    _check_type(tensor, datatype, rank)
    dtype, types = _KINDS[datatype]
    if part is not None:
        size = np.dtype(dtype).itemsize
        if len(part) % size:
            raise malformed(f"{tensor.name!r} has {len(part)} bytes, which are no whole {datatype} numbers")
        _check_count(tensor, len(part) // size)
        return np.frombuffer(part, dtype).reshape(tensor.shape)
    values = _flat(tensor)
    _check_count(tensor, len(values))
    if not types.issuperset(map(type, values)):
        raise malformed(f"{tensor.name!r} holds something else than numbers of {datatype}")
    try:
        with np.errstate(over="ignore"):  # beyond FP32 it becomes infinite, and is refused as not finite
            return np.array(values, dtype).reshape(tensor.shape)
    except OverflowError as error:
        raise malformed(f"{tensor.name!r} holds something else than numbers of {datatype}") from error


def _flat(tensor: Tensor) -> list[Any]:
    """The values of a tensor, whose rows may be lists of their own."""
    rows = tensor.data or []
    if len(tensor.shape) != 2 or not any(isinstance(row, list) for row in rows):
        return rows
    if len(rows) != tensor.shape[0] or not all(isinstance(row, list) and len(row) == tensor.shape[1] for row in rows):
        raise malformed(f"{tensor.name!r} has rows of another size than its shape says, or something else than numbers")
    return [value for row in rows for value in row]


def _recordings(tensor: Tensor, part: memoryview | None, strings: LongStrings) -> list[bytes]:
    _check_type(tensor, "BYTES", 1)
    if part is not None:
        return _strings(tensor, part)
    values = tensor.data or []
    _check_count(tensor, len(values))
    if not all(isinstance(value, str) for value in values):
        raise malformed(f"{AUDIO!r} holds something else than base64")
    return [recording_of(strings.text(value), f"{AUDIO!r} is neither base64 nor a data URI") for value in values]


def _strings(tensor: Tensor, part: memoryview) -> list[bytes]:
    """The elements of a BYTES tensor: each is its length in 4 bytes, little-endian, and then as many bytes."""
    found: list[bytes] = []
    while len(part) >= 4 and len(found) < tensor.shape[0]:
        size = int.from_bytes(part[:4], "little")
        if size > len(part) - 4:
            break
        found.append(bytes(part[4 : 4 + size]))
        part = part[4 + size :]
    if len(part) or len(found) != tensor.shape[0]:
        raise malformed(f"{tensor.name!r} is not {tensor.shape[0]} strings, each behind its length in 4 bytes")
    return found
