"""A trained meta-model in one file: all that predicting needs, and nothing that training needs.

A safetensors file. Its tensors are the parameters and what was fitted on the zoo. Its metadata has
a JSON of the config, the network and what is known about the inputs, and a digest of all this.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import to_json, write_bytes
from mole_jax.core.storage.paths import user_path
from mole_jax.core.storage.tensors import read_tensors
from mole_jax.learners import registry
from mole_jax.metamodel.process import sampler
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.sampling.inputs import Inputs
from mole_jax.sampling.model import Model, on_all_devices

FORMAT, VERSION = "mole-model", 1
SUFFIX = ".safetensors"
# Types for parameters. float16 halves the file, and rounds less than bfloat16.
DTYPES = ("float32", "float16")


def save(path: Path, model: Model, *, dtype: str = "float32", about: Any = None) -> None:
    """Write a model to a file, which is either whole or absent.

    Args:
        path: ends in .safetensors.
        model: what `mole_jax.load` returned.
        dtype: of the parameters in the file; predictions use float32 again.
        about: anything else that is known about it, in JSON.

    Raises:
        UserError: for another suffix or type, and parameters that the type cannot hold.
    """
    path = user_path(path)
    if path.suffix != SUFFIX:
        raise UserError(f"{path} must end in {SUFFIX}")
    if dtype not in DTYPES:
        raise UserError(f"dtype={dtype!r} is unknown; there are {DTYPES}")
    with np.errstate(over="ignore"):
        tensors = {f"params/{k}": np.asarray(x).astype(dtype) for k, x in _flat(model.params)}
    if lost := [name for name, x in tensors.items() if not np.isfinite(x).all()]:
        raise UserError(f"{lost[0]} has numbers that {dtype} cannot hold: take float32")
    normaliser = model.fitted.normaliser._asdict()
    tensors |= {f"normaliser/{k}": np.asarray(x) for k, x in normaliser.items()}
    tensors |= {f"fitted/{k}": np.asarray(x) for k, x in model.fitted.arrays.items()}
    tensors = {name: np.ascontiguousarray(x) for name, x in tensors.items()}
    known = {
        "config": model.config,
        "network": model.description,
        "objective": model.objective,
        "plan": dataclasses.asdict(model.plan),
        "inputs": dataclasses.asdict(model.inputs),
        "start_loss": float(model.start_loss),
        "about": about,
        "mole": mole_jax.__version__,
    }
    text = to_json(known)
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "model": text,
        "digest": _digest(text, tensors),
    }
    write_bytes(path, safetensors.numpy.save(tensors, metadata=metadata))


def load(path: Path, **sampling: Any) -> Model:
    """Read a model that `save` wrote; `sampling` replaces values of its sampling plan.

    Raises:
        UserError: for a file that is missing, damaged or no model.
    """
    tensors, known = read(path)
    arrays = {
        kind: {name.removeprefix(f"{kind}/"): x for name, x in tensors.items() if _of(kind, name)}
        for kind in ("params", "normaliser", "fitted")
    }
    try:
        inputs: dict[str, Any] = {
            k: None if x is None else tuple(x) for k, x in known["inputs"].items()
        }
        model = Model(
            config=known["config"],
            description=known["network"],
            objective=known["objective"],
            params=on_all_devices(_nested(arrays["params"])),
            fitted=Fitted(Normaliser(**arrays["normaliser"]), arrays["fitted"]),
            plan=sampler.plan(
                {**known["plan"], **sampling},
                known["config"]["diffusion"]["steps"],
                known["config"]["training"].get("drop"),
            ),
            inputs=Inputs(**inputs),
            start_loss=known["start_loss"],
            about=known["about"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its model cannot be understood ({error!r})") from error
    if model.objective not in registry.NAMES:
        raise UserError(f"{path} is of a learner {model.objective!r}, which this MOLE lacks")
    return model


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a file's tensors, and what its metadata says about the model.

    Raises:
        UserError: for a file that is missing, damaged or no model.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a model file: its format is not {FORMAT}; export-model writes one from "
            "a workdir"
        )
    if metadata.get("version") != str(VERSION):
        raise UserError(
            f"{path} has version {metadata.get('version')}, but this MOLE reads {VERSION}"
        )
    text = metadata.get("model", "")
    if metadata.get("digest") != _digest(text, tensors):
        raise UserError(f"{path} is damaged: restore it from a copy")
    return tensors, dict(json.loads(text))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the leaves of nested dicts by path, as "blocks/qkv/kernel"."""
    found = []
    for name, value in sorted(tree.items()):
        own = prefix + name
        found += _flat(value, f"{own}/") if isinstance(value, Mapping) else [(own, value)]
    return found


def _nested(flat: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *above, name = path.split("/")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[name] = value.astype(np.float32)
    return tree


def _of(kind: str, name: str) -> bool:
    return name.startswith(f"{kind}/")


def _digest(text: str, tensors: Mapping[str, np.ndarray]) -> str:
    total = zlib.crc32(text.encode())
    for name, array in sorted(tensors.items()):
        total = zlib.crc32(array.tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"
