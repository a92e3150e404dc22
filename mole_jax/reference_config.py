"""The page docs/reference/config.md: every config key, as the dataclasses of sections have them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mole_jax import experiment
from mole_jax.core.program import sections
from mole_jax.core.seeds import LARGEST_SEED
from mole_jax.reference_table import code, listed, table

HEAD = f"""\
# Config keys

<!-- Written by `python -m mole_jax.reference --write`, from the dataclasses of the sections. -->

An experiment is a config of {len(experiment.SECTIONS)} sections and a `seed`. Every key has a
default. [../configs.md](../configs.md) says how files in `configs/` change them;
`python -m mole_jax.main --config=FILE --print_config` writes the keys of one experiment with their
values. `--config.KEY=VALUE` changes one on the command line: `--config.training.steps=9000`,
`--config.network.hidden="(32, 32)"`, `--config.zoo.live=true`. A key that the experiment lacks is
refused, and so is a value of another type.

Types are Python's: a value of `tuple[int, ...]` is `()`, `(8,)` or `(8, 16)`. Names in braces stand
for several keys: `a.{{b,c}}.d` is `a.b.d` and `a.c.d`.
"""
HEADINGS = ("key", "type", "default", "meaning")
SEED = (
    "of all random numbers, from the images of pools to the evaluation: a whole number in "
    f"0..{LARGEST_SEED}"
)


class Key(NamedTuple):
    """A row of a table."""

    name: str
    type: str  # "section" if it holds other keys
    default: str
    meaning: str


def page(_: str = "") -> str:
    """Return the page; nothing of an older one is kept."""
    parts = [HEAD, _rows([Key("seed", "int", "0", SEED)])]
    for name, section in experiment.SECTIONS.items():
        parts += [f"## {name}\n", *_section(name, section)]
    return "\n".join(parts)


def keys(kind: type, prefix: str) -> Iterator[Key]:
    """Yield the keys of a section's dataclass, and those of the sections in it.

    Sections that share a dataclass are described once: "learners.{maml,reptile}.steps".
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    values, within = sections.defaults(kind), sections.nested(kind)
    comments = sections.comments(kind)
    described: set[type] = set()
    for name in comments:
        if name in within and within[name] not in described:
            own = within[name]
            described.add(own)
            alike = [other for other, found in within.items() if found is own]
            for other in alike:
                yield Key(f"{prefix}{other}", "section", "", _meaning(*comments[other]))
            shared = f"{{{','.join(alike)}}}" if len(alike) > 1 else name
            yield from keys(own, f"{prefix}{shared}.")
        elif name in values and name not in within:
            default = repr(values[name]).replace("'", '"')
            yield Key(f"{prefix}{name}", str(fields[name].type), default, _meaning(*comments[name]))


def _section(name: str, section: type | sections.Tagged) -> Iterator[str]:
    if not isinstance(section, sections.Tagged):
        yield f"{_sentence(section)}\n"
        yield _rows(keys(section, f"{name}."))
        return
    default = code(f'"{experiment.TAGS[section.tag]}"')
    yield f"{code(section.tag)} (str, default {default}) decides which of these keys there are.\n"
    for kind, choices in _choices(section).items():
        yield f"### {name}, where {section.tag} is {listed(choices)}\n"
        yield f"{_sentence(kind)}\n"
        yield _rows(keys(kind, f"{name}."))


def _choices(section: sections.Tagged) -> dict[type, list[str]]:
    """Return the choices that have the same dataclass."""
    found: dict[type, list[str]] = {}
    for choice, kind in section.choices.items():
        found.setdefault(kind, []).append(choice)
    return found


def _sentence(kind: type) -> str:
    """Return the first sentence of a dataclass's docstring."""
    first = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    return " ".join(first.split())


def _meaning(above: Sequence[str], own: str) -> str:
    return ". ".join(part for part in (own, " ".join(above)) if part)


def _rows(found: Iterable[Key]) -> str:
    return table(HEADINGS, [(code(k.name), k.type, code(k.default), k.meaning) for k in found])
