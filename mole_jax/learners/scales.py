"""WORKDIR/train/model.npz: how parameters and inputs were scaled, and the metric of a start."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser

_PREFIX = "normaliser_"
_FITTED = "fitted_"


class Scales(NamedTuple):
    """What a trained learner must know about its training data."""

    fitted: Fitted
    input_scale: float | np.ndarray  # inputs = pixels * input_scale + input_shift; [F] or one
    input_shift: float | np.ndarray
    start_loss: float  # median prompt metric of the zoo's starts
    pixel_mean: np.ndarray | None = None  # [F] over what was trained on; older workdirs have none
    pixel_std: np.ndarray | None = None


def path(workdir: Path) -> Path:
    """Return the file in a workdir."""
    return Path(workdir) / "train" / "model.npz"


def write(workdir: Path, scales: Scales) -> None:
    """Write them to a workdir."""
    fitted = scales.fitted
    statistics = {"pixel_mean": scales.pixel_mean, "pixel_std": scales.pixel_std}
    files.write_npz(
        path(workdir),
        **{f"{_PREFIX}{name}": np.asarray(x) for name, x in fitted.normaliser._asdict().items()},
        **{f"{_FITTED}{name}": np.asarray(x) for name, x in fitted.arrays.items()},
        input_scale=np.asarray(scales.input_scale, np.float32),
        input_shift=np.asarray(scales.input_shift, np.float32),
        start_loss=np.float32(scales.start_loss),
        **{n: np.asarray(x, np.float32) for n, x in statistics.items() if x is not None},
    )


def read(workdir: Path) -> Scales:
    """Read what `write` wrote; raise UserError if it is missing or damaged."""
    file = path(workdir)
    try:
        return _read(file)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: restore it from a copy") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as problem:
        said = str(problem).partition("\n")[0][:100]
        raise UserError(f"{file} is damaged ({said}): restore it from a copy") from problem


def _read(file: Path) -> Scales:
    with file.open("rb") as opened, np.load(opened) as arrays:
        normaliser = Normaliser(
            *(jnp.asarray(arrays[f"{_PREFIX}{name}"]) for name in Normaliser._fields)
        )
        of_latent = {
            name.removeprefix(_FITTED): jnp.asarray(arrays[name])
            for name in arrays.files
            if name.startswith(_FITTED)
        }
        names = ("input_scale", "input_shift")
        scale, shift = (x if x.ndim else float(x) for x in (arrays[name] for name in names))
        mean, std = (arrays.get(name) for name in ("pixel_mean", "pixel_std"))
        fitted = Fitted(normaliser, of_latent)
        return Scales(fitted, scale, shift, float(arrays["start_loss"]), mean, std)
