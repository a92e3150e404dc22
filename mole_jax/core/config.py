"""Configs: read from a file, overridden by flags, compared with those of earlier runs."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags.config_flags import UnsupportedOperationError

from mole_jax.core.errors import UserError

_OVERRIDE = re.compile(r"^--?(no)?config\.([^=]+)(=.*)?$")


def load(path: str) -> ConfigDict:
    """Return the config of `FILE.py` or `FILE.py:ARGUMENT`: what its `get_config` returns.

    Raises UserError when there is no such file, or it takes no such argument. A config file says
    that it does not know an argument by raising ValueError or KeyError.
    """
    filename, colon, argument = path.partition(":")
    file = Path(filename)
    if not file.is_file():
        siblings = sorted(str(other) for other in file.parent.glob("*.py"))
        raise UserError(f"config file {filename} is missing{_hint(filename, siblings, say=True)}")
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"config file {filename} is not a Python file: give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise UserError(f"config file {filename} has no function get_config(): add it")
    if not colon:
        return ConfigDict(module.get_config())
    if not inspect.signature(module.get_config).parameters:
        raise UserError(f"config file {filename} takes no argument: leave out ':{argument}'")
    try:
        return ConfigDict(module.get_config(argument))
    except (KeyError, ValueError) as problem:
        raise UserError(
            f"config file {filename} does not take ':{argument}' ({problem}): "
            "choose one that the file's first lines name"
        ) from None


def override(config: ConfigDict, arguments: Iterable[str]) -> ConfigDict:
    """Apply `--config.a.b=value` arguments to `config` in order, lock it and return it.

    Values take the type of the default, and references between keys follow. Raises UserError for
    an unknown key, a section, or a value of another type.
    """
    defaults = flatten(config)
    for argument in arguments:
        match = _OVERRIDE.match(argument)
        if match is None:
            raise UserError(f"{argument} is not an override: write --config.key=value")
        negated, key, _ = match.groups()
        if key not in defaults:
            raise UserError(_unknown(key, defaults))
        if (negated or "=" not in argument) and not isinstance(defaults[key], bool):
            raise UserError(f"{argument} needs a value: write --config.{key}=VALUE")
        # One flag at a time, so that a failure can be laid at this argument's door.
        values = flags.FlagValues()
        config_flags.DEFINE_config_dict(
            "config", config, flag_values=values, lock_config=True, sys_argv=["", argument]
        )
        try:
            values(["", argument])
            config = values["config"].value
        except UnsupportedOperationError:
            raise UserError(
                f"config.{key} has no type to read {argument} as: give it another default in the "
                "config file, or config_dict.placeholder(int)"
            ) from None
        except (flags.Error, TypeError, ValueError, SyntaxError):
            raise UserError(_wrong_type(argument, key, defaults[key])) from None
        if not _same_type(defaults[key], flatten(config)[key]):
            raise UserError(_wrong_type(argument, key, defaults[key]))
    config.lock()
    return config


def flatten(config: Mapping[str, Any] | ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Return {"population.members": 8, ...}; an empty section is a value of its own."""
    plain = config.to_dict() if isinstance(config, ConfigDict) else config
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        name = f"{prefix}{key}"
        if isinstance(value, (Mapping, ConfigDict)) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def sections(config: ConfigDict, names: Iterable[str]) -> dict[str, Any]:
    """Return the top-level sections `names` that the config has, as plain nested dicts."""
    plain = config.to_dict()
    return {name: plain[name] for name in names if name in plain}


def differing_keys(
    old: Mapping[str, Any] | ConfigDict, new: Mapping[str, Any] | ConfigDict
) -> list[str]:
    """Return lines like "population.members: 8 -> 16" for keys that differ.

    Keys that only `old` has come last. Tuples equal lists, because JSON has kept them as lists.
    """
    before, after = flatten(old), flatten(new)
    lines = []
    for key in [*after, *(key for key in before if key not in after)]:
        was, now = (_listed(side[key]) if key in side else "(absent)" for side in (before, after))
        if was != now or (key in before) != (key in after):
            lines.append(f"{key}: {was} -> {now}")
    return lines


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` most like `name`, or None when none is much like it."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return found[0] if found else None


def _hint(name: str, names: Iterable[str], say: bool = False) -> str:
    close = nearest(name, names)
    if close:
        return f": did you mean {close}?"
    return ": give the path of an existing one, such as configs/digits_mlp.py" if say else ""


def _unknown(key: str, defaults: Mapping[str, Any]) -> str:
    inside = [name for name in defaults if name.startswith(f"{key}.")]
    if inside:
        return f"config.{key} is a section: set one of its keys, such as --config.{inside[0]}=VALUE"
    # A right last word in a wrong section is likelier meant than a similar spelling elsewhere.
    last = key.rsplit(".", 1)[-1]
    same = [name for name in defaults if name.rsplit(".", 1)[-1] == last]
    close = same[0] if len(same) == 1 else nearest(key, defaults)
    if close is None:
        words = {name.rsplit(".", 1)[-1]: name for name in defaults}
        close = words.get(nearest(last, words) or "")
    mend = f"did you mean {close}?" if close else "--help with --config=FILE lists the keys"
    return f"the config has no key {key}: {mend}"


def _wrong_type(argument: str, key: str, default: Any) -> str:
    value = argument.partition("=")[2]
    if isinstance(default, (tuple, list)):
        kind = f"{type(default).__name__} like '{default}'"
    elif default is None:
        kind = "value of the placeholder's type"
    else:
        kind = f"{type(default).__name__} like {default!r}"
    return f"config.{key} cannot be {value!r}: give {_article(kind)}"


def _article(kind: str) -> str:
    names = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
    word, _, rest = kind.partition(" ")
    return f"{names.get(word, 'a ' + word)} {rest}"


def _same_type(default: Any, value: Any) -> bool:
    """Be stricter than ml_collections, which takes nan for a number and anything in a tuple."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(default, (tuple, list)) and default:
        if not isinstance(value, (tuple, list)):
            return False
        kinds = tuple({type(element) for element in default})
        if float in kinds:
            kinds += (int,)
        return all(type(element) in kinds for element in value)
    return True


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value
