"""A contact sheet: examples of a data source's classes, for a person to see what is trained on."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mole_jax.core.storage import files
from mole_jax.tasks.sources.image_data import ImageData

COLUMNS = 16  # images of each class
_INCHES = 0.5  # across an image
_GAP = 0.08  # between images, as a share of one
_NAMES = 1.6  # inches, left of the images
_LONGEST = 24  # characters of a name
_FONTS = ("DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif", "STIXGeneral")  # tried in this order
_EDGE, _HEAD = 0.15, 0.5  # inches


def save(data: ImageData, file: Path, n_classes: int, seed: int) -> None:
    """Draw random classes (rows), and of each random images (columns), as PNG.

    Args:
        data: the data source.
        file: to write, such as sheet.png.
        n_classes: at most that many classes are shown.
        seed: of the choice.

    Raises:
        UserError: when the file cannot be written.
    """
    # Slow to import, and needed for this alone; not pyplot, which would ask for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rng = np.random.default_rng(seed)
    n_rows = min(n_classes, data.n_classes)
    classes = np.sort(rng.choice(data.n_classes, n_rows, replace=False))
    width = _NAMES + COLUMNS * _INCHES + _EDGE
    height = _HEAD + n_rows * _INCHES + _EDGE
    figure = Figure(figsize=(width, height), dpi=120, facecolor="white")
    left, bottom = _NAMES / width, _EDGE / height
    axes = figure.add_axes((left, bottom, 1 - left - _EDGE / width, n_rows * _INCHES / height))
    for row, k in enumerate(classes):
        images = np.flatnonzero(data.labels == k)
        shown = rng.choice(images, min(COLUMNS, len(images)), replace=False)
        for column, image in enumerate(shown):
            place = (column, column + 1 - _GAP, row + 1 - _GAP, row)
            axes.imshow(_shades(data, image), extent=place, interpolation="nearest", cmap="gray",
                        vmin=0, vmax=1)  # fmt: skip
    axes.set(xlim=(0, COLUMNS - _GAP), ylim=(n_rows - _GAP, 0), xticks=[], aspect="auto")
    axes.set_yticks(np.arange(n_rows) + (1 - _GAP) / 2, [_name(data, k) for k in classes])
    axes.tick_params(length=0, labelsize=10, labelfontfamily=_FONTS)
    axes.spines[:].set_visible(False)
    size = "x".join(map(str, data.images.shape[1:3]))
    title = (
        f"{data.name}: {n_rows} of {data.n_classes:,} classes, {len(data.labels):,} images {size}"
    )
    figure.text(_EDGE / width, 1 - 0.3 / height, title, fontsize=12, weight="bold", va="center")
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)
    files.write_bytes(file, picture.getvalue())


def _shades(data: ImageData, row: int) -> np.ndarray:
    """Return an image in 0..1: [H, W], or [H, W, 3 or 4] in colour."""
    image = data.images[row].astype(np.float32)
    if data.white is not None:
        low, high = 0.0, data.white
    elif data.images.dtype == np.uint8:
        low, high = 0.0, max(float(data.images.max()), 1.0)
    else:
        low, high = float(data.images.min()), float(data.images.max())
    shades = np.clip((image - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    return shades if shades.shape[-1] in (3, 4) else shades.mean(-1)


def _name(data: ImageData, k: int) -> str:
    name = data.class_names[k] if data.class_names else f"class {k}"
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
