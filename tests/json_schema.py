"""What a JSON value has against a JSON schema, of the keywords that our schemas have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

TYPES = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    "integer": int, "number": (int, float),
}  # fmt: skip
CHECKED = {"type", "enum", "required", "properties", "patternProperties", "additionalProperties",
           "items", "minItems", "maxItems", "$ref"}  # fmt: skip
SAID = {"$schema", "$defs", "title", "description"}  # what says something to people alone


def faults(value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any], at: str = "") -> list:
    """Return one line for each fault, with the path of the value.

    Args:
        value: what `json.loads` gives.
        schema: what it should be.
        whole: the schema that `$ref` refers to.
        at: the path of the value.
    """
    return list(_faults(value, schema, whole, at))


def strangers(schema: Any) -> set[str]:
    """Return the keywords of a schema that are not looked at here, those with x- left out."""
    found = {k for part in parts(schema) for k in part if not k.startswith("x-")}
    return found - CHECKED - SAID


def parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and all schemas in it."""
    yield schema
    for keyword in ("properties", "patternProperties", "$defs"):
        for part in schema.get(keyword, {}).values():
            yield from parts(part)
    if "items" in schema:
        yield from parts(schema["items"])


def _faults(
    value: Any, schema: Mapping[str, Any], whole: Mapping[str, Any], at: str
) -> Iterator[str]:
    if "$ref" in schema:
        found = whole
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        yield from _faults(value, found, whole, at)
    kinds = schema.get("type", [])
    if kinds and not any(
        _is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)
    ):
        yield f"{at}: {value!r} is not {kinds}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if isinstance(value, dict):
        yield from (f"{at}: lacks {key}" for key in schema.get("required", ()) if key not in value)
        for key, x in value.items():
            own = [
                *([schema["properties"][key]] if key in schema.get("properties", {}) else []),
                *(s for p, s in schema.get("patternProperties", {}).items() if re.search(p, key)),
            ]
            if not own and schema.get("additionalProperties", True) is False:
                yield f"{at}: has {key}"
            for part in own:
                yield from _faults(x, part, whole, f"{at}.{key}")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{at}: has {len(value)} items"
        for i, x in enumerate(value):
            yield from _faults(x, schema.get("items", {}), whole, f"{at}[{i}]")


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):  # which Python takes for an int
        return kind == "boolean"
    return isinstance(value, TYPES[kind])
