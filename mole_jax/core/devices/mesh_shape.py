"""The shape of a device mesh as a flag gives it: `data:4,fsdp:2`. Does not start JAX."""

from __future__ import annotations

from mole_jax.core.errors import UserError

# data copies what is trained and fsdp divides it; both divide the batch. tensor divides layers.
AXES = ("data", "fsdp", "tensor")


def parse(text: str) -> dict[str, int]:
    """`data:4,fsdp:2` -> {"data": 4, "fsdp": 2}; "" -> {}.

    Raises:
        UserError: for anything but axis:size, unknown axes, axes given twice and sizes below 1.
    """
    shape: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        axis, _, size = (piece.strip() for piece in part.partition(":"))
        if axis not in AXES:
            raise UserError(
                f"--mesh={text}: mesh axis {axis!r} is unknown: the axes are {', '.join(AXES)}"
            )
        if axis in shape:
            raise UserError(f"--mesh={text}: axis {axis} is given twice; give it one size")
        if not size.isdecimal() or int(size) < 1:
            raise UserError(
                f"--mesh={text}: axis {axis} needs a whole number of 1 or more, as in {axis}:2"
            )
        shape[axis] = int(size)
    return shape
