"""Image classification tasks: one data source, its pools, its data subsets, one network."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks import augment as augmentation
from mole_jax.tasks import (
    network_sizes,
    networks,
    pools,
    sources,
    standardise,
    subsets,
    transform_images,
)
from mole_jax.tasks.augment import Augmentation
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs, sizes
from mole_jax.tasks.pools import ClassTable
from mole_jax.tasks.sources import ImageData
from mole_jax.tasks.subsets import DataSubset
from mole_jax.tasks.transform_images import Transformations

# Pools of which a data subset may use only a part.
_LIMITED = ("train", "support")


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        *("pixels", "scale", "shift", "classes", "tables", "limits", "firsts"),
        *("transformations", "n_classes", "sizes"),
    ],
    meta_fields=["image_shape", "augmentation"],
)
@dataclasses.dataclass(frozen=True)
class ImageTasks:
    """Images, pools and data subsets on device, to be passed into jit.

    A task is a position in the task table. Pixels stay as the source has them (bytes, mostly) and
    are standardised where they are used.
    """

    pixels: jax.Array  # [N, F] uint8 or float32
    scale: jax.Array  # [] or [F]: inputs = pixels * scale + shift
    shift: jax.Array  # [] or [F]
    classes: jax.Array  # [T, K] source class of each label
    tables: dict[str, tuple[jax.Array, jax.Array]]  # pool -> indices [n_classes, m], counts
    # If data subsets have only some of a class's training examples: how many, and at which place in
    # the class they begin. The numbers limit the support set's size, too.
    limits: jax.Array | None  # [T, K]
    firsts: jax.Array | None  # [T, K]
    image_shape: tuple[int, int, int]
    augmentation: Augmentation = augmentation.NONE
    transformations: Transformations | None = None  # of the tasks' images; None: as they are
    # [T] how many of its `classes` a task has: the first ones. The others are padding, and their
    # examples are masked. None: all.
    n_classes: jax.Array | None = None
    sizes: jax.Array | None = None  # [T, H] as Frame.sized takes them; None: networks of one size

    score_unit: ClassVar[float] = 1.0

    def pool(self, name: str, task: jax.Array) -> Examples:
        """Return a whole pool of one task: [K * m] examples, class by class."""
        rows, counts = self._rows(name, task)
        k, m = rows.shape
        mask = jnp.arange(m)[None] < counts[:, None]  # [K, m]
        labels = jnp.repeat(jnp.arange(k, dtype=jnp.int32), m)
        inputs = self._inputs(task, rows.reshape(-1))
        return Examples(inputs, labels, mask.reshape(-1), self.classes_of(task))

    def draw(self, name: str, task: jax.Array, key: jax.Array, n: int) -> Examples:
        """Draw n examples with replacement: [n].

        Classes are equally likely, or in proportion to their examples where data subsets are
        limited to some of them. Training examples are augmented.
        """
        rows, counts = self._rows(name, task)
        label_key, row_key = jax.random.split(key)
        if self.limits is None or name not in _LIMITED:
            own = self.classes_of(task)
            labels = jax.random.randint(label_key, (n,), 0, rows.shape[0] if own is None else own)
        else:
            labels = jax.random.categorical(label_key, jnp.log(counts), shape=(n,))
        row = jnp.floor(jax.random.uniform(row_key, (n,)) * counts[labels]).astype(jnp.int32)
        row = jnp.minimum(row, counts[labels] - 1)  # uniform() * count may round up to count
        changes = jax.random.fold_in(key, 1) if name == "train" else None
        inputs = self._inputs(task, rows[labels, row], changes)
        mask = jnp.ones((n,), bool)
        return Examples(inputs, labels.astype(jnp.int32), mask, self.classes_of(task))

    def support(self, task: jax.Array, key: jax.Array, n: int) -> Examples:
        """Draw n different examples of each class; where there are fewer, the rest is masked.

        Args:
            task: position in the task table.
            key: PRNG key.
            n: examples of each class.

        Returns:
            Examples [K * min(n, m)], class by class, each class in random order; m is the pool's
            largest class.
        """
        rows, counts = self._rows("support", task)
        k, m = rows.shape
        order = jax.random.uniform(key, (k, m))
        # Any examples of a limited class may be shown, but no more of them than it has.
        available = self.tables["support"][1][self.classes[task]]
        order = jnp.where(jnp.arange(m)[None] < available[:, None], order, 2.0)  # padding last
        take = min(n, m)
        with jax.named_scope("support"):  # the name by which its collectives are found
            chosen = jax.lax.top_k(-order, take)[1]  # [K, take]
        mask = jnp.arange(take)[None] < counts[:, None]
        labels = jnp.repeat(jnp.arange(k, dtype=jnp.int32), take)
        inputs = self._inputs(task, jnp.take_along_axis(rows, chosen, axis=1).reshape(-1))
        return Examples(inputs, labels, mask.reshape(-1), self.classes_of(task))

    def classes_of(self, task: jax.Array) -> jax.Array | None:
        """Return how many classes tasks [...] have; None where all have K."""
        return None if self.n_classes is None else self.n_classes[task]

    def begun(self, network: Network, flat: jax.Array, task: jax.Array) -> jax.Array:
        """Return fresh networks [..., D] for tasks [...]: zero in the parameters that they lack."""
        flat = fewer_outputs.emptied(network, flat, self.classes_of(task))
        if self.sizes is None or network.frame is None:
            return flat
        return sizes.sized(network, flat, self.sizes[task])

    def world(self, task: jax.Array) -> None:
        """Return None: classifiers do not act."""

    def inputs(self, task: jax.Array, key: jax.Array, n: int) -> jax.Array:
        """Return inputs [n, F] on which networks of the task can be compared: training images."""
        return self.draw("train", task, key, n).inputs

    def with_classes(
        self, task: jax.Array, classes: jax.Array, n_classes: jax.Array | None = None
    ) -> ImageTasks:
        """Return B tasks of other classes [B, K] with all examples, transformed as tasks [B].

        `n_classes` [B] is as the field of that name.
        """
        changes = self.transformations
        if changes is not None:
            changes = transform_images.rows(changes, task)
        return dataclasses.replace(
            self,
            classes=classes,
            limits=None,
            firsts=None,
            transformations=changes,
            n_classes=n_classes,
            sizes=None if self.sizes is None else self.sizes[task],
        )

    def transformed_once(
        self, task: jax.Array, names: Sequence[str]
    ) -> tuple[ImageTasks, jax.Array]:
        """Return one task on its own, with its images already transformed, and its position: [].

        For loops that reuse the same images. The task draws and measures the same examples as
        before. If nothing is transformed, or images change at each draw, return the arguments as
        they are: bytes take less memory.

        Args:
            task: [] position in the task table.
            names: the pools that are used.
        """
        if self.transformations is None or self.augmentation != augmentation.NONE:
            return self, task
        classes = self.classes[task]
        inputs, tables, first = [], {}, 0
        for name in names:
            indices, counts = (x[classes] for x in self.tables[name])  # [K, m], [K]
            inputs.append(self._inputs(task, indices.reshape(-1)))
            places = jnp.arange(first, first + indices.size, dtype=jnp.int32)
            tables[name] = places.reshape(indices.shape), counts
            first += indices.size

        def alone(x: jax.Array | None) -> jax.Array | None:
            return None if x is None else x[task][None]

        own = dataclasses.replace(
            self,
            pixels=jnp.concatenate(inputs),
            scale=jnp.float32(1),
            shift=jnp.float32(0),
            classes=jnp.arange(len(classes))[None],
            tables=tables,
            limits=alone(self.limits),
            firsts=alone(self.firsts),
            transformations=None,
            n_classes=alone(self.n_classes),
            sizes=alone(self.sizes),
        )
        return own, jnp.zeros_like(task)

    def measure(
        self, network: Network, params: Mapping[str, Any], pool: str, task: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Measure loss (nats) and accuracy on a whole pool, each []."""
        examples = self.pool(pool, task)
        if network.microbatch and jax.default_backend() == "cpu":
            apply = functools.partial(network.apply, params)
            logits = jax.lax.map(apply, examples.inputs, batch_size=network.microbatch)
        else:
            logits = network.apply(params, examples.inputs)
        return loss_and_accuracy(logits, *examples[1:])

    def floats_per_eval(self, pool: str) -> int:
        """Count float32 numbers gathered to measure one network on a pool."""
        return self.classes.shape[1] * self.tables[pool][0].shape[1] * self.pixels.shape[1]

    def _rows(self, name: str, task: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return image numbers [K, m] of a task's pool and how many of them count [K].

        None counts of a class that the task lacks.
        """
        chex.assert_rank(task, 0, custom_message="task []: vmap over several")
        indices, counts = self.tables[name]
        classes = self.classes[task]
        rows, counts = indices[classes], counts[classes]
        if self.limits is not None and self.firsts is not None and name in _LIMITED:
            limited = jnp.minimum(counts, self.limits[task])
            if name == "train":  # support sets are new each time, from the whole pool
                places = self.firsts[task][:, None] + jnp.arange(rows.shape[1])[None]
                rows = jnp.take_along_axis(rows, places % counts[:, None], axis=1)
            counts = limited
        if self.n_classes is not None:
            counts = jnp.where(jnp.arange(len(counts)) < self.n_classes[task], counts, 0)
        return rows, counts

    def _inputs(self, task: jax.Array, rows: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Return a task's standardised images of rows [n], augmented where there is a key: [n, F].

        Each image is augmented first, and then all have the task's transformation.
        """
        pixels = self.pixels[rows]
        if key is not None and self.augmentation != augmentation.NONE:
            images = pixels.reshape(-1, *self.image_shape)
            images = augmentation.augment(self.augmentation, images, key)
            pixels = images.reshape(pixels.shape)
        scale, shift = (x[None] if x.ndim else x for x in (self.scale, self.shift))
        pixels = pixels.astype(jnp.float32)
        if self.transformations is None:
            return pixels * scale + shift
        pixels = transform_images.change_brightness(
            self.transformations, task, pixels, self.image_shape
        )
        return transform_images.move_and_mix(self.transformations, task, pixels * scale + shift)


@dataclasses.dataclass(frozen=True)
class ImageFamily:
    """Everything that the image tasks of one experiment share."""

    source: str
    images: np.ndarray  # [N, H, W, channels]
    scale: float | np.ndarray  # inputs = pixels * scale + shift; [F] where channels differ
    shift: float | np.ndarray
    labels: np.ndarray  # [N] int32, the source's own classes
    pools: dict[str, ClassTable]
    subsets: tuple[DataSubset, ...]
    network: Network
    augmentation: Augmentation
    sha256: str  # of images and labels
    class_source: tuple[str, ...]  # the data set that each class comes from
    pixel_range: tuple[float, float]  # smallest and largest pixel of training images

    score: ClassVar[str] = "accuracy"
    score_unit: ClassVar[float] = 1.0
    labelled: ClassVar[bool] = True

    @property
    def n_classes(self) -> int:
        """K, the largest number of classes of a task."""
        return self.network.n_outputs

    @functools.cached_property
    def classes_of_tasks(self) -> np.ndarray:  # [T]
        """How many classes each data subset has."""
        return np.array([len(s.classes) for s in self.subsets], np.int32)

    def chance_score(self, tasks: np.ndarray) -> np.ndarray:
        """Return the accuracy of guessing on tasks [T]: [T]."""
        return 1 / self.classes_of_tasks[tasks]

    def chance_loss(self, tasks: np.ndarray) -> np.ndarray:
        """Return the loss of guessing on tasks [T], in nats: [T]."""
        return np.log(self.classes_of_tasks[tasks])

    @functools.cached_property
    def classes(self) -> np.ndarray:  # [T, K]
        """The source classes of every data subset; where it has fewer than K, they repeat."""
        return np.array([np.resize(s.classes, self.n_classes) for s in self.subsets], np.int32)

    @functools.cached_property
    def inputs(self) -> np.ndarray:  # [N, F]
        """All images, standardised."""
        flat = self.images.reshape(len(self.images), -1).astype(np.float32)
        return flat * np.float32(self.scale) + np.float32(self.shift)

    @functools.cached_property
    def device_data(self) -> ImageTasks:
        """The tasks as device arrays."""
        tables = {
            name: (jnp.asarray(t.indices), jnp.asarray(t.counts)) for name, t in self.pools.items()
        }
        limits = firsts = None
        if any(s.counts for s in self.subsets):
            everything = self.pools["train"].counts[self.classes]  # [T, K]
            given = [
                np.resize(s.counts or all_, self.n_classes)
                for s, all_ in zip(self.subsets, everything, strict=True)
            ]
            limits = jnp.asarray(np.array(given, np.int32))
            firsts = jnp.asarray(_firsts(self.subsets, everything))
        fewer = (self.classes_of_tasks < self.n_classes).any()
        own = network_sizes.table(self.network, self.subsets)
        return ImageTasks(
            pixels=jnp.asarray(self.images.reshape(len(self.images), -1)),
            scale=jnp.float32(self.scale),
            shift=jnp.float32(self.shift),
            classes=jnp.asarray(self.classes),
            tables=tables,
            limits=limits,
            firsts=firsts,
            image_shape=self.images.shape[1:],
            augmentation=self.augmentation,
            transformations=transform_images.tables(
                [s.transformation for s in self.subsets], self.images.shape[1:], self.pixel_range
            ),
            n_classes=jnp.asarray(self.classes_of_tasks) if fewer else None,
            sizes=None if own is None else jnp.asarray(own),
        )

    def indices(self, split: str) -> np.ndarray:
        """Return positions of the data subsets of a split ("train", "S1", ...)."""
        return np.array([i for i, s in enumerate(self.subsets) if s.split == split], np.int32)

    def held_out(self) -> dict[str, np.ndarray]:
        """Return the held-out tasks by split.

        S3 is divided by data set, as "S3-NAME", and S4 by network, as "S4-24".
        """
        found: dict[str, list[int]] = {}
        for split in subsets.HELD_OUT:
            for i in self.indices(split):
                found.setdefault(self._split_name(self.subsets[i]), []).append(int(i))
        return {name: np.array(tasks, np.int32) for name, tasks in found.items()}

    def _split_name(self, subset: DataSubset) -> str:
        if subset.split == "S3":
            return f"S3-{self.class_source[subset.classes[0]]}"
        if subset.split == network_sizes.SPLIT:
            return f"{subset.split}-{subset.network}"
        return subset.split

    def manifest(self) -> dict[str, Any]:
        """Return the split manifest: which images and data subsets are in which part."""
        return {
            "pools": {
                name: {"n": int(t.counts.sum()), "sha256": pools.digest(t)}
                for name, t in self.pools.items()
            },
            "subsets": subsets.by_split(self.subsets),
        }

    def provenance(self) -> dict[str, Any]:
        """Return the hash of images and labels, under the key `images_sha256`."""
        return {"images_sha256": self.sha256}


def build(config: Mapping[str, Any], data: ImageData | None = None) -> ImageFamily:
    """Load the data source and lay out pools, data subsets and the network of `config`.

    `data` replaces what `config.data.source` names.

    Raises:
        UserError: for anything in `config.data` or `config.network` that cannot be done.
    """
    c = config["data"]
    data = sources.load(c["source"]) if data is None else data
    tables = pools.assign(
        data, dict(c["pools"]), seed=config["seed"], max_per_class=dict(c["max_per_class"])
    )
    chosen = subsets.draw(c, data, tables["train"].counts, config["seed"])
    fewest = int(tables["support"].counts.min())
    if c["support_per_class"] > fewest:
        raise UserError(
            f"data.support_per_class={c['support_per_class']}, but a class of {data.name} has only "
            f"{fewest} images in the support pool; lower it or raise data.pools.support"
        )
    shape = data.images.shape[1:]
    seen = sorted({label for s in chosen if s.split == "train" for label in s.classes})
    table = tables["train"]
    train = data.images[table.indices[seen][table.mask[seen]]]  # of classes that are trained on
    if train.min() == train.max():
        raise UserError(
            f"data.source={c['source']!r}: all training pixels are {train.min():g}, so there is "
            "nothing to learn: look at the images of the source"
        )
    if (train == train[0]).all():
        raise UserError(
            f"data.source={c['source']!r}: all training images are the same, so there is nothing "
            "to learn: look at the images of the source"
        )
    scale, shift = standardise.scale_and_shift(c, data, train)
    if not networks.kind_of(config["network"]).classifies:
        raise UserError(
            f"network.name={config['network']['name']!r} does not classify images: "
            f"data.source={c['source']!r} needs one of {', '.join(networks.CLASSIFIERS)}"
        )
    network = networks.build(config["network"], shape, c["classes_per_subset"])
    return ImageFamily(
        source=data.name,
        images=data.images,
        scale=scale,
        shift=shift,
        labels=data.labels,
        pools=tables,
        subsets=network_sizes.assign(network, chosen, config["seed"]),
        network=network,
        augmentation=Augmentation.of(c["augment"], shape),
        sha256=data.sha256,
        class_source=tuple(data.sources[i] for i in data.class_source),
        pixel_range=(float(train.min()), float(train.max())),
    )


def _firsts(chosen: Sequence[DataSubset], counts: np.ndarray) -> np.ndarray:
    """Return each subset's first training example of each class: [T, K], a function of its id."""
    rows = [
        np.random.default_rng(zlib.crc32(s.id.encode())).integers(0, n)
        for s, n in zip(chosen, counts, strict=True)
    ]
    return np.array(rows, np.int32)
