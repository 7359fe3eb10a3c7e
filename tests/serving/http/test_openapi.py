from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from starlette.routing import Route

from serving.http.openapi import document, merged
from serving.http.route_table import ROUTES, application, find_route
from tests.serving.conftest import Service

METHODS = {"get", "post"}


def references(node: Any) -> set[str]:
    """Every ``$ref`` below a node."""
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_the_document_is_served_before_the_model_is_loaded(service: Service) -> None:
    service.worker.engine = None
    assert service.request("GET", "/v1/openapi.json").json() == document(ROUTES)


def test_every_route_is_described_with_its_methods(service: Service) -> None:
    routes = [each for each in application(service.worker).routes if isinstance(each, Route)]
    described = {(path, method) for path, item in document(ROUTES)["paths"].items() for method in item}
    served = {(each.path, method.lower()) for each in routes for method in each.methods or ()}
    unlisted = {"/", "/page/{name:path}", "/docs", "/v1/openapi.json", "/metrics", "/docs.json", "/v1/asyncapi.json"}
    versions = {pair for pair in served if "/versions/" in pair[0]}
    wanted = {(path, method) for path, method in served - versions if method in METHODS and path not in unlisted}
    assert wanted == described


def test_the_swagger_page_asks_nobody_but_the_service(service: Service) -> None:
    page = service.request("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "swagger-ui-bundle.js" in page.text
    assert "//" not in page.text


def test_every_reference_is_there() -> None:
    found = document(ROUTES)
    for reference in references(found):
        node = found
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


def test_an_answer_has_what_is_described(service: Service, clip: bytes) -> None:
    schemas = document(ROUTES)["components"]["schemas"]
    answers = {
        "Prediction": service.post(clip, "/v1/predict?windows=1"),
        "Batch": service.request("POST", "/v1/predict/batch", files={"file": ("a.wav", clip)}),
        "Model": service.request("GET", "/v1/model"),
        "Error": service.post(b"text"),
    }
    # This bundle has no thresholds and no dimensions, and all of a recording is asked for.
    absent = {"unknown", "unknowns", "values", "dimensions", "segments", "speech_sec", "call"}
    for name, response in answers.items():
        assert set(response.json()) == set(schemas[name]["properties"]) - absent, name
    split = service.post(clip, "/v1/predict?channels=split&calls=0").json()
    assert set(split) == set(schemas["Channels"]["properties"]) - absent
    (channel,) = split["channels"]
    described = schemas["Channels"]["properties"]["channels"]["items"]["properties"]
    assert set(channel) == set(described) - absent - {"windows", "error"}
    assert absent <= {*schemas["Prediction"]["properties"], *schemas["Model"]["properties"]}


def test_the_document_goes_into_bentomls() -> None:
    other = {
        "openapi": "3.0.2",
        "info": {"contact": {"name": "BentoML Team"}},
        "paths": {"/predict": {}},
        "components": {"schemas": {"Task": {}}},
    }
    both = merged(document(ROUTES), other)
    assert {"/predict", "/v1/predict"} <= set(both["paths"])
    assert {"Task", "Prediction"} <= set(both["components"]["schemas"])
    assert both["info"] == document(ROUTES)["info"]
    assert other["components"] == {"schemas": {"Task": {}}}


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/predict", "/v1/predict"),
        ("/v2/models/mine/infer", "/v2/models/{name}/infer"),
        ("/v2/models/mine/versions/3/ready", "/v2/models/{name}/versions/{version}/ready"),
        ("/v2/models/mine/else", "/v2/other"),
        ("/alice.wav", "other"),
    ],
)
def test_a_path_becomes_a_template(path: str, template: str) -> None:
    assert find_route(path)[0].path == template


def test_errors_have_the_described_form_and_status(service: Service, clip: bytes) -> None:
    described = document(ROUTES)
    schemas = {**described["components"]["schemas"]}
    asked = [
        ("post", "/v1/predict", "/v1/predict", b"text"),
        ("post", "/v1/predict", "/v1/predict", b""),
        ("get", "/v2/models/{name}", "/v2/models/other", None),
        ("get", "/v2/models/{name}/ready", "/v2/models/other/ready", None),
        ("post", "/v2/models/{name}/infer", "/v2/models/other/infer", b"{}"),
        ("post", "/v2/models/{name}/infer", "/v2/models/tiny/infer", b"{}"),
    ]
    for method, path, asked_path, content in asked:
        response = service.request(method.upper(), asked_path, content=content)
        told = described["paths"][path][method]["responses"][str(response.status_code)]
        reference = told["content"]["application/json"]["schema"]["$ref"]
        schema = {**schemas[reference.rpartition("/")[2]], "additionalProperties": False}
        jsonschema.validate(response.json(), schema)


def test_bentomls_route_is_described_as_ours() -> None:
    ours = document(ROUTES)
    both = merged(ours, {"paths": {"/predict": {"post": {"responses": {}}}, "/livez": {"get": {}}}})
    assert both["paths"]["/predict"] == ours["paths"]["/v1/predict"]
    assert both["paths"]["/livez"] == {"get": {}}
