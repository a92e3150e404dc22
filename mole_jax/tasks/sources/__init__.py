"""Data sources: where images and labels come from.

`digits`         scikit-learn's 1,797 8x8 digits, embedded in the package
`glyphs`         thousands of classes of 8x8 characters, drawn from matplotlib's fonts, without
                 numerals; larger with `glyphs:SIDE`, more fonts with `glyphs:SIDE@FONTDIR`
`strokes`        thousands of classes of 8x8 made-up characters, drawn by many hands, none like a
                 numeral; larger with `strokes:SIDE`
`silhouettes`    thousands of classes of 8x8 made-up things: filled outlines with surfaces, none
                 like a numeral; larger with `silhouettes:SIDE`
`tfds:NAME`      a data set of TensorFlow Datasets, prepared by launch/prepare_data.py; read from
                 TFDS_DATA_DIR, or ~/tensorflow_datasets, or DIR with `tfds:NAME@DIR`
`mnist` ...      short names of four of these: mnist, fashion_mnist, cifar10, svhn
`idx:DIR`        the MNIST family's four IDX files, raw or gzipped
`npz:FILE`       anyone's arrays: `image` [N, H, W] or [N, H, W, channels], `label` [N], and where
                 the source has a test set of its own, `test` [N], true for what belongs to it
`idx:A+npz:B`    several of them with images of one shape; the later ones' classes come after

Sources that are not in this folder are added by `register`.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable

from mole_jax.core import registered
from mole_jax.core.errors import UserError
from mole_jax.tasks.sources import digits, glyphs, idx, mixture, npz, silhouettes, strokes, tfds
from mole_jax.tasks.sources.image_data import ImageData, checked

__all__ = ["FORMS", "SHORT_NAMES", "ImageData", "checked", "load", "register"]

# A source is one file and one line of either: its name in the config -> its reader.
FORMS: dict[str, Callable[[str], ImageData]] = {
    "glyphs:SIDE": glyphs.read,
    "glyphs:SIDE@FONTDIR": glyphs.read,
    "strokes:SIDE": strokes.read,
    "silhouettes:SIDE": silhouettes.read,
    "tfds:NAME": tfds.read,
    "tfds:NAME@DIR": tfds.read,
    "idx:DIR": idx.read,
    "npz:FILE": npz.read,
}
SHORT_NAMES: dict[str, Callable[[], ImageData]] = {
    "digits": digits.read,
    "glyphs": glyphs.read,
    "strokes": strokes.read,
    "silhouettes": silhouettes.read,
    **{name: functools.partial(tfds.read, full) for name, full in tfds.SHORT_NAMES.items()},
}
_READERS = {form.partition(":")[0]: read for form, read in FORMS.items()}
_NO_IMAGES = "env"  # before the name of an environment
_ADDED = registered.Names("data.source")


def register(form: str, read: Callable[..., ImageData]) -> None:
    """Add a data source, which `config.data.source` can name from now on.

    The file that has registered a name may do so again, and then the later reader counts.

    Args:
        form: a name, such as "stripes", or one with what follows it, such as "stripes:SIDE".
        read: gives the images, as `checked` makes them; called without arguments, or with what
            follows the name, "12" of "stripes:12".

    Raises:
        UserError: for a name that MOLE or another file has, and for anything but a function.
    """
    if not isinstance(form, str) or not callable(read):
        raise UserError(f"register: give a name and a function, not {form!r} and {read!r}")
    name, colon, _ = form.partition(":")
    module = getattr(read, "func", read).__module__  # of a functools.partial, its function's
    _ADDED.take(name, module, {_NO_IMAGES, *SHORT_NAMES, *_READERS})
    if colon:
        FORMS[form] = _READERS[name] = read
    else:
        SHORT_NAMES[name] = read


def load(source: str) -> ImageData:
    """Load a data source, or several joined by "+", by the name in the config.

    Args:
        source: such as "digits", "glyphs:28", "tfds:NAME", "tfds:NAME@DIR", "idx:DIR", "npz:FILE"
            or "idx:DIR+npz:FILE".

    Raises:
        UserError: for an unknown source, for files that are missing or damaged, and for sources
            that cannot be joined.
    """
    # A folder's name may have a plus sign, so only one before another source joins two.
    joint = rf"\+(?=(?:{'|'.join(_READERS)}):|(?:{'|'.join(SHORT_NAMES)})(?:\+|$))"
    parts = re.split(joint, source)
    loaded = [_load_one(part) for part in parts]
    return mixture.join(loaded) if len(loaded) > 1 else loaded[0]


def _load_one(source: str) -> ImageData:
    kind, _, argument = source.partition(":")
    if source in SHORT_NAMES:
        return SHORT_NAMES[source]()
    if kind in _READERS and argument:
        return _READERS[kind](argument)
    near = difflib.get_close_matches(source, SHORT_NAMES, n=1)
    raise UserError(
        f"data.source={source!r} is unknown{f' (did you mean {near[0]!r}?)' if near else ''}; "
        f"use {', '.join((*SHORT_NAMES, *FORMS))}, or A+B; env:cartpole is an environment"
    )
