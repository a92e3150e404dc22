"""The tables of docs/reference/evaluation_json.md, as report/evaluation.schema.json has them.

A key that is not always there says when it is: `x-measure` is the measure that records it, `x-when`
a further condition. `x-unit` is a number's unit, and `x-name` stands for the keys that match a
pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mole_jax.core.errors import UserError
from mole_jax.evaluation.harness.measure import with_needs
from mole_jax.evaluation.measures import quality
from mole_jax.reference_table import code, listed, table
from mole_jax.report.evaluation_file import schema

BEGIN = "<!-- Keys: written by `python -m mole_jax.reference --write`, from the schema. -->\n"
END = "<!-- End of the keys. -->\n"
HEADINGS = ("key", "type", "unit", "there", "meaning")
PAIR = "[number, number]"

Node = Mapping[str, Any]  # a JSON schema, or a part of one


class Row(NamedTuple):
    """A key of the file."""

    key: str
    type: str
    unit: str
    there: str  # when it is there
    meaning: str


def page(text: str) -> str:
    """Return the page with its tables renewed.

    Raises:
        UserError: if the page lacks the marks around the tables.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise UserError(f"the page lacks the line {(END if begin else BEGIN).strip()}: restore it")
    return f"{head}{BEGIN}\n{tables(schema())}\n{END}{tail}"


def tables(schema: Node) -> str:
    """Return a table of the file, and one for each titled part of its schema."""
    parts = [schema, *(part for part in schema["$defs"].values() if "title" in part)]
    return "\n".join(
        f"### {part['title']}\n\n{table(HEADINGS, map(_shown, rows(part, schema)))}"
        for part in parts
    )


def rows(node: Node, schema: Node, prefix: str = "") -> Iterator[Row]:
    """Yield the keys of an object, and those of the objects in it that have no table of their own.

    Args:
        node: the object's schema.
        schema: the whole, which `$ref` refers to.
        prefix: of the keys.
    """
    required = node.get("required", ())
    for name, part in node.get("properties", {}).items():
        yield from _rows_of(f"{prefix}{name}", part, schema, name in required)
    for part in node.get("patternProperties", {}).values():
        yield from _rows_of(f"{prefix}{part['x-name']}", part, schema, False)


def _rows_of(key: str, part: Node, schema: Node, required: bool) -> Iterator[Row]:
    found = resolved(part, schema)
    kind = _type(found) + (", see below" if "title" in found else "")
    there = "always" if required else _there(part)
    yield Row(key, kind, found.get("x-unit", ""), there, found["description"])
    if "title" not in found:
        yield from rows(found, schema, f"{key}.")
        if "properties" in found.get("items", {}):
            yield from rows(found["items"], schema, f"{key}[].")


def resolved(part: Node, schema: Node) -> dict[str, Any]:
    """Return a part with what its `$ref` refers to; its own entries take precedence."""
    if "$ref" not in part:
        return dict(part)
    found = schema
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return {**resolved(found, schema), **{k: x for k, x in part.items() if k != "$ref"}}


def always() -> set[str]:
    """Return the names of the measures that every evaluation has."""
    return {measure.name for measure in with_needs([quality.MEASURE])}


def _there(part: Node) -> str:
    measure, more = part.get("x-measure", ""), part.get("x-when", "")
    needed = f"measure `{measure}`" if measure and measure not in always() else ""
    return "; ".join(filter(None, (needed, more)))


def _type(found: Node) -> str:
    if "enum" in found:
        return listed([f'"{value}"' for value in found["enum"]])
    if found["type"] == "array":
        return PAIR if found.get("maxItems") == 2 else "array"
    kinds = found["type"]
    return kinds if isinstance(kinds, str) else listed(kinds)


def _shown(row: Row) -> tuple[str, ...]:
    return (code(row.key), *row[1:])
