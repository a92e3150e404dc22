"""Transformations of images that make further tasks of the same classes: which task has which.

A task's transformation is the same for all its images, in every pool. This file draws it and names
it; `transform_images.py` applies it on device.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.program import sections

# A linear map is a product with one of this many stored matrices, after a permutation of its own.
BANK = 32
LARGEST_LINEAR = 256  # numbers in an image: larger matrices would make training slow
_SEEDS = 1_000_000  # permutations
_ATTEMPTS = 100  # at drawing a transformation that a data subset does not have yet


@dataclasses.dataclass(frozen=True)
class Transformation:
    """What happens to all images of one task, in this order; the defaults change nothing.

    Brightness is a pixel's place in the range of the training images, from 0 to 1.
    """

    # Above 0 each pixel comes nearer to the brightest next to it, which thickens bright strokes;
    # below 0 it goes away from it, which thins them. Local maxima stay as they are.
    stroke: float = 0.0
    blur: float = 0.0  # share of the mean of the pixels around each, along rows and columns
    middle: float = 0.5  # the brightness that one half becomes, while 0 and 1 stay
    contrast: float = 1.0  # brightness keeps this share of its distance from `level`
    level: float = 0.0
    inverted: bool = False  # bright becomes dark
    symmetry: int = 0  # of the square; see `transform_images.symmetries`
    permutation: int = 0  # the seed of an order of the pixels; 0: as they are
    linear: int = 0  # number of an orthogonal matrix, from 1; 0: none

    @property
    def name(self) -> str:
        """All that differs from the defaults, in characters that file names may have."""
        return "".join(f"-{name}{value:g}" for name, value in self.to_json().items())

    def to_json(self) -> dict[str, Any]:
        """Return what differs from the defaults."""
        values = dataclasses.asdict(self)
        return {
            f.name: values[f.name] for f in dataclasses.fields(self) if values[f.name] != f.default
        }


IDENTITY = Transformation()


@dataclasses.dataclass(frozen=True)
class TransformShares:
    """The share of training tasks that have each kind of transformation, from 0 to 1."""

    symmetry: float = 0.0  # turned by quarters, mirrored
    invert: float = 0.0  # bright and dark change places
    contrast: float = 0.0  # brighter or darker in the middle, flatter
    stroke: float = 0.0  # thicker or thinner bright parts
    blur: float = 0.0  # softer
    permute: float = 0.0  # pixels in another order
    linear: float = 0.0  # pixels mixed at random, in images of at most 256 numbers
    held_out: bool = False  # whether S1, S2 and S3 are changed, too

    @staticmethod
    def of(config: Mapping[str, Any], image_shape: Sequence[int]) -> TransformShares:
        """Read and check `config.data.transform`; raise UserError."""
        shares = sections.read(TransformShares, config, "data.transform")
        for kind in KINDS:
            if not 0 <= (share := getattr(shares, kind)) <= 1:
                raise UserError(
                    f"data.transform.{kind}={share} must lie in 0..1: it is a share of the tasks"
                )
        size = int(np.prod(image_shape))
        if shares.linear and size > LARGEST_LINEAR:
            raise UserError(
                f"data.transform.linear={shares.linear} is for images of at most {LARGEST_LINEAR} "
                f"numbers, these have {size}: set it to 0; data.transform.permute has no limit"
            )
        return shares

    @property
    def some(self) -> bool:
        """Whether any task is transformed."""
        return any(getattr(self, kind) for kind in KINDS)


KINDS = ("symmetry", "invert", "contrast", "stroke", "blur", "permute", "linear")
UNCHANGED = TransformShares()


def n_symmetries(image_shape: Sequence[int]) -> int:
    """Return how many symmetries images have: 8 where they are square, 4 otherwise."""
    return 8 if image_shape[0] == image_shape[1] else 4


def draw(
    shares: TransformShares,
    subsets: Sequence[tuple[int, ...]],
    image_shape: Sequence[int],
    seed: int,
) -> list[Transformation | None]:
    """Draw a transformation of each data subset, different ones for equal subsets.

    None changes nothing. A kind's share decides which tasks have it, and does not affect their
    other kinds, unless a task is drawn again because it equals another.

    Args:
        shares: of the tasks that have each kind.
        subsets: the classes of each task.
        image_shape: height, width, channels.
        seed: of the draw.

    Raises:
        UserError: where a data subset occurs more often than there are transformations for it.
    """
    if not shares.some:
        return [None] * len(subsets)
    rng = np.random.default_rng([seed, 0x7F0A])
    seen: set[tuple[frozenset[int], Transformation]] = set()
    found: list[Transformation | None] = []
    for classes in subsets:
        for _ in range(_ATTEMPTS):
            drawn = _one(shares, n_symmetries(image_shape), rng)
            if (key := (frozenset(classes), drawn)) not in seen:
                break
        else:
            raise UserError(
                f"data.train_subsets: {len(subsets)} tasks are too many for the kinds of "
                "transformations in data.transform, and some would be equal: lower it, or raise "
                "the share of contrast, stroke, blur or permute"
            )
        seen.add(key)
        found.append(None if drawn == IDENTITY else drawn)
    return found


def _one(shares: TransformShares, symmetries: int, rng: np.random.Generator) -> Transformation:
    """Draw one transformation; it takes equally many numbers from `rng` for any shares."""
    has = {kind: rng.random() < getattr(shares, kind) for kind in KINDS}
    symmetry = int(rng.integers(1, symmetries))
    middle, contrast, level = rng.uniform((0.2, 0.5, 0.0), (0.8, 1.0, 1.0)).round(3).tolist()
    thick, thin, blur = rng.uniform((0.2, -0.8, 0.3), (0.55, -0.3, 0.7)).round(3).tolist()
    stroke = thick if rng.random() < 0.5 else thin
    permutation, linear = int(rng.integers(1, _SEEDS)), int(rng.integers(1, BANK + 1))
    values: dict[str, dict[str, Any]] = {
        "symmetry": {"symmetry": symmetry},
        "invert": {"inverted": True},
        "contrast": {"middle": middle, "contrast": contrast, "level": level},
        "stroke": {"stroke": stroke},
        "blur": {"blur": blur},
        "permute": {"permutation": permutation},
        # The order of the pixels makes a new map of one of a few matrices.
        "linear": {"permutation": permutation, "linear": linear},
    }
    return Transformation(**{k: x for kind in KINDS if has[kind] for k, x in values[kind].items()})
