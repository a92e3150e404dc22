"""A few glyphs of a few fonts, so that they are drawn in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mole_jax.tasks.sources.glyphs import fonts, rendering

# Latin, Greek and Cyrillic letters of one shape; sizes; styles; shapes of numerals; and a blank.
CHARACTERS = "AΑАᴬkKСCcxXшgñ☺→≠O0oΟØlI|Зþ\u2800"
FONTS = (
    *("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-Oblique.ttf"),
    *("DejaVuSans-BoldOblique.ttf", "DejaVuSerif.ttf"),
)


@contextmanager
def few_glyphs(cache: Path) -> Iterator[list[Path]]:
    """Draw these characters alone, kept below `cache`; give the fonts' paths."""
    paths = [path for path in fonts.of_matplotlib() if path.name in FONTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setattr(fonts, "of_matplotlib", lambda: list(paths))
        patch.setattr(fonts, "may_be_a_class", lambda c: c in CHARACTERS)
        rendering.load.cache_clear()
        yield paths
    rendering.load.cache_clear()
