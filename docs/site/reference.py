"""Pages of the reference that are made from the code, so that they cannot differ from it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

import emotions
from emotions.bundle import manifest
from emotions.bundle.bundle import FORMAT_VERSIONS
from emotions.cli import build_app
from emotions.pipeline.runner import pipeline_schema
from serving.http.openapi import document
from serving.http.route_table import ROUTES
from serving.settings import CONFIG, PREFIX, Settings
from serving.telemetry.metrics import Metrics

Json = Mapping[str, Any]


def generated() -> dict[str, str]:
    """Every generated page, by its place in the site."""
    return {
        "reference/command_line.md": _command_line(),
        "reference/configuration_keys.md": _configuration_keys(),
        "reference/http_operations.md": _http_operations(),
        "reference/python_interface.md": _python_interface(),
        "reference/bundle_format.md": _bundle_format(),
        "reference/settings.md": _settings(),
        "reference/metrics.md": _metrics(),
    }


def _table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(each) for each in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    """Text of a cell; a placeholder such as <name> is no HTML, but in code it stays as it is."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text).replace("|", r"\|").strip())
    return "".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))


def _code(text: object) -> str:
    return f"`{text}`"


def _plain(text: str | None) -> str:
    """A docstring's text as Markdown."""
    return inspect.cleandoc(text or "").replace("``", "`")


def _command_line() -> str:
    commands = _commands(typer.main.get_command(build_app()), "emotions")
    return "# Command line\n\nEvery command and option, as `--help` has them.\n\n" + "\n".join(commands)


def _commands(command: Any, name: str) -> Iterator[str]:
    yield f"## {_code(name)}\n\n{_plain(command.help)}\n"
    options = [option for option in command.params if not getattr(option, "hidden", False)]
    if options:
        yield _table(("option", "default", "meaning"), (_option(option) for option in options))
    for below, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from _commands(each, f"{name} {below}")


def _option(option: Any) -> tuple[str, str, str]:
    if option.param_type_name == "argument":
        names = option.name.upper()
    else:
        names = ", ".join((*option.opts, *option.secondary_opts))
    default = "required" if option.required else option.default
    unset = default is None or default is False or default in ((), []) or callable(default)
    shown = "" if unset else str(default)
    return _code(names), shown, _plain(getattr(option, "help", "") or "")


def _configuration_keys() -> str:
    schema = pipeline_schema()
    parts = [
        "# Configuration keys\n\nEvery key of a pipeline file, from its JSON Schema, which `emotions schema` prints. "
        "[Pipeline files](pipeline_file.md) shows how they are used.\n",
        f"## Pipeline file\n\n{_properties(schema)}",
    ]
    for name, definition in sorted(schema.get("$defs", {}).items()):
        if "properties" in definition:
            parts.append(f"## {name}\n\n{_plain(definition.get('description'))}\n\n{_properties(definition)}")
    return "\n".join(parts)


def _properties(schema: Json) -> str:
    required = schema.get("required", [])
    rows = (
        (
            _code(name),
            _type(found),
            "required" if name in required else _code(json.dumps(found.get("default"))),
            _plain(found.get("description")),
        )
        for name, found in schema["properties"].items()
    )
    return _table(("key", "type", "default", "meaning"), rows)


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return _linked(schema["$ref"])
    if "const" in schema:
        return _code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(_code(json.dumps(each)) for each in schema["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_type(each) for each in schema[several])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]}" for key, sign in limits.items() if key in schema]
    return " ".join([str(schema.get("type", "any")), ", ".join(bounds)]).strip()


def _linked(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{name}](#{name.lower()})" if reference.startswith("#/$defs/") else _code(name)


def _http_operations() -> str:
    described = document(ROUTES)
    parts = ["# HTTP operations\n\nEvery route, from the OpenAPI document. [HTTP](http.md) shows how they are used.\n"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            words = [operation.get("summary", ""), operation.get("description", "")]
            parts.append(f"## {_code(f'{method.upper()} {path}')}\n\n" + "\n\n".join(filter(None, words)) + "\n")
            if parameters := operation.get("parameters"):
                rows = (
                    (_code(p["name"]), p["in"], p.get("description", "")) for p in map(_resolver(described), parameters)
                )
                parts.append(_table(("parameter", "in", "meaning"), rows))
            answers = (
                (str(s), _resolver(described)(a).get("description", "")) for s, a in operation["responses"].items()
            )
            parts.append(_table(("status", "meaning"), answers))
    return "\n".join(parts)


def _resolver(described: Json) -> Any:
    def resolve(found: Json) -> Json:
        for step in found["$ref"].removeprefix("#/").split("/") if "$ref" in found else ():
            found = described[step] if step in described else found[step]
        return found

    return resolve


def _python_interface() -> str:
    parts = [
        "# Python interface\n\nWhat `import emotions` offers. [Python](../how-to/python.md) shows how it is used.\n"
    ]
    for name in emotions.__all__:
        if not name.startswith("_"):
            parts += _object(getattr(emotions, name), f"emotions.{name}", "##")
    return "\n".join(parts)


def _object(found: Any, name: str, heading: str) -> Iterator[str]:
    signature = ""
    if callable(found) and not (inspect.isclass(found) and issubclass(found, BaseException)):
        signature = f"```python\n{name.rpartition('.')[2]}{inspect.signature(found)}\n```\n\n"
    yield f"{heading} {_code(name)}\n\n{signature}{_docstring(inspect.getdoc(found) or '')}\n"
    if inspect.isclass(found):
        for member, value in vars(found).items():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                yield from _object(value, f"{name}.{member}", "###")


def _docstring(text: str) -> str:
    """A docstring in Google's style as Markdown: each section a list."""
    head, *rest = re.split(r"^(Args|Attributes|Returns|Yields|Raises):$", text, flags=re.MULTILINE)
    parts = [_plain(head)]
    for section, body in zip(rest[::2], rest[1::2], strict=True):
        entries = "\n".join(f"- {_cell(_plain(entry))}" for entry in re.split(r"\n(?=\S)", _plain(body)))
        parts.append(f"**{section}**\n\n{entries}")
    return "\n\n".join(parts) + "\n"


def _bundle_format() -> str:
    parts = [f"# Bundle format\n\nFormat version {FORMAT_VERSIONS[-1]}; every earlier one is read.\n"]
    overview, _, _ = (manifest.__doc__ or "").partition("The specification")
    parts.append(_plain(overview) + "\n")
    for model in (manifest.Manifest, manifest.Window, manifest.TensorSpec, manifest.Variant, manifest.Dataset):
        where = " (`manifest.json`)" if model is manifest.Manifest else ""
        parts.append(f"## {model.__name__}{where}\n\n{_plain(model.__doc__)}\n\n{_properties(_schema(model))}")
    return "\n".join(parts)


def _schema(model: type[BaseModel]) -> Json:
    return model.model_json_schema()


def _settings() -> str:
    meanings = _attributes(Settings.__doc__ or "")
    rows = (
        (_code(PREFIX + name.upper()), "" if field.default in (None, ()) else _code(field.default), meanings[name])
        for name, field in Settings.model_fields.items()
    )
    introduction = (
        f"# Settings\n\nThe service's settings: environment variables, or keys of the JSON file that `{CONFIG}` names, "
        f"there without `{PREFIX}` and in small letters. [Service](../how-to/service.md) explains them.\n\n"
    )
    return introduction + _table(("variable", "default", "meaning"), rows)


def _attributes(text: str) -> dict[str, str]:
    body = inspect.cleandoc(text).partition("Attributes:\n")[2]
    return {found[1]: _plain(found[2]) for found in re.finditer(r"^ {4}(\w+): ((?:.|\n {5,})+)", body, re.MULTILINE)}


def _metrics() -> str:
    registry = CollectorRegistry()
    Metrics(registry)
    names = (
        (_code(each.name + "_total" * (each.type == "counter")), each.type, each.documentation)
        for each in registry.collect()
    )
    return "# Metrics\n\nWhat `/metrics` answers, for Prometheus.\n\n" + _table(("metric", "type", "meaning"), names)
