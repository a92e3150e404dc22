"""Training state on disk: asynchronous, whole or absent, the last few and the best kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from mole_jax.core.devices import distributed
from mole_jax.core.errors import UserError
from mole_jax.core.storage import checkpoint_files as stored
from mole_jax.core.storage.checkpoint_files import DamagedError, checksum

ASIDE = "damaged"  # a folder next to the checkpoints'


class Checkpoints:
    """The checkpoints of one training run, by step; the newest `keep` of them and the best stay.

    For the training process, the only one that writes; readers use `checkpoint_files`. State is any
    pytree of arrays. Saving copies the state off the devices and returns while the files are being
    written; a kill meanwhile leaves the previous checkpoint as the latest. A checksum is stored
    with it: Orbax notices most damage to its files, but not a changed byte among the values of an
    array. All processes call every method, in the same order.
    """

    def __init__(self, directory: str | Path, keep: int = 2) -> None:
        self._path = Path(directory).absolute()
        self._saving = 0
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
                async_options=ocp.AsyncOptions(post_finalization_callback=self._finalized),
            ),
        )

    def save(self, step: int, state: Any, loss: float | None = None) -> None:
        """Begin to save `state` as the checkpoint of `step`.

        The checkpoint with the lowest `loss` is the best; one without a loss never is.

        Raises ValueError when there is a checkpoint of that step or of a later one.
        """
        latest = self.latest_step()
        if latest is not None and step <= latest:  # Orbax would skip it silently
            raise ValueError(f"checkpoint {step} would not be newer than the latest, {latest}")
        whole = {"state": state, "checksum": checksum(state)}
        metrics = None if loss is None else {"loss": float(loss)}
        self._manager.wait_until_finished()  # for the previous save, as Orbax would
        self._saving = step
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
        """Read the state of `step`, once it is saved: see `checkpoint_files.read`."""
        self.wait()
        return stored.read(self._path, step, like)

    def restore_latest(self, like: Any) -> tuple[int, Any] | None:
        """Return step and state of the newest undamaged checkpoint, or None without any.

        Damaged checkpoints move to the folder `damaged` next to the others, with a warning, and the
        run continues from the one before. Nothing is deleted.

        Raises:
            UnreadableError: where one cannot be read, and is not known to be damaged.
            UserError: where there are checkpoints, and all of them are damaged.
        """
        steps = self.steps()[::-1]
        for step in steps:
            state, reason = distributed.agree(self._undamaged, step, like)
            if not distributed.largest(bool(reason)):
                return step, state
            self._put_aside(step, reason)
        if steps:
            raise UserError(
                f"all checkpoints in {self._path} were damaged and are now in "
                f"{self._path.with_name(ASIDE)}; the same command begins at step 0"
            )
        return None

    def _undamaged(self, step: int, like: Any) -> tuple[Any, str]:
        try:
            return self.restore(step, like), ""
        except DamagedError as problem:
            return None, str(problem)

    def _put_aside(self, step: int, reason: str) -> None:
        def move() -> str:
            aside = self._path.with_name(ASIDE)
            aside.mkdir(exist_ok=True)
            names = (f"{step}{end}" for end in ("", *(f".{i}" for i in range(1, 10_000))))
            target = next(aside / name for name in names if not (aside / name).exists())
            os.rename(self._path / str(step), target)
            return str(target)

        target = distributed.from_first(move)
        if distributed.is_first():
            print(
                f"warning: checkpoint {step} in {self._path} is damaged "
                f"({reason or 'reported by another process'}) and was moved to {target}",
                file=sys.stderr,
            )
        self._manager.reload()

    def _finalized(self) -> None:
        """Write the digests of a checkpoint that has all its files but not yet its name."""
        if not distributed.is_first():
            return
        for path in self._path.glob(f"{self._saving}.*"):
            stored.write_digests(path)

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


def _loss(metrics: Any) -> float:
    return float(metrics["loss"])
