"""Configs: read from a file, overridden by flags, compared with those of earlier runs."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import inspect
import math
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_flags.config_flags import UnsupportedOperationError

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.core.program.sections import Schema, adapt, owners, tags
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path

_OVERRIDE = re.compile(r"^--?(no)?config\.([^=]+)(=.*)?$")


def load(path: str) -> ConfigDict:
    """Return the config of `FILE.py` or `FILE.py:ARGUMENT`: what its `get_config` returns.

    Raises UserError when there is no such file, it fails, takes no such argument, or returns no
    config. A config file refuses an argument by raising ValueError or KeyError.
    """
    filename, colon, argument = path.partition(":")
    file = user_path(filename)
    if not file.is_file():
        siblings = sorted(str(other) for other in file.parent.glob("*.py"))
        raise UserError(f"config file {filename} is missing{_hint(str(file), siblings, say=True)}")
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"config file {filename} is not a Python file: give one that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and inspect look for a class's module
    with _explained(filename, spec.origin):
        spec.loader.exec_module(module)
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        raise UserError(f"config file {filename} has no function get_config(): add it")
    signature = inspect.signature(get_config)
    if colon and not signature.parameters:
        raise UserError(f"config file {filename} takes no argument: leave out ':{argument}'")
    try:
        signature.bind(*[argument] * bool(colon))
    except TypeError as problem:
        remedy = "let it take one string" if colon else f"write --config={filename}:ARGUMENT"
        raise UserError(
            f"config file {filename}: get_config{signature} is {problem}: {remedy}"
        ) from None
    with _explained(filename, spec.origin, argument):
        made = get_config(argument) if colon else get_config()
        if isinstance(made, (ConfigDict, Mapping)):
            _refuse_renamed(filename, made)
            return ConfigDict(made)
    what = "nothing" if made is None else f"a value of type {type(made).__name__}"
    if inspect.iscoroutine(made):
        made.close()  # Python would complain later that nobody waited for it
    raise UserError(
        f"config file {filename}: get_config() returns {what}: let it return a ConfigDict"
    )


def _refuse_renamed(filename: str, config: Mapping[str, Any] | ConfigDict) -> None:
    for key in flatten(config):
        if key in compat.RENAMED:
            raise UserError(f"config file {filename}: {key} is called {compat.RENAMED[key]} now")


@contextlib.contextmanager
def _explained(filename: str, origin: str | None, argument: str = "") -> Iterator[None]:
    """Turn what a config file raises in this block into one line that says where in the file."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as problem:
        what = " ".join(f"{type(problem).__name__}: {problem}".split())[:200]
        fault = f"{_where(problem, origin)}{what}"
        if argument and isinstance(problem, (KeyError, ValueError)):
            raise UserError(
                f"config file {filename} does not take ':{argument}' ({fault}): choose one that "
                "the file's first lines name"
            ) from problem
        raise UserError(f"config file {filename} fails: {fault}") from problem


def _where(problem: BaseException, origin: str | None) -> str:
    """Return the line of a config file that a problem arose in, as "line 7: "."""
    if isinstance(problem, SyntaxError) and problem.filename:
        file, line = problem.filename, problem.lineno
    else:
        frames = traceback.extract_tb(problem.__traceback__)
        # Not where in a library it was raised, but which line of the file led there.
        lines = [frame.lineno for frame in frames if frame.filename == origin]
        file, line = origin or "", lines[-1] if lines else None
    other = "" if file == origin else f"{file}, "
    return f"{other}line {line}: " if line else ""


class Strict(Mapping[str, Any]):
    """A config whose missing keys raise a one-line UserError.

    For the checks before anything runs. Only look-ups in the config raise it: any other KeyError
    stays a KeyError, a bug.
    """

    def __init__(self, config: Mapping[str, Any] | ConfigDict, name: str = "") -> None:
        """`name` is that of a section, such as "population."."""
        self._config, self._name = config, name

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key, sections as Strict; raise UserError if it is missing."""
        if key not in self._config:
            close = nearest(key, self._config)
            hint = f" (did you mean {self._name}{close}?)" if close else ""
            raise UserError(
                f"the config has no key {self._name}{key}{hint}: add it to the config file; "
                "--config=configs/default.py --print_config says what it means"
            )
        value = self._config[key]
        is_section = isinstance(value, (ConfigDict, Mapping))
        return Strict(value, f"{self._name}{key}.") if is_section else value

    def __contains__(self, key: object) -> bool:
        """Return whether the config has a key."""
        return key in self._config

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or `default`."""
        return self[key] if key in self._config else default

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._config)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return len(self._config)


def override(
    config: ConfigDict, arguments: Iterable[str], schema: Schema | None = None
) -> ConfigDict:
    """Apply `--config.a.b=value` arguments to `config` in order, lock it and return it.

    Values take the type of the default, and references between keys follow. Values that decide
    which keys there are (`sections.Tagged`) are applied first. Raises UserError for an unknown key,
    a section, or a value of another type.
    """
    schema = schema or {}
    every = list(arguments)
    first = [argument for argument in every if _parsed(argument)[1] in tags(schema)]
    was = config.copy_and_resolve_references()
    for argument in first:
        config = _overridden(config, argument, schema)
    adapt(config, schema, was)
    for argument in every:
        if argument not in first:
            config = _overridden(config, argument, schema)
    for key, value in flatten(config).items():
        try:
            files.to_json(value)
        except TypeError:
            raise UserError(
                f"config.{key}={str(value)[:60]} cannot be kept as JSON: use numbers, strings, "
                "true or false, and tuples of these"
            ) from None
    config.lock()
    return config


def _parsed(argument: str) -> tuple[bool, str]:
    """Return whether an argument is --noconfig.KEY, and the key."""
    match = _OVERRIDE.match(argument)
    if match is None:
        raise UserError(f"{argument} is not an override: write --config.key=value")
    return bool(match[1]), match[2]


def _overridden(config: ConfigDict, argument: str, schema: Schema) -> ConfigDict:
    defaults = flatten(config)
    negated, key = _parsed(argument)
    if key not in defaults:
        raise UserError(unknown(key, config, schema))
    if (negated or "=" not in argument) and not isinstance(defaults[key], bool):
        raise UserError(f"{argument} needs a value: write --config.{key}=VALUE")
    # One flag at a time, so that a failure can be blamed on this argument.
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

    Keys that only `old` has come last. Tuples equal lists, because JSON stores both as lists.
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


def unknown(key: str, config: ConfigDict, schema: Schema | None = None) -> str:
    """Say that the config has no such key, and which one may be meant."""
    if key in compat.RENAMED:
        return f"the config has no key {key}: it is called {compat.RENAMED[key]} now"
    defaults = flatten(config)
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
    if of := owners(key, schema or {}, config):
        section = key.partition(".")[0]
        words = {n.rsplit(".", 1)[-1]: n for n in defaults if n.startswith(f"{section}.")}
        close = words.get(nearest(last, words) or "")
        return f"{of}: " + (f"did you mean {close}?" if close else "--print_config shows its keys")
    remedy = f"did you mean {close}?" if close else "--help with --config=FILE lists the keys"
    return f"the config has no key {key}: {remedy}"


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
    names = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text"}
    word, _, rest = kind.partition(" ")
    return f"{names.get(word, 'a ' + word)} {rest}"


def check_types(config: ConfigDict, defaults: ConfigDict) -> None:
    """Raise UserError for a value of another type than the default of its key.

    What ml_collections lets through: None, nan, and anything inside of a tuple.
    """
    known = flatten(defaults)
    for key, value in flatten(config).items():
        if key not in known:
            continue
        default = known[key]
        empty = value is None and default is not None
        if empty or not _same_type(default, value):
            raise UserError(
                f"config: {key}={value!r} has another type than its default {default!r}: change it"
            )


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
