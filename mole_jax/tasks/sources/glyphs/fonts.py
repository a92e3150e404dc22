"""The font files that glyphs are drawn from, and the characters they hold."""

from __future__ import annotations

import fnmatch
import hashlib
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFont, features

from mole_jax.core.errors import UserError

Pen = ImageFont.FreeTypeFont

NUMERALS = string.digits
FEWEST_FONTS = 3  # that must have a character, or its images would be too much alike
_SIZE = 128  # pixels an em, at which outlines are taken from a font
# Left out: boxes for missing characters, symbols for private use, pieces of large brackets, and
# TeX's symbols, which these files list as letters.
_LEFT_OUT = ("LastResort*", "STIXNonUni*", "STIXSiz*", "cmex10*", "cmsy10*")
_TEX = "cm*10.ttf"  # Computer Modern lists characters at TeX's places: only its letters are right
# Unicode categories: punctuation, control signs and unassigned, spaces, numerals, and marks, which
# are drawn to stand on a letter.
_NO_CATEGORIES = "PCZNM"
# Pictures of numerals, and letters that were made of them.
_NO_NAMES = (
    "PLAYING CARD",
    "RECYCLING SYMBOL FOR TYPE",
    "LATIN CAPITAL LETTER TONE",
    "LATIN SMALL LETTER TONE",
)


class Font(NamedTuple):
    """A font file, and those of its characters that may become classes."""

    path: Path
    characters: frozenset[str]


def of_matplotlib() -> list[Path]:
    """Return the font files that matplotlib ships, by name."""
    import matplotlib  # slow to import, and needed by this source alone

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = sorted(folder.glob("*.ttf"))
    return [p for p in paths if not any(fnmatch.fnmatchcase(p.name, n) for n in _LEFT_OUT)]


def of_folder(folder: Path) -> list[Path]:
    """Return the font files of a folder, by name.

    Raises:
        UserError: when there is no such folder, or no font in it.
    """
    if not folder.is_dir():
        raise UserError(f"data.source=glyphs: there is no folder {folder}; give one with fonts")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".ttf", ".otf"))
    if not paths:
        raise UserError(
            f"data.source=glyphs: {folder} has no .ttf or .otf file; give another folder"
        )
    return paths


def digest(path: Path) -> str:
    """Return a hash of a font file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def freetype_version() -> str | None:
    """Return the version of what draws the outlines; Pillow's wheels bring their own."""
    return features.version("freetype2")


def open_font(path: Path) -> Font:
    """Read which characters a font has.

    Raises:
        UserError: when it is not a font.
    """
    from matplotlib.ft2font import FT2Font

    try:
        codes = FT2Font(str(path)).get_charmap()
        pen(path)
    except (OSError, RuntimeError, ValueError) as problem:
        raise UserError(
            f"{path}: it cannot be read as a font ({problem}); move it to another folder"
        ) from problem
    found = {chr(code) for code in codes}
    if fnmatch.fnmatchcase(path.name, _TEX):
        found &= {*string.ascii_letters, *NUMERALS}
    return Font(path, frozenset(c for c in found if c in NUMERALS or may_be_a_class(c)))


def shared(fonts: Sequence[Font]) -> list[str]:
    """Return the characters of at least `FEWEST_FONTS` fonts, in Unicode's order."""
    counts = Counter(c for font in fonts for c in font.characters if c not in NUMERALS)
    return sorted(c for c, n in counts.items() if n >= FEWEST_FONTS)


def pen(path: Path) -> Pen:
    """Open a font for drawing."""
    # Without Raqm, which not every machine has.
    return ImageFont.truetype(path, _SIZE, layout_engine=ImageFont.Layout.BASIC)


def outline(font: Pen, character: str) -> np.ndarray | None:
    """Draw one character, as large as `_SIZE` makes it, cropped to what is drawn.

    Returns:
        uint8 [height, width], 255 inside; None where nothing is drawn.
    """
    mask = font.getmask(character, mode="L")
    pixels = np.asarray(Image.frombytes("L", mask.size, bytes(mask)) if all(mask.size) else [[0]])
    inside = pixels >= 128
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        return None
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def may_be_a_class(character: str) -> bool:
    """Return whether a character is a letter or a symbol, and no picture of numerals."""
    if unicodedata.category(character)[0] in _NO_CATEGORIES:
        return False
    return not unicodedata.name(character, "").startswith(_NO_NAMES)
