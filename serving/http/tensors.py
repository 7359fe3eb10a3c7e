"""Parse JSON tensors of the Open Inference Protocol into clips."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from emotions.audio.windows import FloatArray
from emotions.bundle.manifest import LENGTH, WAVEFORM, Manifest
from serving.http.errors import RequestError
from serving.worker.engine import Clip

AUDIO = "audio"


class Tensor(BaseModel):
    """An input: ``data`` in row-major order, nested or flat."""

    name: str
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=2)]
    datatype: Literal["FP32", "INT64", "BYTES"]
    data: list[Any]


class Output(BaseModel):
    """A requested output."""

    name: str


class InferenceRequest(BaseModel):
    """The body of a request to ``/infer``; ``parameters`` and other keys are ignored."""

    id: str | None = Field(default=None, max_length=128)
    inputs: list[Tensor]
    outputs: list[Output] | None = None


_REQUEST = TypeAdapter(InferenceRequest)


def parse(content: bytes, max_rows: int, manifest: Manifest) -> tuple[InferenceRequest, list[Clip]]:
    """Parse a request and the clips in it.

    Args:
        content: the request's body.
        max_rows: most clips.
        manifest: of the model that is asked.

    Raises:
        RequestError: 400, it does not conform to the protocol or the model; 413, it has too many rows.
    """
    try:
        request = _REQUEST.validate_python(json.loads(content))
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise _malformed(f"{where}: {fault['msg'].lower()}") from error
    except (ValueError, RecursionError) as error:
        raise _malformed("the body is not JSON") from error
    if unknown := [output.name for output in request.outputs or () if output.name not in manifest.targets]:
        raise _malformed(f"no output is called {unknown[0]!r}: there are {', '.join(manifest.targets)}")
    clips = _clips({tensor.name: tensor for tensor in request.inputs})
    if not 0 < len(clips) <= max_rows:
        raise RequestError(413, "too_many_items", f"a batch holds 1 to {max_rows} rows")
    return request, clips


def _malformed(message: str) -> RequestError:
    return RequestError(400, "bad_request", message)


def _clips(inputs: dict[str, Tensor]) -> list[Clip]:
    names = set(inputs)
    if names == {AUDIO}:
        return [*map(_recording, _values(inputs[AUDIO], "BYTES", 1))]
    if names not in ({WAVEFORM}, {WAVEFORM, LENGTH}):
        raise _malformed(f"inputs are {WAVEFORM!r} with or without {LENGTH!r}, or {AUDIO!r}")
    tensor = inputs[WAVEFORM]
    rows = _numbers(tensor, "FP32", 2, np.float32).reshape(tensor.shape)
    if LENGTH not in inputs:
        return [*rows]
    lengths = _numbers(inputs[LENGTH], "INT64", 1, np.int64).tolist()
    if len(lengths) != len(rows) or not all(0 <= length <= rows.shape[1] for length in lengths):
        raise _malformed(f"{LENGTH!r} holds, for each row of {WAVEFORM!r}, how many of its samples are real")
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _values(tensor: Tensor, datatype: str, rank: int) -> list[Any]:
    if tensor.datatype != datatype or len(tensor.shape) != rank:
        raise _malformed(f"{tensor.name!r} is {datatype} with {rank} dimension{'s' if rank > 1 else ''}")
    if rank == 1 and len(tensor.data) != tensor.shape[0]:
        raise _malformed(f"{tensor.name!r} has {len(tensor.data)} values, its shape says {tensor.shape[0]}")
    return tensor.data


def _numbers(tensor: Tensor, datatype: str, rank: int, kind: Any) -> Any:
    values = _values(tensor, datatype, rank)
    try:
        array: FloatArray = np.asarray(values, kind).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise _malformed(f"{tensor.name!r} holds something else than numbers") from error
    if array.size != math.prod(tensor.shape):
        raise _malformed(f"{tensor.name!r} has {array.size} values, its shape says {math.prod(tensor.shape)}")
    return array


def _recording(text: Any) -> io.BytesIO:
    try:
        return io.BytesIO(base64.b64decode(text, validate=True))
    except (binascii.Error, TypeError, ValueError) as error:
        raise _malformed(f"{AUDIO!r} holds something else than base64") from error
