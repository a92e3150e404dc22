"""A few classes of strokes, so that they are drawn in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.strokes import handwritten
from tests.tasks.sources.few_glyphs import FONTS

CLASSES = 30


@contextmanager
def few_strokes(cache: Path) -> Iterator[None]:
    """Draw this many classes alone, kept below `cache`, unlike the numerals of a few fonts."""
    paths = [path for path in fonts.of_matplotlib() if path.name in FONTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setattr(handwritten, "CLASSES", CLASSES)
        patch.setattr(fonts, "of_matplotlib", lambda: list(paths))
        handwritten.load.cache_clear()
        yield
    handwritten.load.cache_clear()
