"""Training state on disk: asynchronous, whole or absent, the last few kept."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp


class Checkpoints:
    """The checkpoints of one training run, by step; the newest `keep` of them stay.

    State is any pytree of arrays. Saving copies the state off the devices and returns while the
    files are being written; a kill meanwhile leaves the previous checkpoint as the latest.
    """

    def __init__(self, directory: str | Path, keep: int = 2) -> None:
        self._manager = ocp.CheckpointManager(
            Path(directory).absolute(),
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, create=True, enable_async_checkpointing=True
            ),
        )

    def save(self, step: int, state: Any) -> None:
        """Begin to save `state` as the checkpoint of `step`.

        Raises ValueError when there is a checkpoint of that step or of a later one.
        """
        latest = self.latest_step()
        if latest is not None and step <= latest:  # Orbax would leave it out without a word
            raise ValueError(f"checkpoint {step} would not be newer than the latest, {latest}")
        self._manager.save(step, args=ocp.args.StandardSave(state))

    def latest_step(self) -> int | None:
        """Return the newest step that is whole on disk, or None when there is none."""
        return self._manager.latest_step()

    def restore(self, step: int, like: Any) -> Any:
        """Read the state of `step`, shaped, typed and sharded as `like`.

        `like` is a state, or its `jax.eval_shape` with shardings; leaves without a sharding go
        to the first device. Raises ValueError when the stored state has other shapes.
        """
        return self._manager.restore(
            step, args=ocp.args.StandardRestore(jax.tree.map(_abstract, like))
        )

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
        self.close()


def _abstract(leaf: Any) -> Any:
    if not isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)):
        return leaf  # Orbax restores Python and NumPy leaves as what they are.
    sharding = getattr(leaf, "sharding", None)
    if sharding is None:
        sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
