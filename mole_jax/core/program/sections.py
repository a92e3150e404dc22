"""Sections of a config: frozen dataclasses, which hold the defaults of their keys and check them.

A few values, the tags, decide which keys there are: the keys of a ViT do not exist where
`network.name` is "mlp". Such a section is `Tagged`: one dataclass for each choice.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ml_collections import ConfigDict

from mole_jax.core import compat

Section = TypeVar("Section")

NOT_A_KEY = {"key": False}  # metadata of a field that configs do not have
_FIELD = re.compile(r"^    (\w+): [^=#]+=[^#]*(?:# (.*))?$")  # its name, and the comment


@dataclasses.dataclass(frozen=True)
class Tagged:
    """A section whose keys depend on a value of the config.

    tag: the key of that value, such as "network.name". choices: name -> the section's dataclass.
    name_of: which choice a value stands for, where the value is not the name itself.
    """

    tag: str
    choices: Mapping[str, type]
    name_of: Callable[[str], str] = str

    def of(self, config: Mapping[str, Any] | ConfigDict) -> type | None:
        """Return the dataclass that a config chooses; None where its tag has no known value."""
        value = value_of(config, self.tag, compat.DEFAULTS.get(self.tag))
        return self.choices.get(self.name_of(value)) if isinstance(value, str) else None

    def others(self, chosen: type) -> set[str]:
        """Return the keys that only other choices have."""
        every = {key for kind in self.choices.values() for key in defaults(kind)}
        return every - set(defaults(chosen)) - {self.tag.rpartition(".")[2]}

    def common(self) -> set[str]:
        """Return the keys that every choice has."""
        return set.intersection(*(set(defaults(kind)) for kind in self.choices.values()))


Schema = Mapping[str, type | Tagged]  # section -> its dataclass, or one for each choice


def value_of(config: Mapping[str, Any] | ConfigDict, key: str, default: Any = None) -> Any:
    """Return the value of a key such as "network.name", or the default where it is missing."""
    found: Any = config
    for part in key.split("."):
        if not isinstance(found, (Mapping, ConfigDict)) or part not in found:
            return default
        found = found[part]
    return found


def tags(schema: Schema) -> set[str]:
    """Return the keys whose values decide which other keys there are."""
    return {section.tag for section in schema.values() if isinstance(section, Tagged)}


def chosen(schema: Schema, config: Mapping[str, Any] | ConfigDict) -> dict[str, type]:
    """Return the dataclass of each section; without those whose tag has no known value."""
    found = {
        name: section.of(config) if isinstance(section, Tagged) else section
        for name, section in schema.items()
    }
    return {name: kind for name, kind in found.items() if kind is not None}


def defaults(kind: type) -> dict[str, Any]:
    """Return the keys of a section's dataclass with their defaults, nested sections as dicts."""
    return {
        field.name: defaults(type(field.default)) if _is_section(field) else field.default
        for field in dataclasses.fields(kind)
        if field.metadata.get("key", True)
    }


def read(kind: type[Section], given: Mapping[str, Any], name: str) -> Section:
    """Return the section `name` of a config as its dataclass; lists become tuples.

    A missing key that older configs lack takes its value from `compat.DEFAULTS`; for any other,
    `given[key]` raises, which for a `config.Strict` is a UserError.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        key = f"{name}.{field.name}"
        if field.name in given or (field.metadata.get("key", True) and key not in compat.DEFAULTS):
            value = given[field.name]
            if _is_section(field):
                value = read(type(field.default), value, key)
            values[field.name] = tuple(value) if isinstance(value, list) else value
        elif key in compat.DEFAULTS and not _is_section(field):
            values[field.name] = compat.DEFAULTS[key]
    return kind(**values)


def adapt(config: ConfigDict, schema: Schema, was: Mapping[str, Any] | ConfigDict) -> None:
    """Give the tagged sections of `config` the keys of their current choices.

    Keys of other choices are removed; keys that not all choices have are added with their defaults.
    A key of both the old and the new choice keeps its value, unless that is the old choice's
    default.

    Args:
        config: changed in place.
        schema: what there is to choose.
        was: the config, or its tags alone, with the choices that `config` was written for.
    """
    before = chosen(schema, was)
    for name, now in chosen(schema, config).items():
        section, node = schema[name], config.get(name)
        if not isinstance(section, Tagged) or not isinstance(node, ConfigDict):
            continue
        old = defaults(before[name]) if before.get(name, now) is not now else {}
        with config.unlocked():
            for key in section.others(now) & set(node):
                del node[key]
            for key, value in defaults(now).items():
                if key in node:
                    at_default = key in old and _plain(node[key]) == old[key]
                else:
                    at_default = key not in section.common()
                if at_default and f"{name}.{key}" != section.tag:
                    if key in node:
                        del node[key]  # the other choice's key may be of another type
                    node[key] = value


def relevant(config: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return a config, such as a stored one, without the keys of choices that it did not make."""
    whole = dict(config)
    for name, now in chosen(schema, config).items():
        section = schema[name]
        if isinstance(section, Tagged) and isinstance(whole.get(name), Mapping):
            others = section.others(now)
            whole[name] = {key: x for key, x in whole[name].items() if key not in others}
    return whole


def owners(key: str, schema: Schema, config: Mapping[str, Any] | ConfigDict) -> str:
    """Say which choices have a key that the choice of `config` lacks; "" for none."""
    name, _, rest = key.partition(".")
    section = schema.get(name)
    if not isinstance(section, Tagged):
        return ""
    absent = object()
    of = [
        choice
        for choice, kind in section.choices.items()
        if value_of(defaults(kind), rest, absent) is not absent
    ]
    value = value_of(config, section.tag)
    return f"{key} is a key of {', '.join(of)}; {section.tag} is {value!r}" if of else ""


def written(kind: type, values: Mapping[str, Any] | ConfigDict, prefix: str) -> list[str]:
    """Return the lines "zoo.live = False  # comment" of a section, as its dataclass is written.

    Comment lines above a field stay above it: they describe it and perhaps the fields after it.
    """
    lines: list[str] = []
    within = nested(kind)
    for key, (above, own) in comments(kind).items():
        if key not in values:
            continue
        lines += [f"# {line}" for line in above]
        if key in within:
            lines += [f"# {prefix}{key}: {own}"] if own else []
            lines += written(within[key], values[key], f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key} = {values[key]!r}" + (f"  # {own}" if own else ""))
    return lines


def nested(kind: type) -> dict[str, type]:
    """Return the dataclasses of the sections in a section, by key."""
    return {f.name: type(f.default) for f in dataclasses.fields(kind) if _is_section(f)}


def comments(kind: type) -> dict[str, tuple[list[str], str]]:
    """Return the comments of a dataclass's fields: the lines above, and the rest of its line.

    Fields are in source order; some are not keys of configs.
    """
    found: dict[str, tuple[list[str], str]] = {}  # a redefined field replaces its base's
    above: list[str] = []
    own = [base for base in reversed(kind.__mro__) if dataclasses.is_dataclass(base)]
    for line in "".join(map(inspect.getsource, own)).splitlines():
        if line.startswith("    # "):
            above.append(line.strip().removeprefix("# "))
        elif match := _FIELD.match(line):
            found[match[1]] = (above, match[2] or "")
            above = []
    return found


def _is_section(field: dataclasses.Field[Any]) -> bool:
    return dataclasses.is_dataclass(field.default)


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, ConfigDict) else value
