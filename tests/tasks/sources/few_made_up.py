"""A few classes of the sources that are made up, so that they are drawn in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mole_jax.tasks.sources import made_up
from mole_jax.tasks.sources.glyphs import fonts
from mole_jax.tasks.sources.silhouettes import painted
from mole_jax.tasks.sources.strokes import handwritten
from tests.tasks.sources.few_glyphs import FONTS

CLASSES = 30
SOURCES = (handwritten, painted)


@contextmanager
def few_made_up(cache: Path) -> Iterator[None]:
    """Draw this many classes alone, kept below `cache`, unlike the numerals of a few fonts."""
    paths = [path for path in fonts.of_matplotlib() if path.name in FONTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setattr(fonts, "of_matplotlib", lambda: list(paths))
        patch.setattr(made_up, "CLASSES", CLASSES)
        for source in SOURCES:
            source.load.cache_clear()
        yield
    for source in SOURCES:
        source.load.cache_clear()
