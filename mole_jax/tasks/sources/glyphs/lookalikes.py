"""Which characters are one shape, and so one class, and which are shaped like numerals.

Two classes of one shape would make tasks that nobody can solve, and would leak if one of them is
held out. Scripts share shapes (Latin A, Greek Alpha), and so do sizes (o O), styles and many
accents.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.cluster import hierarchy

from mole_jax.tasks.sources.glyphs.fonts import NUMERALS

# Two blurred shapes are one from this cosine on. These values were chosen by looking at pairs above
# and below.
ALIKE = 0.97
ALIKE_CASES = 0.92  # of a letter's two cases, whose strokes differ in width
LIKE_A_NUMERAL = 0.94
STRETCH = 1.5  # a shape is stretched by up to this to match a numeral: O and 0
_WRITTEN = "OØIl|▍Ʒȝ𐌚"  # numerals, too, as some people write them: 0, 1, 3, 8
_BOX = 32  # pixels across, in which shapes are compared
_BLUR = 2.0  # of these pixels, where a stroke's width should not count much
_LEVELS = 63  # integers up to it have exact products in float32, on every machine
# Compatibility characters that are a letter in another size or weight; scripts are other shapes.
_SAME = ("<font>", "<super>", "<sub>", "<small>", "<wide>", "<narrow>")
_OTHER = ("SCRIPT", "FRAKTUR", "BLACK-LETTER", "DOUBLE-STRUCK")

Outlines = Mapping[str, np.ndarray]  # character -> uint8 [height, width]


def boxed(outline: np.ndarray, stretch: float = 1.0) -> np.ndarray:
    """Scale a drawn character to the box, keeping its proportions: uint8 [32, 32].

    Args:
        outline: uint8 [height, width], cropped to what is drawn.
        stretch: how far the shorter side may be lengthened to fill the box, too.
    """
    scale = _BOX / max(outline.shape)
    height, width = (max(1, round(min(_BOX, n * scale * stretch))) for n in outline.shape)
    small = Image.fromarray(outline).resize((width, height), Image.Resampling.BOX)
    box = np.zeros((_BOX, _BOX), np.uint8)
    top, left = (_BOX - height) // 2, (_BOX - width) // 2
    box[top : top + height, left : left + width] = np.asarray(small)
    return box


def classes(characters: Sequence[str], outlines: Sequence[Outlines], side: int) -> list[str]:
    """Group characters that look alike in images of this side; leave out those like numerals.

    Groups are merged while the mean similarity between them is at least `ALIKE`, which makes no
    chains of shapes that differ a little from one to the next.

    Args:
        characters: those that may become classes.
        outlines: of each font, its characters and numerals.
        side: pixels across an image; the fewer they are, the more looks alike.

    Returns:
        The characters of each class, in Unicode's order, as are the classes.
    """
    numerals = [*NUMERALS, *_WRITTEN]
    boxes = [{c: boxed(o, STRETCH) for c, o in of_font.items()} for of_font in outlines]
    like = _similarity(characters, numerals, boxes, _BLUR).max(1) >= LIKE_A_NUMERAL
    out = {c for c, is_numeral in zip(characters, like, strict=True) if is_numeral}

    letters: dict[tuple[str, str], str] = {}  # with its other sizes and weights
    for c in characters:
        letters[_letter(c)] = letters.get(_letter(c), "") + c
    shapes = [letter[0] for letter in letters.values()]
    boxes = [{c: boxed(of_font[c]) for c in shapes if c in of_font} for of_font in outlines]
    alike = _similarity(shapes, shapes, boxes, max(1.0, 16 / side))
    if len(shapes) == 1:
        return [] if out else list(letters.values())
    apart = np.maximum(1 - alike[np.triu_indices(len(shapes), 1)].astype(np.float64), 0)
    groups = hierarchy.fcluster(hierarchy.linkage(apart, "average"), 1 - ALIKE, "distance")
    place = {c: i for i, c in enumerate(shapes)}
    cases = [(c, c.lower()) for c in shapes if c.lower() != c and c.lower() in place]
    if cases:
        upper, lower = zip(*cases, strict=True)
        same = np.diag(_similarity(upper, lower, boxes, _BLUR)) >= ALIKE_CASES
        for i in np.flatnonzero(same):
            groups[groups == groups[place[lower[i]]]] = groups[place[upper[i]]]
    found: dict[int, str] = {}
    for group, letter in zip(groups.tolist(), letters.values(), strict=True):
        found[group] = found.get(group, "") + letter
    return sorted("".join(sorted(c)) for c in found.values() if not out & {*c})


def _similarity(
    rows: Sequence[str],
    columns: Sequence[str],
    boxes: Sequence[Outlines],
    blur: float,
) -> np.ndarray:
    """Return the mean cosine of two characters over the fonts that have both.

    Args:
        rows: characters, n of them.
        columns: characters, m of them.
        boxes: of each font, the images of its characters in the box.
        blur: of them, in pixels: shapes that are a little off still match.

    Returns:
        float32 [n, m], 0 where no font has both.
    """
    total = np.zeros((len(rows), len(columns)), np.float32)
    fonts = np.zeros(total.shape, np.int16)
    for of_font in boxes:
        left, right = (
            [i for i, c in enumerate(characters) if c in of_font] for characters in (rows, columns)
        )
        if not (left and right):
            continue
        a = blurred([of_font[rows[i]] for i in left], blur)
        b = a if rows is columns else blurred([of_font[columns[i]] for i in right], blur)
        lengths = (np.sqrt((x * x).sum(1)) for x in (a, b))
        where = np.ix_(left, right)
        total[where] += (a @ b.T) / np.outer(*lengths)
        fonts[where] += 1
    return total / np.maximum(fonts, 1)


def blurred(boxes: np.ndarray | Sequence[np.ndarray], blur: float) -> np.ndarray:
    """Blur what is in boxes, and round it so that products are the same on every machine."""
    shapes = ndimage.gaussian_filter(np.array(boxes, np.float64), (0, blur, blur), mode="constant")
    shapes = np.round(shapes * (_LEVELS / shapes.max((1, 2), keepdims=True)))
    return shapes.reshape(len(boxes), -1).astype(np.float32)


def _letter(character: str) -> tuple[str, str]:
    """Return the letter that a character is another size or weight of, and its kind of script."""
    how = unicodedata.decomposition(character).partition(" ")[0]
    if how not in _SAME:
        return character, ""
    name = unicodedata.name(character)
    kind = next((kind for kind in _OTHER if kind in name), "")
    return unicodedata.normalize("NFKC", character), kind.replace("BLACK-LETTER", "FRAKTUR")
