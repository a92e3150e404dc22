"""Data subsets: k of N classes, relabelled 0..k-1, and which of them are held out.

Held out are S1, new combinations of known classes; S2, subsets of classes that no training subset
has; S2any, subsets with at least one such class; S3, subsets of a data set that no training subset
is from; S4, subsets of S1 with a network that no training subset has.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.tasks import subset_sizes, transformation
from mole_jax.tasks.sources import ImageData
from mole_jax.tasks.transformation import Transformation, TransformShares

_LISTABLE = 1_000_000  # with more subsets than this, they are drawn one by one
HELD_OUT = ("S1", "S2", "S2any", "S3", "S4")
# Which classes of an S2 task are new: all of them, or at least one (it is then called S2any).
UNSEEN_RULES = ("all", "any")


@dataclasses.dataclass(frozen=True)
class DataSubset:
    """What distinguishes one task from another, and which part of the experiment it belongs to."""

    id: str
    classes: tuple[int, ...]  # the position of a class is its label
    split: str  # "train", or one of HELD_OUT
    counts: tuple[int, ...] = ()  # training examples of each label; empty: all there are
    parameters: tuple[float, ...] = ()  # of an environment
    transformation: Transformation | None = None  # of all images
    network: str = ""  # the name of its own, where an experiment has several

    @property
    def content(self) -> tuple[Any, ...]:
        """What must not be both trained on and held out.

        The same images under other labels, fewer of them, or transformed, are no new subset.
        """
        return (tuple(sorted(self.classes)), self.parameters)

    def to_json(self) -> dict[str, Any]:
        """Return id, classes, split and all fields that are not empty, as JSON values."""
        fields = dataclasses.asdict(self)
        if self.transformation:
            fields["transformation"] = self.transformation.to_json()
        always = ("id", "classes", "split")
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in fields.items()
            if value or name in always
        }

    @staticmethod
    def from_json(obj: Mapping[str, Any]) -> DataSubset:
        """Invert `to_json`; raise KeyError for a missing field."""
        return DataSubset(
            obj["id"],
            tuple(obj["classes"]),
            obj["split"],
            tuple(obj.get("counts", ())),
            tuple(obj.get("parameters", ())),
            Transformation(**found) if (found := obj.get("transformation")) else None,
            obj.get("network", ""),
        )


def subset_id(
    source: str,
    classes: Sequence[int],
    n_classes: int,
    counts: Sequence[int] = (),
    transformation: Transformation | None = None,
) -> str:
    """Return a name that is the same on every machine: `digits-5of10-0.2.3.7.9`.

    The order of the classes is that of the labels. Where only some training examples are used,
    their numbers follow: `digits-3of10-7.2.9-n40.20.10`; where images are transformed, how:
    `digits-3of10-2.7.9-blur0.7-symmetry5`.
    """
    name = f"{source}-{len(classes)}of{n_classes}-{'.'.join(map(str, classes))}"
    name += f"-n{'.'.join(map(str, counts))}" if counts else ""
    return name + (transformation.name if transformation else "")


def by_split(chosen: Sequence[DataSubset]) -> dict[str, list[str]]:
    """Return the ids of each split; train and S1 always, the others where there are any."""
    splits = dict.fromkeys(["train", "S1", *(s.split for s in chosen)])
    return {split: [s.id for s in chosen if s.split == split] for split in splits}


def draw(
    config: Mapping[str, Any], data: ImageData, examples: np.ndarray, seed: int
) -> tuple[DataSubset, ...]:
    """Draw the data subsets of `config.data`: training ones first, then S1, S2 and S3.

    Args:
        config: `config.data`.
        data: the images.
        examples: [N] training examples of each class.
        seed: of the draw.

    Raises:
        UserError: for more subsets than there are, or keys that do not fit together.
    """
    shape = data.images.shape[1:]
    shares = TransformShares.of(compat.get_from(config, "data", "transform"), shape)
    known, unseen, foreign = _parts(config, data, seed)
    rule = compat.get_from(config, "data", "unseen_class_rule")
    if rule not in UNSEEN_RULES:
        raise UserError(f"data.unseen_class_rule={rule!r} is unknown; there are {UNSEEN_RULES}")
    all_new = rule == "all"
    groups = _groups(config, data, known)
    sizes, n_train = subset_sizes.of(config), config["train_subsets"]
    n_held_out = config["held_out_subsets"]
    there = subset_sizes.ways(groups, sizes) - n_held_out
    chosen = sample(
        data.name,
        data.n_classes,
        sizes=sizes,
        n_train=min(n_train, there) if shares.some and there > 0 else n_train,
        n_held_out=n_held_out,
        seed=seed,
        groups=groups,
    )
    train = [s.classes for s in chosen if s.split == "train"]
    n_train = n_train or len(train)
    n_unseen, n_foreign = config["unseen_class_subsets"], config["unseen_source_subsets"]
    again = np.random.default_rng([seed, 0xA6A1])
    rng = np.random.default_rng([seed, 0x52])
    rows = [
        # If there are more tasks than subsets, subsets repeat with other transformations.
        *((c, "train") for c in subset_sizes.repeated(again, train, n_train)),
        *((s.classes, s.split) for s in chosen if s.split != "train"),
        *(
            (c, "S2" if all_new else "S2any")
            for c in _with_any(
                rng, unseen if all_new else [*known, *unseen], unseen, sizes, n_unseen
            )
        ),
        *((c, "S3") for own in foreign for c in _with_any(rng, own, own, sizes, n_foreign)),
    ]
    if config["shuffle_labels"]:
        rng = np.random.default_rng([seed, 0x1ABE])
        rows = [(tuple(rng.permutation(classes).tolist()), split) for classes, split in rows]
    counts = _counts(config, [classes for classes, _ in rows], examples, seed)
    n_drawn = len(rows) if shares.held_out else n_train
    drawn = transformation.draw(shares, [c for c, _ in rows[:n_drawn]], shape, seed)
    drawn = [*drawn, *[None] * (len(rows) - n_drawn)]
    return tuple(
        DataSubset(subset_id(data.name, c, data.n_classes, n, t), c, split, n, transformation=t)
        for (c, split), n, t in zip(rows, counts, drawn, strict=True)
    )


def sample(
    source: str,
    n_classes: int,
    *,
    sizes: Sequence[int],
    n_train: int,
    n_held_out: int,
    seed: int,
    groups: Sequence[Sequence[int]] | None = None,
) -> tuple[DataSubset, ...]:
    """Draw distinct subsets, the training ones first, then the held-out ones (S1).

    `sizes` are the numbers of classes that a subset may have, in increasing order. Every class of a
    held-out subset occurs in training subsets: it is a new combination of known classes.
    `n_train=0` takes all subsets that are not held out. A subset takes all its classes from one of
    the `groups`; by default one group holds all classes.

    Raises:
        UserError: when there are fewer subsets than asked for, or a class is never trained on.
    """
    groups = [range(n_classes)] if groups is None else groups
    known = sorted({c for group in groups for c in group})
    largest = max(map(len, groups))
    k, said = sizes[-1], f"{subset_sizes.words(sizes)} of {len(known)} classes"
    if not 2 <= k <= largest:
        raise UserError(f"data.classes_per_subset={k} must lie in 2..{largest} ({source})")
    total = subset_sizes.ways(groups, sizes)
    if total > _LISTABLE and not n_train:
        raise UserError(
            f"data.train_subsets=0 means all of {total} ways to take {said}, which are too many; "
            "say how many"
        )
    n_train = n_train or total - n_held_out
    if n_train < 1 or n_held_out < 0 or n_train + n_held_out > total:
        raise UserError(
            f"data: {n_train} training and {n_held_out} held-out subsets asked for, but there are "
            f"{total} ways to take {said}"
        )
    rng = np.random.default_rng([seed, 0x5EB5])
    listed = total <= _LISTABLE  # else too many: they are drawn until there are enough
    if listed and len(sizes) == 1:
        everything = [c for group in groups for c in itertools.combinations(sorted(group), k)]
        order = rng.permutation(total)[: n_train + n_held_out]
        chosen = [everything[i] for i in order]
    else:
        chosen = subset_sizes.draw(rng, groups, sizes, n_train, n_held_out, listed=listed)
    trained = {c for classes in chosen[:n_train] for c in classes}
    if unseen := {c for classes in chosen[n_train:] for c in classes} - trained:
        raise UserError(
            f"data: classes {sorted(unseen)} are in no training subset; raise data.train_subsets"
        )
    return tuple(
        DataSubset(subset_id(source, classes, n_classes), classes, "train" if i < n_train else "S1")
        for i, classes in enumerate(chosen)
    )


def _parts(
    config: Mapping[str, Any], data: ImageData, seed: int
) -> tuple[list[int], list[int], list[list[int]]]:
    """Return the classes that training may see, those of S2, and those of each source of S3."""
    held_out = [name for name in config["held_out_sources"].split("+") if name]
    if strangers := sorted(set(held_out) - set(data.sources)):
        raise UserError(
            f"data.held_out_sources names {strangers[0]!r}, but data.source={config['source']!r} "
            f"has {', '.join(data.sources)}"
        )
    if set(held_out) == set(data.sources):
        raise UserError(
            f"data.held_out_sources={config['held_out_sources']!r} leaves nothing to train on"
        )
    names = [data.sources[i] for i in data.class_source]
    foreign = [
        [c for c, name in enumerate(names) if name == source]
        for source in data.sources
        if source in held_out
    ]
    others = [c for c, name in enumerate(names) if name not in held_out]
    n, k = config["held_out_classes"], config["classes_per_subset"]
    if not 0 <= n <= max(len(others) - k, 0):
        raise UserError(
            f"data.held_out_classes={n} must lie in 0..{max(len(others) - k, 0)}: of "
            f"{len(others)} classes {k} make a subset"
        )
    least = k if compat.get_from(config, "data", "unseen_class_rule") == "all" else 1
    if 0 < n < least:
        raise UserError(
            f"data.held_out_classes={n} must be data.classes_per_subset={k} or more, so that all "
            "classes of a subset can be new; or set data.unseen_class_rule='any'"
        )
    for key, part, other in (
        ("unseen_class_subsets", n, "data.held_out_classes"),
        ("unseen_source_subsets", len(foreign), "data.held_out_sources"),
    ):
        if config[key] < 0 or bool(config[key]) != bool(part):
            raise UserError(
                f"data.{key}={config[key]} and {other}={config[other.partition('.')[2]]!r} go "
                "together: give both, or neither"
            )
    unseen = np.random.default_rng([seed, 0xC1A5]).permutation(others)[:n].tolist()
    return [c for c in others if c not in unseen], sorted(unseen), foreign


def _groups(config: Mapping[str, Any], data: ImageData, known: list[int]) -> list[list[int]]:
    """Return sets of classes; a subset takes all its classes from one of them."""
    if config["mix_sources"]:
        return [known]
    of = [[c for c in known if data.class_source[c] == i] for i in range(len(data.sources))]
    return [group for group in of if len(group) >= config["classes_per_subset"]] or [known]


def _with_any(
    rng: np.random.Generator,
    classes: Sequence[int],
    some: Sequence[int],
    sizes: Sequence[int],
    n: int,
) -> list[tuple[int, ...]]:
    """Draw n different subsets of `classes`, each with one of `some` at least."""
    others = sorted(set(classes) - set(some))
    ways = subset_sizes.ways([classes], sizes) - subset_sizes.ways([others], sizes)
    if n > ways:
        raise UserError(
            f"data: {n} held-out subsets asked for with classes among {sorted(some)}, but there "
            f"are {ways} ways to take {subset_sizes.words(sizes)} classes with any of them"
        )
    possible = [k for k in sizes if k <= len(classes)]
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < n:
        k = subset_sizes.one(rng, possible)
        found = tuple(sorted(rng.choice(classes, k, replace=False).tolist()))
        if set(found) & set(some):
            drawn[found] = None
    return list(drawn)


def _counts(
    config: Mapping[str, Any],
    chosen: Sequence[tuple[int, ...]],
    examples: np.ndarray,
    seed: int,
) -> list[tuple[int, ...]]:
    """Return training examples of each label for every subset; empty for all of them.

    The largest class has a log-uniform number in `examples_per_class`; the others fall off
    geometrically to `1 / imbalance` of it, in random order (Cui et al. 2019).
    """
    low, high = config["examples_per_class"]
    imbalance = config["imbalance"]
    if not 0 <= low <= high or bool(low) != bool(high):
        raise UserError(
            f"data.examples_per_class={(low, high)} must be (low, high) with 1 <= low <= high, or "
            "(0, 0) for all examples"
        )
    if not 1 <= imbalance < math.inf:
        raise UserError(f"data.imbalance={imbalance} must be 1 or more")
    if not high and imbalance == 1:
        return [()] * len(chosen)
    rng = np.random.default_rng([seed, 0xBA1A])
    found = []
    for classes in chosen:
        there = examples[list(classes)]
        most = np.exp(rng.uniform(np.log(low), np.log(high))) if high else there.min()
        k = len(classes)
        profile = imbalance ** -(rng.permutation(k) / max(k - 1, 1))
        found.append(tuple(np.clip(np.round(most * profile), 1, there).astype(int).tolist()))
    return found
