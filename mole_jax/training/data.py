"""Load a stored zoo for meta-training, and place its parameters where there is room.

    device   all parameters on the device, normalised: pairs are gathered inside a step
    host     all parameters in the host's memory, as they are stored
    stream   parameters stay in the zoo's files

With host and stream, rows of coming steps are read ahead and sent to the device (`feeding.py`). The
placement does not change the pairs: which ones a step draws depends on its key alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from mole_jax.core.devices import distributed, memory
from mole_jax.core.errors import UserError
from mole_jax.representation import normalise
from mole_jax.representation.normalise import Moments, Normaliser
from mole_jax.tasks.family import TaskFamily
from mole_jax.tasks.networks import Network
from mole_jax.training import one_basis
from mole_jax.training.pairs import ZooArrays
from mole_jax.zoo import zoo_config
from mole_jax.zoo.prompt_metric import PromptMetric
from mole_jax.zoo.rebuild import rebuild
from mole_jax.zoo.storage.reader import Zoo

PLACEMENTS = zoo_config.PLACEMENTS[1:]
# Share of a memory that the zoo may take where the config does not say.
_SHARE = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingRuns:
    """The runs of a zoo that are trained on, and where their parameters are.

    `arrays.parameters` is None unless the placement is "device"; `kept` [R, S, D] is None unless it
    is "host", and holds the parameters as stored, not normalised.
    """

    placement: str  # one of PLACEMENTS
    zoo: Zoo
    runs: np.ndarray  # [R] rows of the zoo
    arrays: ZooArrays
    normaliser: Normaliser
    metric: PromptMetric  # the one in `arrays.metric`
    kept: np.ndarray | None = None
    basis: np.ndarray | None = None  # [D] the network that all were matched to, with `align`


def load(zoo: Zoo, family: TaskFamily, normaliser: str = "tensor") -> tuple[Normaliser, ZooArrays]:
    """Read the finite training runs, fit the normaliser on them, and put all on device.

    Raises:
        UserError: when the zoo has no usable training run.
    """
    found = read(zoo, family, "device", normaliser)
    return found.normaliser, found.arrays


def read(
    zoo: Zoo,
    family: TaskFamily,
    placement: str,
    normaliser: str = "tensor",
    metric: PromptMetric | None = None,
    *,
    align: bool = False,
) -> TrainingRuns:
    """Fit the normaliser on the finite training runs, and keep them where `placement` says.

    `normaliser` is one of normalise.NORMALISERS; `metric` None is the zoo's own. With `align` all
    runs are brought into one basis first.

    Every placement reads the zoo once, block by block, and fits the same normaliser.

    Raises:
        UserError: when the zoo has no usable training run, and for `align` with "stream".
    """
    runs = _usable(zoo)
    metric = metric or PromptMetric(zoo.schema.prompt_metric)
    shape = (len(runs), len(zoo.steps), zoo.schema.spec.size)
    kept: np.ndarray | None = None
    basis: np.ndarray | None = None
    if placement != "stream":
        kept = np.empty(shape, "float32" if placement == "device" else zoo.schema.dtype)
    moments = normalise.moments(_keeping(zoo.blocks(runs), kept))
    shared = bool(zoo.schema.config.get("population", {}).get("shared_start"))
    if align:
        if kept is None:
            raise UserError(
                "representation.align brings all runs into one basis before the training, but "
                "zoo.placement='stream' leaves them in their files: set it to 'device' or 'host', "
                "or give zoo.memory_gb more"
            )
        basis, line = one_basis.align(family.network, kept)
        if distributed.is_first():
            print(f"train: {line}", flush=True)
        moments = normalise.moments([kept])
    fitted = _fitted(family, moments, normaliser, one=shared or align)
    parameters = None
    if placement == "device" and kept is not None:
        kept -= fitted.mean
        kept /= fitted.scale
        parameters, kept = jnp.asarray(kept), None
    arrays = ZooArrays(
        parameters=parameters,
        metric=jnp.asarray(metric.of_runs(zoo, runs)),
        task=jnp.asarray(zoo.runs["subset"][runs]),
    )
    fitted = jax.tree.map(jnp.asarray, fitted)
    return TrainingRuns(placement, zoo, runs, arrays, fitted, metric, kept, basis)


def choose_placement(config: Mapping[str, Any], zoo: Zoo) -> tuple[str, str]:
    """Return where training keeps a zoo's parameters, and why, in words.

    It is `zoo.placement` or, for "auto", the first of device, host and stream with enough room.
    `zoo.memory_gb` is how much memory the zoo may take; 0 stands for half of what there is.
    All processes of a training choose alike.

    Raises:
        UserError: when the zoo has no usable training run.
    """
    values = len(_usable(zoo)) * len(zoo.steps) * zoo.schema.spec.size
    if config["zoo"]["placement"] != "auto":
        return config["zoo"]["placement"], "zoo.placement says so"
    sizes = {"device": 4 * values, "host": np.dtype(zoo.schema.dtype).itemsize * values}
    rooms = _rooms(config["zoo"]["memory_gb"])
    fits = (where for where in ("device", "host") if sizes[where] <= rooms[where])
    why = "; ".join(
        f"{where}: {sizes[where] / 2**30:.3g} of {rooms[where] / 2**30:.3g} GiB" for where in sizes
    )
    return next(fits, "stream"), why


def describe(found: TrainingRuns, why: str = "") -> str:
    """Return one line on the training data, for the log."""
    n_runs, n_snapshots = found.arrays.metric.shape
    size = found.zoo.schema.spec.size
    stored = 4 if found.placement == "device" else np.dtype(found.zoo.schema.dtype).itemsize
    mib = n_runs * n_snapshots * size * stored / 2**20
    places = {"device": "on device", "host": "in host memory", "stream": "streamed from its files"}
    metric, values = found.metric, np.asarray(found.arrays.metric)
    best = values.max(axis=1) if metric.larger_is_better else values.min(axis=1)
    which = "highest" if metric.larger_is_better else "lowest"
    reason = f" ({why})" if why else ""
    return (
        f"{n_runs} runs x {n_snapshots} snapshots x {size} parameters "
        f"({mib:.0f} MiB) {places[found.placement]}{reason}; "
        f"{which} {metric.words} of a run "
        f"{np.median(best):.3f} (median)"
    )


def checked_family(config: Mapping[str, Any], zoo: Zoo) -> TaskFamily:
    """Rebuild the tasks of a config, and check that the zoo was made from them.

    Raises:
        UserError: when the data source has changed since.
    """
    return rebuild(config, zoo)


def _usable(zoo: Zoo) -> np.ndarray:
    runs = zoo.select(split="train", finite=True)
    if not len(runs):
        raise UserError(f"{zoo.path}: no finite training run to learn from")
    return runs


def _keeping(blocks: Iterator[np.ndarray], kept: np.ndarray | None) -> Iterator[np.ndarray]:
    """Yield the blocks, and copy them into `kept` unless it is None."""
    done = 0
    for block in blocks:
        if kept is not None:
            kept[done : done + len(block)] = block
        done += len(block)
        yield block


def _fitted(family: TaskFamily, moments: Moments, normaliser: str, *, one: bool) -> Normaliser:
    if family.network.frame is not None:
        return normalise.fit_sizes(family.network.spec, moments)
    if normaliser == "global":
        return normalise.fit_global(family.network.spec, moments)
    if one:
        return normalise.fit_shared(family.network, moments, initial_networks(family.network))
    return normalise.fit(family.network.spec, moments)


def initial_networks(network: Network, n: int = 256) -> np.ndarray:
    """Return initial networks [n, D], always the same: only their spread matters."""
    keys = jax.random.split(jax.random.key(0), n)
    return np.asarray(jax.jit(jax.vmap(lambda k: network.spec.flatten(network.init(k))))(keys))


def _rooms(memory_gb: float) -> dict[str, float]:
    """Return the bytes that the zoo may take on a device and on the host, the fewest of all."""
    of_host = memory_gb * 2**30 or _SHARE * _available_on_host()
    # A CPU states no limit of its own: its memory is the host's.
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in jax.local_devices()]
    own = [_SHARE * limit for limit in limits if limit]
    of_device = min(*own, memory_gb * 2**30 or np.inf) if own else of_host
    rooms = np.array([of_device, of_host], np.float32)
    if distributed.count() > 1:
        rooms = np.asarray(multihost_utils.process_allgather(rooms)).min(axis=0)
    return {"device": float(rooms[0]), "host": float(rooms[1])}


def _available_on_host() -> float:
    """Return the bytes of memory that are available now."""
    found = memory.on_host()
    if found is None:
        raise UserError(
            "the amount of memory on this machine is unknown: set zoo.memory_gb to how much of it "
            "the zoo may take"
        )
    return found
