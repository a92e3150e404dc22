"""Tensors and metadata of safetensors files, as NumPy has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import check_file


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the tensors of a safetensors file and its metadata; raise UserError if unreadable."""
    check_file(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            return {name: _tensor(path, file, name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error})") from error


def _tensor(path: Path, file: Any, name: str) -> np.ndarray:
    try:
        return file.get_tensor(name)
    except (KeyError, TypeError, AttributeError) as error:  # a type that NumPy lacks
        kind = file.get_slice(name).get_dtype()
        raise UserError(
            f"{path}: {name} is of type {kind}, which NumPy lacks; save it as float32"
        ) from error
