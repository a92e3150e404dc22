"""Trained models that come with the package: a file and a card for each.

`mole_jax.load`, `OnePassClassifier` and `mole-predict` take their names in place of a workdir.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from mole_jax.core.storage.paths import user_path

FOLDER = Path(__file__).parent
NAMES = ("glyphs-8", "glyphs-28")


def place(given: str | os.PathLike[str]) -> Path:
    """Return the path of a model: that of the shipped model with this name, or the given path.

    Names take precedence; write `./glyphs-8` for a folder of that name.

    Raises:
        UserError: for anything but a path.
    """
    return file(given) if isinstance(given, str) and given in NAMES else user_path(given)


def file(name: str) -> Path:
    """Return the file of a model that comes with MOLE."""
    return FOLDER / f"{name}.safetensors"


def card(name: str) -> Path:
    """Return the card of a model that comes with MOLE: how it was made, and its results."""
    return FOLDER / f"{name}.md"


def hint(path: Path) -> str:
    """Name the model that a mistyped path may mean, or else all of them."""
    near = difflib.get_close_matches(path.name, NAMES, n=1)
    return f"; did you mean {near[0]}?" if near else f", or one of {', '.join(NAMES)}"
