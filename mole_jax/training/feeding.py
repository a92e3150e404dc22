"""Prefetching: rows of the zoo are chosen and gathered before the steps that need them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.training import pairs
from mole_jax.training.data import TrainingRuns
from mole_jax.training.pairs import PairConfig, ZooArrays

_THREADS = 8
# Most bytes that are read ahead.
_AHEAD_BYTES = 256 * 2**20


class RowFeed:
    """What each dispatch of a training draws from, in order; a context manager.

    For a zoo on the device it is always the same arrays. Otherwise they come with the rows of the
    dispatch's steps, which a Grain pipeline gathers in the background. `waited` is the number of
    seconds that dispatches have waited for their rows so far.
    """

    def __init__(
        self,
        arrays: ZooArrays,
        runs: TrainingRuns | None,
        rules: PairConfig,
        key_of: Callable[[jax.Array], jax.Array],
        batch_size: int,
        mesh: Mesh,
        first_step: int,
        last_step: int,
        steps_ahead: int,
    ) -> None:
        """Begin to read.

        Args:
            arrays: the training runs on device; enough if they have parameters.
            runs: the same runs, with the place of their parameters if not on device.
            rules: how pairs are drawn.
            key_of: step -> the key that its pairs are drawn with.
            batch_size: pairs of a step, B.
            mesh: where the rows go: the batch is divided over the axes `data` and `fsdp`.
            first_step: where the training begins or resumes.
            last_step: where it ends, exclusive.
            steps_ahead: how many steps to read ahead: one dispatch or a few.
        """
        self.waited = 0.0
        self._step = first_step
        self._arrays = arrays
        self._rows: Iterator[np.ndarray] | None = None
        if arrays.parameters is not None:
            return
        if runs is None:
            raise ValueError("the parameters of the training runs are nowhere")
        self._sharding, self._whole = _sharding(mesh, batch_size), mesh_lib.replicated(mesh)
        part = _local(self._sharding, batch_size)
        size = runs.zoo.schema.spec.size
        self._shape = (batch_size, 2, size)
        self._offset = part.start
        each = (part.stop - part.start) * 2 * size * 4
        ahead = max(1, min(steps_ahead, _AHEAD_BYTES // each))
        choose = _chooser(rules, np.asarray(runs.arrays.metric), key_of, batch_size)
        gather = _gather(runs)

        def rows(step: int) -> np.ndarray:  # [b, 2, D]
            run, start, target = (x[part] for x in choose(step))
            return gather(np.repeat(run, 2), np.stack([start, target], 1).reshape(-1)).reshape(
                -1, 2, size
            )

        import grain  # here: it takes a second or two, and most trainings do not need it

        steps = grain.MapDataset.range(first_step, last_step).map(rows)
        options = grain.ReadOptions(num_threads=min(_THREADS, ahead), prefetch_buffer_size=ahead)
        self._dataset = steps.to_iter_dataset(options)
        self._rows = iter(self._dataset)

    @property
    def resident(self) -> bool:
        """Whether all parameters are on the device, with nothing to feed."""
        return self._arrays.parameters is not None

    def take(self, first: int, stop: int) -> ZooArrays:
        """Return what the steps [first, stop) draw from; each step is taken once, in order."""
        if self.resident:
            return self._arrays
        if self._rows is None:
            raise ValueError("this feed is closed")
        if first != self._step:
            raise ValueError(f"the next step to take is {self._step}, not {first}")
        began = time.monotonic()
        local = np.stack([next(self._rows) for _ in range(first, stop)])  # [N, b, 2, D]
        self.waited += time.monotonic() - began
        self._step = stop

        def shard(index: Any) -> np.ndarray:  # a slice for each axis
            within = slice(*(i - self._offset for i in index[1].indices(self._shape[0])[:2]))
            return local[:, within]

        shape = (stop - first, *self._shape)
        rows = jax.make_array_from_callback(shape, self._sharding, shard)
        step = jax.device_put(np.int32(first), self._whole)
        return self._arrays._replace(rows=rows, first_step=step)

    def __enter__(self) -> RowFeed:
        return self

    def __exit__(self, *_: object) -> None:
        close = getattr(self._rows, "close", None)
        if close is not None:
            close()
        self._rows = None


def like(
    arrays: ZooArrays, runs: TrainingRuns | None, batch_size: int, mesh: Mesh, n_steps: int
) -> ZooArrays:
    """Return what `RowFeed.take` gives for `n_steps`, as shapes with shardings."""
    whole = mesh_lib.replicated(mesh)
    known = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), arrays)
    if arrays.parameters is not None or runs is None:
        return known
    shape = (n_steps, batch_size, 2, runs.zoo.schema.spec.size)
    rows = jax.ShapeDtypeStruct(shape, np.float32, sharding=_sharding(mesh, batch_size))
    step = jax.ShapeDtypeStruct((), np.int32, sharding=whole)
    return known._replace(rows=rows, first_step=step)


def _chooser(
    rules: PairConfig,
    metric: np.ndarray,
    key_of: Callable[[jax.Array], jax.Array],
    batch_size: int,
) -> Callable[[int], list[np.ndarray]]:
    """Return a function step -> runs, starts and targets [B], computed on the host."""
    chosen = jax.jit(lambda of, step: pairs.choose(rules, of, key_of(step), batch_size))
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves the CPU out
        host = jax.local_devices()[0]

    known = jax.device_put(metric, host)

    def choose(step: int) -> list[np.ndarray]:
        with jax.default_device(host):
            return [np.asarray(x) for x in chosen(known, np.int32(step))]

    return choose


def _gather(runs: TrainingRuns) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function (runs [n], snapshots [n]) -> normalised parameters [n, D], float32."""
    mean, scale = np.asarray(runs.normaliser.mean), np.asarray(runs.normaliser.scale)
    kept = runs.kept
    if kept is not None:

        def stored(run: np.ndarray, snapshot: np.ndarray) -> np.ndarray:
            return kept[run, snapshot].astype(np.float32)
    else:
        points = runs.zoo.points(runs.runs)

        def stored(run: np.ndarray, snapshot: np.ndarray) -> np.ndarray:
            return points(runs.runs[run], snapshot)

    def gather(run: np.ndarray, snapshot: np.ndarray) -> np.ndarray:
        found = stored(run, snapshot)
        found -= mean
        found /= scale
        return found

    return gather


def _sharding(mesh: Mesh, batch_size: int) -> NamedSharding:
    """Return the sharding of rows [N, B, 2, D]: over the batch if it divides evenly."""
    axes = ("data", "fsdp")
    if batch_size % (mesh.shape["data"] * mesh.shape["fsdp"]):
        return mesh_lib.replicated(mesh)
    return NamedSharding(mesh, PartitionSpec(None, axes))


def _local(sharding: NamedSharding, batch_size: int) -> slice:
    """Return the part of a batch that this process's devices hold, first to last."""
    places = sharding.addressable_devices_indices_map((1, batch_size, 1, 1)).values()
    bounds: list[Any] = [place[1].indices(batch_size) for place in places if place is not None]
    return slice(min(b[0] for b in bounds), max(b[1] for b in bounds))
