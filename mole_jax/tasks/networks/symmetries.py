"""What can be done to a network's parameters without changing its function.

A network declares these once; `representation/permutation.py` and `representation/rotation.py`
act on them.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Permutation:
    """The indices along an axis may change places, in every tensor that has the axis."""

    axis: str
    # Number of blocks of consecutive indices (GroupNorm's groups): whole blocks change places, and
    # so do indices within their block.
    blocks: int = 1


@dataclasses.dataclass(frozen=True)
class Rotation:
    """Every tensor that has the axis may be turned by one orthogonal matrix along it.

    There is a matrix of its own for each index along the axis `each`. Queries and keys of an
    attention head meet in an inner product, values and output weights in a matrix product.
    """

    axis: str
    each: str
