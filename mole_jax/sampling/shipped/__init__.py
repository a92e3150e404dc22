"""Trained models that come with the package: a file and a card of each.

`mole_jax.load`, `OnePassClassifier` and `mole-predict` take their names in a workdir's place.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from mole_jax.core.storage.paths import user_path

FOLDER = Path(__file__).parent
NAMES = ("glyphs-8", "glyphs-28")


def place(given: str | os.PathLike[str]) -> Path:
    """Return the path of a model: of the one that comes with MOLE by this name, or as given.

    A name comes first; a folder of the user's that is called the same is `./glyphs-8`.

    Raises:
        UserError: for what is no path.
    """
    return file(given) if isinstance(given, str) and given in NAMES else user_path(given)


def file(name: str) -> Path:
    """Return the file of a model that comes with MOLE."""
    return FOLDER / f"{name}.safetensors"


def card(name: str) -> Path:
    """Return the card of a model that comes with MOLE: what made it, and what it reaches."""
    return FOLDER / f"{name}.md"


def hint(path: Path) -> str:
    """Name the models that there are, the one first that a mistyped path may mean."""
    near = difflib.get_close_matches(path.name, NAMES, n=1)
    return f"; did you mean {near[0]}?" if near else f", or one of {', '.join(NAMES)}"
