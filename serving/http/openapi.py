"""The description of the routes below ``/v1`` and ``/v2`` as OpenAPI 3.0."""

from __future__ import annotations

from typing import Any

import emotions

Json = dict[str, Any]

# The Swagger page at ``/``: BentoML's files of it, without the tracker that BentoML's own page loads.
PAGE = """<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8">
    <title>Speech emotion recognition</title>
    <link rel="stylesheet" type="text/css" href="./static_content/swagger-ui.css" />
    <link rel="stylesheet" type="text/css" href="./static_content/index.css" />
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="./static_content/swagger-ui-bundle.js" charset="UTF-8"></script>
    <script src="./static_content/swagger-ui-standalone-preset.js" charset="UTF-8"></script>
    <script src="./static_content/swagger-initializer.js" charset="UTF-8"></script>
  </body>
</html>
"""
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    "x-content-type-options": "nosniff",
}
"""A browser that shows the page asks nobody but this service."""

_ERRORS = {
    400: "malformed multipart, no field `file`, an empty body",
    401: "no API key, or an unknown one",
    413: "more bytes, seconds or items than allowed",
    415: "not a recording that we read",
    422: "too short, silent, or with a NaN sample",
    429: "as many requests as allowed are in flight; come back after `Retry-After` seconds",
    500: "an error on our side",
    503: "not ready, or too much audio is waiting; come back after `Retry-After` seconds",
    504: "took too long",
}
_RECORDING = "A recording: WAV, FLAC, OGG, OPUS, MP3, M4A, AAC, WEBM, AIFF, AU or CAF."


def document() -> Json:
    """The whole description."""
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Speech emotion recognition",
            "version": emotions.__version__,
            "description": "Recordings in, probabilities of each label out.",
        },
        "paths": paths(),
        "components": {"schemas": schemas(), "securitySchemes": _security()},
        "security": [{"bearer": []}, {"header": []}, {}],
    }


def merged(other: Json) -> Json:
    """Another OpenAPI description, BentoML's own, with ours in it and our title."""
    ours = document()
    components = {**other.get("components", {})}
    for kind, named in ours["components"].items():
        components[kind] = {**components.get(kind, {}), **named}
    paths = {**other.get("paths", {}), **ours["paths"]}
    told = {key: ours[key] for key in ("info", "security")}
    return {**other, **told, "paths": paths, "components": components}


def paths() -> Json:
    """The routes."""
    windows = _parameter("windows", "query", "1 adds what the model says of each window")
    return {
        "/v1/predict": {"post": _post("Classify one recording", _one(), "Prediction", [windows, _request_id()])},
        "/v1/predict/batch": {
            "post": _post("Classify several recordings", _several(), "Batch", [windows, _request_id()])
        },
        "/v1/model": {"get": _operation("What is served, and its limits", "Model", (401, 503))},
        "/v2": {"get": _operation("The server, by the Open Inference Protocol", "Metadata", ())},
        "/v2/health/live": {"get": _operation("Whether the process lives", "Metadata", ())},
        "/v2/health/ready": {"get": _operation("Whether the model answers", "Metadata", (503,))},
        "/v2/models/{name}": {"get": _named("The model's tensors", "Metadata")},
        "/v2/models/{name}/ready": {"get": _named("Whether the model answers", "Metadata")},
        "/v2/models/{name}/infer": {
            "post": {**_named("Classify tensors", "InferenceResponse"), "requestBody": _json("InferenceRequest")}
        },
    }


def schemas() -> Json:
    """The answers' schemas."""
    number, text = {"type": "number"}, {"type": "string"}
    scores = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": number}}
    error = _object({"code": text, "message": text, "status": {"type": "integer"}}, ["code", "message"])
    window = _object({"start": number, "end": number, "probabilities": scores})
    timing = _object(dict.fromkeys(("decode", "queue", "inference", "total"), number), [])
    scored = {"label": text, "confidence": number, "probabilities": scores, "duration_sec": number}
    windows = {"type": "array", "items": window}
    doubt = {"type": "boolean", "description": "Too unsure to be an answer; where the bundle has thresholds."}
    unknown_targets = {"unknown": doubt, "unknowns": {"type": "object", "additionalProperties": {"type": "boolean"}}}
    item = _object(
        {
            "index": {"type": "integer"},
            **scored,
            "timing_ms": timing,
            "windows": windows,
            "error": error,
            **unknown_targets,
        },
        [],
    )
    told = {"timing_ms": timing, "bundle": text, "request_id": text}
    return {
        "Prediction": _object({**scored, **told, "windows": windows, **unknown_targets}, [*scored, *told]),
        "Batch": _object({"results": {"type": "array", "items": item}, "errors": {"type": "integer"}, **told}),
        "Model": _object({name: {} for name in _MODEL_KEYS}),
        "Error": _object({"error": error, "request_id": text}),
        "Metadata": {"type": "object"},
        "Tensor": _object(
            {"name": text, "datatype": text, "shape": {"type": "array", "items": {"type": "integer"}}, "data": {}},
        ),
        "InferenceRequest": _object({"id": text, "inputs": _tensors(), "outputs": _tensors()}, ["inputs"]),
        "InferenceResponse": _object({"id": text, "model_name": text, "model_version": text, "outputs": _tensors()}),
    }


_MODEL_KEYS = (
    *("bundle", "name", "targets", "sample_rate", "window"),
    *("device", "provider", "variant", "versions", "limits"),
)


def _tensors() -> Json:
    return {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}


def _object(properties: Json, required: list[str] | None = None) -> Json:
    names = [*properties] if required is None else required
    return {"type": "object", "properties": properties, **({"required": names} if names else {})}


def _one() -> Json:
    binary = {"type": "string", "format": "binary", "description": _RECORDING}
    form = _object({"file": binary})
    return {"multipart/form-data": {"schema": form}, "application/octet-stream": {"schema": binary}}


def _several() -> Json:
    binary = {"type": "string", "format": "binary"}
    form = _object({"file": {"type": "array", "items": binary, "description": _RECORDING}})
    return {"multipart/form-data": {"schema": form}}


def _json(schema: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _post(summary: str, content: Json, answer: str, parameters: list[Json]) -> Json:
    body = {"required": True, "content": content}
    return {**_operation(summary, answer, tuple(_ERRORS)), "requestBody": body, "parameters": parameters}


def _named(summary: str, answer: str) -> Json:
    name = {**_parameter("name", "path", "the model's name"), "required": True}
    return {**_operation(summary, answer, (400, 401, 413, 429, 503, 504)), "parameters": [name]}


def _operation(summary: str, answer: str, errors: tuple[int, ...]) -> Json:
    def response(description: str, schema: str) -> Json:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        return {"description": description, "content": content}

    refused = {str(status): response(_ERRORS[status], "Error") for status in errors}
    return {"summary": summary, "tags": ["emotions"], "responses": {"200": response("OK", answer), **refused}}


def _parameter(name: str, place: str, description: str) -> Json:
    return {"name": name, "in": place, "description": description, "schema": {"type": "string"}}


def _request_id() -> Json:
    return _parameter("X-Request-Id", "header", "your own name of the request; it comes back")


def _security() -> Json:
    return {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
