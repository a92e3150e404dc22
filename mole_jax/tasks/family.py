"""A family of classification tasks: one data source, its pools, its data subsets, one network."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks, pools, sources, subsets
from mole_jax.tasks.networks import Network
from mole_jax.tasks.pools import ClassTable
from mole_jax.tasks.subsets import DataSubset


class Examples(NamedTuple):
    """Labelled examples of one data subset; the mask marks those that are not padding."""

    inputs: jax.Array  # [..., n, F]
    labels: jax.Array  # [..., n] int32 in 0..K-1
    mask: jax.Array  # [..., n] bool


@dataclasses.dataclass(frozen=True)
class TaskFamily:
    """Everything that tasks of one experiment share; one task is a data subset of it."""

    source: str
    inputs: np.ndarray  # [N, F] float32, standardised: pixels * input_scale + input_shift
    input_scale: float
    input_shift: float
    image_shape: tuple[int, int, int]
    labels: np.ndarray  # [N] int32, the source's own classes
    pools: dict[str, ClassTable]
    subsets: tuple[DataSubset, ...]
    network: Network

    @property
    def n_classes(self) -> int:
        """K, the number of classes of a task."""
        return len(self.subsets[0].classes)

    @functools.cached_property
    def classes(self) -> np.ndarray:  # [T, K]
        """The source classes of every data subset."""
        return np.array([s.classes for s in self.subsets], np.int32)

    @functools.cached_property
    def device_data(self) -> DeviceData:
        """The images and pool tables as device arrays, ready to be passed into jit."""
        tables = {
            name: (jnp.asarray(t.indices), jnp.asarray(t.counts)) for name, t in self.pools.items()
        }
        return DeviceData(jnp.asarray(self.inputs), tables)

    def indices(self, split: str) -> np.ndarray:
        """Positions of the data subsets of a split ("train" or "S1")."""
        return np.array([i for i, s in enumerate(self.subsets) if s.split == split], np.int32)

    def manifest(self) -> dict[str, Any]:
        """The split manifest: which images and data subsets are in which part."""
        return {
            "pools": {
                name: {"n": int(t.counts.sum()), "sha256": pools.digest(t)}
                for name, t in self.pools.items()
            },
            "subsets": {
                split: [s.id for s in self.subsets if s.split == split] for split in ("train", "S1")
            },
        }


class DeviceData(NamedTuple):
    """A family's images and pools on device."""

    inputs: jax.Array  # [N, F]
    tables: dict[str, tuple[jax.Array, jax.Array]]  # pool -> indices [n_classes, m], counts

    def pool(self, name: str, classes: jax.Array) -> Examples:
        """The whole pool of one data subset: classes [K] -> examples [K * m]."""
        indices, counts = self.tables[name]
        k, m = classes.shape[0], indices.shape[1]
        mask = jnp.arange(m)[None] < counts[classes][:, None]  # [K, m]
        labels = jnp.repeat(jnp.arange(k, dtype=jnp.int32), m)
        return Examples(self.inputs[indices[classes].reshape(-1)], labels, mask.reshape(-1))

    def draw(self, name: str, classes: jax.Array, key: jax.Array, n: int) -> Examples:
        """n examples with replacement, classes equally likely: classes [K] -> examples [n]."""
        indices, counts = self.tables[name]
        label_key, row_key = jax.random.split(key)
        labels = jax.random.randint(label_key, (n,), 0, classes.shape[0])
        chosen = classes[labels]
        row = jnp.floor(jax.random.uniform(row_key, (n,)) * counts[chosen]).astype(jnp.int32)
        row = jnp.minimum(row, counts[chosen] - 1)  # uniform() * count may round up to count
        return Examples(self.inputs[indices[chosen, row]], labels, jnp.ones((n,), bool))

    def draw_per_class(self, name: str, classes: jax.Array, key: jax.Array, n: int) -> Examples:
        """n different examples of each class (fewer where the pool has fewer, and then masked).

        Args:
            name: the pool.
            classes: [K] source classes.
            key: PRNG key.
            n: examples of each class.

        Returns:
            Examples [K * min(n, m)], class by class; m is the pool's largest class.
        """
        indices, counts = self.tables[name]
        k, m = classes.shape[0], indices.shape[1]
        order = jax.random.uniform(key, (k, m))
        valid = jnp.arange(m)[None] < counts[classes][:, None]
        order = jnp.where(valid, order, 2.0)  # padding last
        take = min(n, m)
        row = jax.lax.top_k(-order, take)[1]  # [K, take]
        rows = indices[classes[:, None], row]
        mask = jnp.arange(take)[None] < counts[classes][:, None]
        labels = jnp.repeat(jnp.arange(k, dtype=jnp.int32), take)
        return Examples(self.inputs[rows.reshape(-1)], labels, mask.reshape(-1))


def build(config: Mapping[str, Any]) -> TaskFamily:
    """Load the data source and lay out pools, data subsets and the network of `config`.

    Raises:
        UserError: for a seed or anything in `config.data` or `config.network` that cannot be done.
    """
    c = config["data"]
    if config["seed"] < 0:
        raise UserError(f"seed={config['seed']} must not be negative")
    data = sources.load(c["source"])
    tables = pools.split(
        data, dict(c["pools"]), seed=config["seed"], max_per_class=dict(c["max_per_class"])
    )
    chosen = subsets.sample(
        data.name,
        data.n_classes,
        k=c["classes_per_subset"],
        n_train=c["train_subsets"],
        n_held_out=c["held_out_subsets"],
        seed=config["seed"],
    )
    fewest = int(tables["support"].counts.min())
    if c["support_per_class"] > fewest:
        raise UserError(
            f"data.support_per_class={c['support_per_class']}, but a class of {data.name} has only "
            f"{fewest} images in the support pool; lower it or raise data.pools.support"
        )
    flat = data.images.reshape(len(data.images), -1).astype(np.float32)
    train = flat[tables["train"].indices[tables["train"].mask]]
    # One scale for all pixels, as G.pt has it for MNIST.
    scale = np.float32(1 / train.std(dtype=np.float64))
    shift = np.float32(-train.mean(dtype=np.float64) * scale)
    inputs = flat * scale + shift
    return TaskFamily(
        source=data.name,
        inputs=inputs,
        input_scale=float(scale),
        input_shift=float(shift),
        image_shape=data.images.shape[1:],
        labels=data.labels,
        pools=tables,
        subsets=chosen,
        network=networks.build(config["network"], data.images.shape[1:], c["classes_per_subset"]),
    )
