"""Checkpoints as files: list them, read one, and find damage.

FOLDER/STEP                what Orbax wrote; whole once its name is a number
FOLDER/STEP/digests.json   SHA-256 of its data files, written before the checkpoint gets its name

Only `write_digests` writes, so a program that only reads can change nothing.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from mole_jax.core.devices import distributed
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files

DIGESTS = "digests.json"
# How long, at most, a checkpoint that is being deleted lacks some of its files.
SECONDS_TO_VANISH = 1.0
_BLOCK = 2**20  # words of an array that are added up at once
_STATE = "default"  # Orbax's name of the item that holds state and checksum


class DamagedError(Exception):
    """A checkpoint's files are not those that were saved; the message says which."""


class GoneError(Exception):
    """A checkpoint was there, and a training has replaced it since."""


class UnreadableError(UserError):
    """A checkpoint could not be read, for a reason that says nothing against its files."""


def steps(folder: str | Path) -> list[int]:
    """Return the steps that are whole on disk, in order; none where there is no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        return []
    # Orbax writes under another name and renames at the end.
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def best_step(folder: str | Path) -> int | None:
    """Return the step with the lowest loss, the latest of equals; None without any loss."""
    losses = {}
    for step in steps(folder):
        path = Path(folder) / str(step) / "metrics" / "metrics"
        if path.is_file():
            losses[step] = files.read_json(path).get("loss")
    known = [(loss, -step) for step, loss in losses.items() if loss is not None]
    return -min(known)[1] if known else None


def read(folder: str | Path, step: int, like: Any) -> Any:
    """Read the state of `step`, shaped, typed and sharded as `like`.

    `like` is a state, or its `jax.eval_shape` with shardings; leaves without a sharding go to the
    first device. All processes call it together.

    Raises:
        DamagedError: where its files, or its values, are not those that were saved.
        GoneError: where it has been replaced meanwhile.
        UnreadableError: where anything else went wrong: its files may be sound.
    """
    path = Path(folder) / str(step)
    try:
        state = _restored(path, like)
    except Exception as problem:  # Orbax and TensorStore raise all kinds, also bare `Exception`
        if distributed.is_loss(problem):
            raise
        if not path.is_dir():
            raise GoneError(f"checkpoint {step} in {folder} is no longer there") from problem
        if found := damage(path):
            time.sleep(SECONDS_TO_VANISH)
            if not path.is_dir():
                raise GoneError(f"checkpoint {step} in {folder} is no longer there") from problem
            raise DamagedError(found) from problem
        if isinstance(problem, DamagedError) and not (path / DIGESTS).exists():
            raise  # its values are wrong, and no digest says that its files are right
        raise UnreadableError(
            f"checkpoint {step} in {folder} could not be read ({_reason(problem)}); it was left as "
            "it is: try again"
        ) from problem
    return state


def _restored(path: Path, like: Any) -> Any:
    # Before Orbax looks: where it fails, it may print pages about its unfinished work later.
    if found_damage := damage(path):
        raise DamagedError(found_damage)
    whole = {"state": like, "checksum": jax.ShapeDtypeStruct((), jnp.uint32)}
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        found = checkpointer.restore(
            path.absolute() / _STATE,
            args=ocp.args.StandardRestore(jax.tree.map(_abstract, whole)),
        )
    if int(checksum(found["state"])) != int(found["checksum"]):
        raise DamagedError("its values are not those that were saved")
    return found["state"]


def write_digests(path: Path) -> None:
    """Write the digests of the data files of a checkpoint that is about to get its name."""
    found = {str(file.relative_to(path)): _digest(file) for file in _files(path)}
    files.write_json(path / DIGESTS, found)


def damage(path: Path) -> str:
    """Say which file of a checkpoint is not as it was saved; "" where none is known to be.

    Checkpoints of earlier versions have no digests: nothing is known of their files.

    Raises:
        UnreadableError: where a file cannot be read, which is no proof of damage.
    """
    try:
        if not (path / DIGESTS).exists():
            return ""
        expected = files.read_json(path / DIGESTS)
        for name, digest in expected.items():
            file = path / name
            if not file.exists():
                return f"its file {name} is missing"
            if _digest(file) != digest:
                return f"its file {name} is not the one that was saved"
    except UserError:
        return f"its file {DIGESTS} is damaged"
    except (OSError, MemoryError) as problem:
        raise UnreadableError(
            f"checkpoint {path.name} in {path.parent} could not be read ({_reason(problem)}); it "
            "was left as it is: try again"
        ) from problem
    return ""


def _files(path: Path) -> list[Path]:
    # Those at the top are Orbax's own records, which it still changes after this.
    return sorted(file for file in path.glob("*/**/*") if file.is_file())


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _reason(problem: BaseException) -> str:
    """Return the first line of the first cause."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    lines = str(problem).splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0][:200]}".rstrip(": ")


def checksum(state: Any) -> jax.Array:
    """Return a checksum [] uint32 of all bits of a pytree of arrays, and of their order.

    Computed where the arrays are; sums of integers are exact, however they are sharded. NumPy adds
    up what is on CPUs: a program for it would take longer to compile than to run.
    """
    leaves = jax.tree.leaves(state)
    if not all(map(_in_reach, leaves)):
        return _checksum_on_devices(state)
    total = 0
    for leaf in leaves:
        if not isinstance(leaf, jax.Array):
            leaf = np.asarray(leaf)
            leaf = leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype))  # as JAX would have it
        elif jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        total = (total * 31 + _sum(np.asarray(leaf))) % 2**32
    return jnp.asarray(np.uint32(total))


def _in_reach(leaf: Any) -> bool:
    """Return whether NumPy can read an array without copying it from elsewhere."""
    if not isinstance(leaf, jax.Array):
        return True
    on_cpus = all(device.platform == "cpu" for device in leaf.devices())
    return bool(on_cpus and leaf.is_fully_addressable)


def _sum(array: np.ndarray) -> int:
    """Return the sum of an array's words, each times an odd number by its place."""
    flat = np.ascontiguousarray(array).reshape(-1)
    words, total = flat.view(np.dtype(f"uint{8 * array.itemsize}")), 0
    for begin in range(0, len(words), _BLOCK):
        part = words[begin : begin + _BLOCK].astype(np.uint32)
        places = np.arange(len(part), dtype=np.uint32) + np.uint32(begin % 2**32)
        total += int(np.sum(part * (2 * places + np.uint32(1)), dtype=np.uint32))
    return total % 2**32


@jax.jit
def _checksum_on_devices(state: Any) -> jax.Array:
    total = jnp.uint32(0)
    for leaf in jax.tree.leaves(state):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        if leaf.dtype == jnp.bool_:
            leaf = leaf.astype(jnp.uint8)
        bits = jax.lax.bitcast_convert_type(leaf, np.dtype(f"uint{8 * leaf.dtype.itemsize}"))
        words = bits.astype(jnp.uint32)
        # Odd factors: a change of a single word always changes the sum.
        total = total * jnp.uint32(31) + jnp.sum(
            words * (2 * _places(words.shape) + 1), dtype=jnp.uint32
        )
    return total


def _places(shape: tuple[int, ...]) -> jax.Array:
    """Return each entry's place in the flat array. Flattening a divided array would gather it."""
    places, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        places += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return places


def _abstract(leaf: Any) -> Any:
    if not isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        return leaf  # Orbax restores Python and NumPy leaves as what they are.
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
