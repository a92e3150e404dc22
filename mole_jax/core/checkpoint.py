"""Training state on disk: asynchronous, whole or absent, the last few and the best kept."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from mole_jax.core import distributed
from mole_jax.core.errors import UserError


class Checkpoints:
    """The checkpoints of one training run, by step; the newest `keep` of them and the best stay.

    State is any pytree of arrays. Saving copies the state off the devices and returns while the
    files are being written; a kill meanwhile leaves the previous checkpoint as the latest. A
    checksum is stored with it: Orbax notices most damage to its files, but not a changed byte among
    the values of an array. Of several processes all call every method, in the same order.
    """

    def __init__(self, directory: str | Path, keep: int = 2) -> None:
        self._path = Path(directory).absolute()
        self._manager = ocp.CheckpointManager(
            self._path,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(keep),
                        policies.BestN(
                            get_metric_fn=_loss,
                            reverse=True,  # the last in order counts as the best
                            n=1,
                            keep_checkpoints_without_metrics=False,
                        ),
                    ]
                ),
                best_fn=_loss,
                best_mode="min",
                create=True,
                enable_async_checkpointing=True,
            ),
        )

    def save(self, step: int, state: Any, loss: float | None = None) -> None:
        """Begin to save `state` as the checkpoint of `step`.

        The checkpoint with the lowest `loss` is the best one; those without are never.

        Raises ValueError when there is a checkpoint of that step or of a later one.
        """
        latest = self.latest_step()
        if latest is not None and step <= latest:  # Orbax would leave it out without a word
            raise ValueError(f"checkpoint {step} would not be newer than the latest, {latest}")
        whole = {"state": state, "checksum": checksum(state)}
        metrics = None if loss is None else {"loss": float(loss)}
        self._manager.save(step, args=ocp.args.StandardSave(whole), metrics=metrics)

    def latest_step(self) -> int | None:
        """Return the newest step that is whole on disk, or None when there is none."""
        return self._manager.latest_step()

    def steps(self) -> list[int]:
        """Return the steps that are whole on disk, in order."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """Return the step with the lowest loss among those on disk, None without any loss."""
        return self._manager.best_step()

    def restore(self, step: int, like: Any) -> Any:
        """Read the state of `step`, shaped, typed and sharded as `like`.

        `like` is a state, or its `jax.eval_shape` with shardings; leaves without a sharding go
        to the first device. Raises ValueError when the stored state has other shapes or is damaged.
        """
        whole = {"state": like, "checksum": jax.ShapeDtypeStruct((), jnp.uint32)}
        found = self._manager.restore(
            step, args=ocp.args.StandardRestore(jax.tree.map(_abstract, whole))
        )
        if int(checksum(found["state"])) != int(found["checksum"]):
            raise ValueError("its values are not those that were saved")
        return found["state"]

    def restore_latest(self, like: Any) -> tuple[int, Any] | None:
        """Step and state of the newest checkpoint that is undamaged, or None without any.

        Damaged ones are deleted with a warning, so that the run can go on from the one before.

        Raises:
            UserError: when there are checkpoints, and all of them are damaged.
        """
        steps = self.steps()[::-1]
        for step in steps:
            try:
                return step, self.restore(step, like)
            except Exception as problem:  # Orbax and TensorStore raise all kinds of them
                if distributed.is_loss(problem):
                    raise
                reason = str(problem).splitlines()[0][:200]
                if distributed.is_first():
                    print(
                        f"warning: checkpoint {step} in {self._path} is damaged and left out: "
                        f"{reason}",
                        file=sys.stderr,
                    )
                if step != steps[-1]:
                    self._manager.delete(step)
        if steps:
            raise UserError(
                f"no checkpoint in {self._path} can be read: delete that folder to begin anew"
            )
        return None

    def wait(self) -> None:
        """Block until everything saved is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, then release the background threads."""
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and distributed.is_loss(error):
            return  # closing would wait for the process that is lost
        self.close()


@jax.jit
def checksum(state: Any) -> jax.Array:
    """A number [] uint32 of all bits of a pytree of arrays, and of the order that they are in.

    Computed where the arrays are; sums of integers are exact, however they are sharded.
    """
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
    """The place of each entry in the flat array. Flattening a divided array would gather it."""
    places, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        places += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return places


def _loss(metrics: Any) -> float:
    return float(metrics["loss"])


def _abstract(leaf: Any) -> Any:
    if not isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        return leaf  # Orbax restores Python and NumPy leaves as what they are.
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
