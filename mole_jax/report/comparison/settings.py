"""Which settings differ between configs, as dotted keys with a value for each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mole_jax.core import compat
from mole_jax.core.program.config import flatten
from mole_jax.core.storage.files import to_json

ABSENT = "absent"
THERE = "there"
MANY = 3  # of this many keys, or more, a section that a run lacks is one line


class Setting(NamedTuple):
    """A key and its value in each run, or ABSENT if a run's config lacks it.

    `section` is the largest one around the key that is missing in every run without the key; "" for
    none.
    """

    key: str
    values: tuple[str, ...]
    section: str = ""


class Differences(NamedTuple):
    """What differs: values, keys that some runs lack, and keys that say nothing new.

    `older` are keys introduced after some of the configs: these lack them, and the others have the
    value that held before.
    """

    changed: list[Setting]
    lacking: list[Setting]
    older: list[str]


def differences(configs: Sequence[Mapping[str, Any]]) -> Differences:
    """Compare configs key by key, in the order in which the configs have the keys."""
    # An empty section says no more than an absent one.
    flat = [{k: v for k, v in flatten(config).items() if v != {}} for config in configs]
    before = flatten(compat.DEFAULTS)
    found = Differences([], [], [])
    for key in dict.fromkeys(key for config in flat for key in config):
        values = [_plain(config[key]) for config in flat if key in config]
        lacked = len(values) < len(flat)
        alike = all(value == values[0] for value in values)
        texts = tuple(_text(config[key]) if key in config else ABSENT for config in flat)
        if not lacked:
            if not alike:
                found.changed.append(Setting(key, texts))
        elif alike and key in before and values[0] == _plain(before[key]):
            found.older.append(key)
        else:
            section = _lacked_section(key, [c for c in flat if key not in c]) if alike else ""
            found.lacking.append(Setting(key, texts, section))
    return found


def in_short(settings: Sequence[Setting]) -> list[Setting]:
    """Return settings with one line for each section of MANY keys that the same runs lack."""
    sections: dict[tuple[str, tuple[bool, ...]], list[Setting]] = {}
    for setting in settings:
        sections.setdefault(_group(setting), []).append(setting)
    found = []
    for setting in settings:
        within = sections[_group(setting)]
        if not setting.section or len(within) < MANY:
            found.append(setting)
        elif setting == within[0]:
            values = tuple(v if v == ABSENT else THERE for v in setting.values)
            found.append(Setting(f"{setting.section}.* ({len(within)} keys)", values))
    return found


def _group(setting: Setting) -> tuple[str, tuple[bool, ...]]:
    return setting.section, tuple(value == ABSENT for value in setting.values)


def _lacked_section(key: str, lacking: Sequence[Mapping[str, Any]]) -> str:
    """Return the largest section around a key that is missing in all these flat configs."""
    parts = key.split(".")
    sections = [".".join(parts[:n]) for n in range(1, len(parts))]
    return next(
        (s for s in sections if not any(k.startswith(f"{s}.") for c in lacking for k in c)), ""
    )


def _plain(value: Any) -> Any:
    """Return a value with lists for tuples, since files have no tuples."""
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else to_json(value)
