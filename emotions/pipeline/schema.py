"""What every block of a pipeline file is made of, and the JSON Schema that editors complete and check with."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

MAX_SEED = 2**32 - 1
"""The largest seed that every generator takes."""

Schema = dict[str, Any]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list, json_schema_input_type=Text | list[Text])]
"""Parts of a path or of a name, or several of them; a plain string is a list of one."""


class Block(BaseModel):
    """An object of a pipeline file: no unknown keys, no coercion ("16" is no integer), no change once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=())


class StepConfig(Block):
    """Base of all steps; each names itself in a field ``type``, a ``Literal`` of one name."""


class Document(Block):
    """A pipeline file. Its steps are checked each by its own model."""

    pipeline: list[dict[str, Any]] = Field(min_length=1, description="The steps, run in order.")
    load_dataset_workers_num: int = Field(
        default=0, ge=0, description="Processes that load data; 0 loads in the main process."
    )
    seed: int = Field(default=0, ge=0, le=MAX_SEED, description="Seed of every random choice.")
    schema_: str | None = Field(
        default=None, alias="$schema", description="Where this file's JSON Schema lies; read by editors only."
    )


def document_schema(configs: Sequence[Any]) -> Schema:
    """JSON Schema of a pipeline file, from the pydantic models of all steps or unions of them by ``type``."""
    union: Any = functools.reduce(operator.or_, configs)
    by_type: Any = Annotated[union, Field(discriminator="type")] if len(configs) > 1 else union
    steps = step_schema(by_type)
    document = Document.model_json_schema(by_alias=True)
    definitions = steps.pop("$defs", {})
    for definition in definitions.values():
        # A model's own type has a default; in a file it tells the steps apart, so each must name it.
        if "const" in definition.get("properties", {}).get("type", {}):
            definition["required"] = ["type", *definition.get("required", ())]
    document["properties"]["pipeline"]["items"] = steps
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": draft, **document, "title": "Pipeline", "$defs": definitions}


def step_schema(config: Any) -> Schema:
    """JSON Schema of one step's model or union of models."""
    adapter: TypeAdapter[Any] = TypeAdapter(config)
    return adapter.json_schema()


def known_keys(schema: Schema, value: Any, path: Sequence[str | int]) -> list[str]:
    """The keys that a schema allows in one object of a document.

    Args:
        schema: JSON Schema of the document.
        value: the document.
        path: keys and indices that lead to the object.
    """
    nodes = [*_branches(schema, schema, value)]
    for key in path:
        value = value[key]
        nodes = [
            branch for node in nodes for child in _children(node, key) for branch in _branches(schema, child, value)
        ]
    return [*dict.fromkeys(key for node in nodes for key in node.get("properties", ()))]


def _children(node: Schema, key: str | int) -> list[Schema]:
    if isinstance(key, int):
        return [node["items"]] if "items" in node else []
    return [node["properties"][key]] if key in node.get("properties", ()) else []


def _branches(root: Schema, node: Schema, value: Any) -> Iterator[Schema]:
    """The node itself, its reference followed, and those of its alternatives that the value does not rule out."""
    if "$ref" in node:
        node = root["$defs"][node["$ref"].rpartition("/")[2]]
    if not _agrees(node, value):
        return
    yield node
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        yield from _branches(root, choice, value)
    for rule in node.get("allOf", ()):
        if "if" in rule and _agrees(rule["if"], value):
            yield from _branches(root, rule["then"], value)


def _agrees(node: Schema, value: Any) -> bool:
    """False where a property that the node holds constant has another value."""
    if not isinstance(value, dict):
        return True
    properties = node.get("properties", {}).items()
    return all(value.get(key, rule["const"]) == rule["const"] for key, rule in properties if "const" in rule)
