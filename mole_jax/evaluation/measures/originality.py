"""Are generated networks new? Distances to the training runs, and mistakes shared with them."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation import measure
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.measures import novelty
from mole_jax.evaluation.parts import Done, Found
from mole_jax.representation import alignment, neuron
from mole_jax.tasks.networks import Network

# Training networks that distances are taken to, spread evenly over the zoo.
MOST_REFERENCES = 1600
# The same for networks with several kinds of units, whose matching takes longer.
MOST_MATCHED = 300


def distances(bench: Bench, split: str, done: Done) -> Found:
    """Distance to the nearest training run of generated and of held-out, independently trained
    networks, modulo the network's symmetries.

    Parameters are compared as they are, unscaled.
    """
    count = bench.settings["novelty_count"]
    network, zoo = bench.family.network, bench.zoo
    runs = zoo.select(split=split, finite=True)
    generated = done[f"generated.diffusion.{split}"]["parameters"]
    generated = generated.reshape(-1, generated.shape[-1])
    generated = _spread(generated[np.isfinite(generated).all(1)], count)
    held_out = zoo.parameters(_spread(runs, count), [-1])[:, 0]
    exact = _one_kind_of_unit(network)
    references = _spread(bench.training.final, MOST_REFERENCES if exact else MOST_MATCHED)

    # Both at once, so that the references are aligned to one another once.
    flat = np.concatenate([generated, held_out])
    if not len(flat):
        found = np.zeros(0)
    elif exact:
        found = novelty.nearest(units(network, flat), units(network, references))
    else:
        found = alignment.nearest(network, flat, references)
    return {"generated": found[: len(generated)], "held_out": found[len(generated) :]}


def variety(bench: Bench, split: str, done: Done) -> Found:
    """Distance of each generated network to the nearest other one of its task, and the same of as
    many independently trained networks, modulo the network's symmetries.

    Only tasks with two networks on either side have such distances. Where several kinds of units
    are matched, all of a task's networks are brought to its first, so that distances are upper
    bounds.

    Returns:
        generated, held_out: [networks], equally many; empty where no task has any.
    """
    cases, zoo = bench.splits[split], bench.zoo
    generated = done[f"generated.diffusion.{split}"]["parameters"]
    found: dict[str, list[np.ndarray]] = {"generated": [], "held_out": []}
    for task in np.unique(cases.tasks):
        ours = generated[cases.tasks == task].reshape(-1, generated.shape[-1])
        ours = ours[np.isfinite(ours).all(1)]
        runs = zoo.select(split=split, finite=True, subset=int(task))
        n = min(len(ours), len(runs), bench.settings["novelty_count"])
        if n > 1:
            theirs = zoo.parameters(_spread(runs, n), [-1])[:, 0]
            for name, flat in (("generated", _spread(ours, n)), ("held_out", theirs)):
                found[name].append(_nearest_others(bench.family.network, flat))
    return {name: np.concatenate(x) if x else np.zeros(0) for name, x in found.items()}


def _nearest_others(network: Network, flat: np.ndarray) -> np.ndarray:
    if _one_kind_of_unit(network):
        return novelty.nearest_others(units(network, flat))
    aligned = np.stack([flat[0], *(alignment.align(network, x, flat[0]) for x in flat[1:])])
    apart = np.linalg.norm(aligned[:, None] - aligned[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    return apart.min(axis=1)


def _one_kind_of_unit(network: Network) -> bool:
    """Whether one assignment settles the distance between two networks."""
    free = [symmetry for symmetry in network.symmetries if (symmetry.axis,) in network.units]
    return len(network.symmetries) == len(free) == len(network.units) == 1


def units(network: Network, flat: np.ndarray) -> np.ndarray:
    """Vectors [in, bias, out] of the hidden units: [n, D] -> [n, H, F]."""
    codec = neuron.build(network)
    return np.asarray(codec.encode(flat))[:, codec.kind == 0]


def mistakes(bench: Bench, split: str, done: Done) -> Found:
    """Overlap of the wrong test predictions with those of the same subset's training runs.

    Only subsets that were trained on have such runs, so that S1 has no figure: networks of other
    subsets are not asked about the same classes. `held_out` is the overlap that the independent
    run from the same start has.

    Returns:
        generated, expected, held_out: [networks], empty where there is nothing to compare with.
    """
    network, data = bench.family.network, bench.family.device_data
    cases = bench.splits[split]
    generated = done[f"generated.diffusion.{split}"]["parameters"]
    networks, owners, sizes, tasks = [], [], [], []
    for task in np.unique(cases.tasks):
        rows = np.flatnonzero(cases.tasks == task)
        references = bench.training.final[bench.training.subset == task]
        runs = bench.zoo.select(split=split, finite=True, subset=int(task))
        if len(references) and len(runs):
            independent = bench.zoo.parameters(runs, [-1])[:, 0]
            # Of a zoo of one task there are too many to measure all.
            references = _spread(references, MOST_MATCHED)
            independent = _spread(independent, MOST_MATCHED)
            ours = generated[rows].reshape(-1, generated.shape[-1])
            networks += [ours, independent, references]
            sizes.append((len(ours), len(independent), len(references)))
            owners += [task] * sum(sizes[-1])
            tasks.append(int(task))
    found: dict[str, list[np.ndarray]] = {"generated": [], "expected": [], "held_out": []}
    if tasks:
        flat = np.concatenate(networks)
        p = measure.probabilities(network, data, "test", flat, np.array(owners))
        guesses = np.split(p.argmax(-1), np.cumsum([sum(size) for size in sizes])[:-1])
    for i, task in enumerate(tasks):
        labels, mask = measure.answers(data, "test", task)
        wrong = (guesses[i] != labels)[:, mask]  # [networks, n]
        ours, theirs, trained = np.split(wrong, np.cumsum(sizes[i])[:-1])
        found["generated"].append(novelty.iou_max(ours, trained))
        found["expected"].append(novelty.iou_expected(ours, trained, seed=task))
        found["held_out"].append(novelty.iou_max(theirs, trained))
    return {name: np.concatenate(x) if x else np.zeros(0) for name, x in found.items()}


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
