"""Are generated networks new? Distances to the training runs, and mistakes shared with them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mole_jax.evaluation.harness import copying, scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Arrays, Measure, Record, Results
from mole_jax.evaluation.measures import generated
from mole_jax.representation import alignment, neuron
from mole_jax.tasks.networks import Network

# Training networks to which distances are measured, spread evenly over the zoo.
MOST_REFERENCES = 1600
# The same for networks with several kinds of units, whose matching takes longer.
MOST_MATCHED = 300


class Pair(NamedTuple):
    """Distances of generated networks, and of independently trained ones."""

    generated: np.ndarray  # [networks]
    held_out: np.ndarray  # [networks]


class Mistakes(NamedTuple):
    """Overlap of wrong test predictions with those of training runs."""

    generated: np.ndarray  # [networks]
    expected: np.ndarray  # [networks] if mistakes were independent
    held_out: np.ndarray  # [networks] of the independent run from the same start


class Novelty(NamedTuple):
    """See `distances`, `variety` and `mistakes`; empty if there is nothing to compare with."""

    distance_generated: np.ndarray  # [networks]
    distance_held_out: np.ndarray  # [networks]
    among_generated: np.ndarray  # [networks]
    among_held_out: np.ndarray  # [networks]
    overlap_generated: np.ndarray  # [networks]
    overlap_expected: np.ndarray  # [networks]
    overlap_held_out: np.ndarray  # [networks]


def compute(context: EvalContext, split: str, results: Results) -> Novelty:
    """Compare the generated networks of a split with training runs and with one another."""
    flat = results.of(generated.MEASURE, split).parameters
    return Novelty(
        *distances(context, split, flat),
        *variety(context, split, flat),
        *mistakes(context, split, flat),
    )


def distances(context: EvalContext, split: str, generated: np.ndarray) -> Pair:
    """Return distances of networks to the nearest training run, modulo the network's symmetries.

    The networks are generated ones [T, N, D], and held-out, independently trained ones. Parameters
    are compared as they are, unscaled.
    """
    count = context.evaluation["novelty_count"]
    network, zoo = context.family.network, context.zoo
    runs = zoo.select(split=split, finite=True)
    generated = generated.reshape(-1, generated.shape[-1])
    generated = _spread(generated[np.isfinite(generated).all(1)], count)
    held_out = zoo.parameters(_spread(runs, count), [-1])[:, 0]
    exact = _one_kind_of_unit(network)
    references = _spread(context.training.final, MOST_REFERENCES if exact else MOST_MATCHED)

    # Both at once, so that the references are aligned to one another once.
    flat = np.concatenate([generated, held_out])
    if not len(flat):
        found = np.zeros(0)
    elif exact:
        found = copying.nearest(units(network, flat), units(network, references))
    else:
        found = alignment.nearest(network, flat, references)
    return Pair(found[: len(generated)], found[len(generated) :])


def variety(context: EvalContext, split: str, generated: np.ndarray) -> Pair:
    """Return each network's distance to the nearest other one of its task, modulo symmetries.

    The networks are generated ones [T, N, D], and as many independently trained ones. Tasks without
    two networks of both kinds are left out. If several kinds of units are matched, all networks of
    a task are aligned to its first, and distances are upper bounds.
    """
    episodes, zoo = context.splits[split], context.zoo
    found = []
    for task in np.unique(episodes.tasks):
        ours = generated[episodes.tasks == task].reshape(-1, generated.shape[-1])
        ours = ours[np.isfinite(ours).all(1)]
        runs = zoo.select(split=split, finite=True, subset=int(task))
        n = min(len(ours), len(runs), context.evaluation["novelty_count"])
        if n > 1:
            theirs = zoo.parameters(_spread(runs, n), [-1])[:, 0]
            pair = (_spread(ours, n), theirs)
            found.append([nearest_others(context.family.network, flat) for flat in pair])
    return Pair(*_joined(found, 2))


def nearest_others(network: Network, flat: np.ndarray) -> np.ndarray:
    if _one_kind_of_unit(network):
        return copying.nearest_others(units(network, flat))
    aligned = np.stack([flat[0], *(alignment.align(network, x, flat[0]) for x in flat[1:])])
    apart = np.linalg.norm(aligned[:, None] - aligned[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    return apart.min(axis=1)


def _one_kind_of_unit(network: Network) -> bool:
    """Return whether one assignment settles the distance between two networks."""
    free = [symmetry for symmetry in network.symmetries if (symmetry.axis,) in network.units]
    return len(network.symmetries) == len(free) == len(network.units) == 1


def units(network: Network, flat: np.ndarray) -> np.ndarray:
    """Return vectors [in, bias, out] of the hidden units: [n, D] -> [n, H, F]."""
    codec = neuron.build(network)
    return np.asarray(codec.encode(flat))[:, codec.kind == 0]


def mistakes(context: EvalContext, split: str, generated: np.ndarray) -> Mistakes:
    """Return the overlap of wrong test predictions with those of the same subset's training runs.

    The predictions are those of generated networks [T, N, D]; empty if examples have no labels.
    Only training subsets have such runs, so S1 has no figure: networks of other subsets are not
    asked about the same classes. `held_out` is the overlap of the independent run from the same
    start.
    """
    if not context.family.labelled:
        return Mistakes(*_joined([], 3))
    network, data = context.family.network, context.family.device_data
    episodes = context.splits[split]
    networks, owners, sizes, tasks = [], [], [], []
    for task in np.unique(episodes.tasks):
        rows = np.flatnonzero(episodes.tasks == task)
        references = context.training.final[context.training.subset == task]
        runs = context.zoo.select(split=split, finite=True, subset=int(task))
        if len(references) and len(runs):
            independent = context.zoo.parameters(runs, [-1])[:, 0]
            # A zoo of one task has too many to measure all.
            references = _spread(references, MOST_MATCHED)
            independent = _spread(independent, MOST_MATCHED)
            ours = generated[rows].reshape(-1, generated.shape[-1])
            networks += [ours, independent, references]
            sizes.append((len(ours), len(independent), len(references)))
            owners += [task] * sum(sizes[-1])
            tasks.append(int(task))
    found = []
    if tasks:
        flat = np.concatenate(networks)
        p = scoring.probabilities(network, data, "test", flat, np.array(owners))
        guesses = np.split(p.argmax(-1), np.cumsum([sum(size) for size in sizes])[:-1])
    for i, task in enumerate(tasks):
        labels, mask = scoring.answers(data, "test", task)
        wrong = (guesses[i] != labels)[:, mask]  # [networks, n]
        ours, theirs, trained = np.split(wrong, np.cumsum(sizes[i])[:-1])
        expected = copying.iou_expected(ours, trained, seed=task)
        found.append([copying.iou_max(ours, trained), expected, copying.iou_max(theirs, trained)])
    return Mistakes(*_joined(found, 3))


def _joined(found: list[list[np.ndarray]], n: int) -> list[np.ndarray]:
    """Join the arrays of tasks, n of each task; without tasks they are empty."""
    return [np.concatenate(x) for x in zip(*found, strict=True)] if found else [np.zeros(0)] * n


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def _record(context: EvalContext, split: str, results: Results) -> Record:
    found = results.of(MEASURE, split)
    far = found.distance_generated, found.distance_held_out
    among = found.among_generated, found.among_held_out
    summary: Record = {
        "rho": copying.rho(*far) if all(x.size for x in far) else None,
        "z_u": copying.z_u(*far) if all(x.size for x in far) else None,
        "diversity": copying.diversity(*among) if among[0].size else None,
        "n_generated": far[0].size,
        "n_held_out": far[1].size,
    }
    for name, overlap in (
        ("iou_mean", found.overlap_generated),
        ("iou_expected", found.overlap_expected),
        ("iou_held_out", found.overlap_held_out),
    ):
        summary[name] = float(overlap.mean()) if overlap.size else None
    return {"novelty": summary}


def _arrays(context: EvalContext, split: str, results: Results) -> Arrays:
    found = results.of(MEASURE, split)
    return {
        "novelty_generated": found.distance_generated,
        "novelty_heldout": found.distance_held_out,
    }


MEASURE = Measure(
    "novelty", Novelty, compute, needs=(generated.MEASURE,), record=_record, arrays=_arrays
)
