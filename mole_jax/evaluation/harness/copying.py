"""Does the model invent networks, or replay those it was trained on?

Weights: the distance to the nearest training network, modulo the order of hidden units, compared
with that of independently trained networks. Behaviour: how much a network's wrong predictions
overlap with a training network's. A neuron is a vector [incoming weights, bias, outgoing weights];
callers stack them to [networks, H, F].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]

# Largest cost block held at once, in numbers (32 MiB of float64).
_BLOCK = 4 * 1024 * 1024


def distance(a: ArrayLike, b: ArrayLike) -> float:
    """Return the Euclidean distance of two networks, minimised over the order of hidden units.

    a, b: [H, F] neuron vectors. Solved exactly as an assignment problem on squared distances.
    Source: Kuhn, The Hungarian method for the assignment problem (1955).
    """
    x = np.asarray(a, dtype=np.float64)
    y = np.asarray(b, dtype=np.float64)
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"need two arrays [H, F] of one shape, got {x.shape} and {y.shape}")
    return float(np.sqrt(_assigned(x, y, _costs(x, y[None], np.square(y[None]).sum(axis=-1))[0])))


def nearest(query: ArrayLike, reference: ArrayLike) -> Floats:
    """Return each query network's distance to the closest reference, modulo hidden-unit order.

    query: [Q, H, F], reference: [R, H, F]. Returns [Q], the smallest `distance` of each query.
    Costs are one matrix product per query; the assignment is solved only for references whose lower
    bound (the row and column reduction that opens the Hungarian method) is below the best distance
    so far.
    """
    queries = np.asarray(query, dtype=np.float64)
    references = np.asarray(reference, dtype=np.float64)
    if queries.ndim != 3 or references.ndim != 3 or queries.shape[1:] != references.shape[1:]:
        raise ValueError(
            f"need [Q, H, F] and [R, H, F] with the same H and F, "
            f"got {queries.shape} and {references.shape}"
        )
    if not references.size:
        raise ValueError("no reference network to measure a distance to")
    hidden = queries.shape[1]
    block = max(1, _BLOCK // hidden**2)
    best = np.full(len(queries), np.inf)
    for first in range(0, len(references), block):
        candidates = references[first : first + block]  # [B, H, F]
        sizes = np.square(candidates).sum(axis=-1)  # [B, H]
        for q, network in enumerate(queries):
            costs = _costs(network, candidates, sizes)  # [B, H, H]
            bounds = _lower_bounds(costs)  # [B]
            for r in np.argsort(bounds):
                if bounds[r] >= best[q]:
                    break
                best[q] = min(best[q], _assigned(network, candidates[r], costs[r]))
    return np.sqrt(best)


def nearest_others(networks: ArrayLike) -> Floats:
    """Return each network's distance to the closest of the others: [n, H, F] -> [n], n >= 2."""
    x = np.asarray(networks, dtype=np.float64)
    if len(x) < 2:
        raise ValueError("need two networks or more to compare")
    return np.concatenate([nearest(x[i : i + 1], np.delete(x, i, axis=0)) for i in range(len(x))])


def rho(generated: ArrayLike, held_out: ArrayLike) -> float:
    """Return generated networks' median nearest distance over that of held-out runs.

    generated: [m], held_out: [n], both from `nearest` to the same training runs. Near 1 is as new
    as an independent training run, near 0 is a copy. Raises ValueError when the held-out median is
    0 (the ratio then says nothing).
    """
    median = float(np.median(np.asarray(held_out, dtype=np.float64)))
    if not median > 0.0:
        raise ValueError(f"held-out distances have median {median}; a held-out run is a copy")
    return float(np.median(np.asarray(generated, dtype=np.float64))) / median


def diversity(generated: ArrayLike, held_out: ArrayLike) -> float:
    """Return the median distance among generated networks over that among independent runs.

    generated, held_out: [n], from `nearest_others`, with as many networks per task in both. Near 1:
    as different from one another as independent runs are; 0: always the same network. Raises
    ValueError when the held-out median is 0.
    """
    return rho(generated, held_out)


def z_u(generated: ArrayLike, held_out: ArrayLike) -> float:
    """Compute Mann-Whitney's statistic of generated against held-out distances; < 0: copying.

    generated: [m], held_out: [n]. Z = (U - m n / 2) / sqrt(m n (m + n + 1) / 12), where U counts
    the pairs in which the generated network is farther from the training runs. Ties count one half
    and narrow the variance accordingly; when everything is tied Z is 0. Source: Meehan et al., A
    Non-Parametric Test to Detect Data-Copying (2020).
    """
    x = np.asarray(generated, dtype=np.float64).ravel()
    y = np.asarray(held_out, dtype=np.float64).ravel()
    m, n = x.size, y.size
    if not m or not n:
        raise ValueError("z_u needs at least one distance on each side")
    pooled = np.concatenate([x, y])
    u = stats.rankdata(pooled)[:m].sum() - m * (m + 1) / 2
    _, counts = np.unique(pooled, return_counts=True)
    ties = float((counts.astype(np.float64) ** 3 - counts).sum())
    total = m + n
    variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)))
    return float((u - m * n / 2) / np.sqrt(variance)) if variance > 0 else 0.0


def iou_max(generated_wrong: ArrayLike, reference_wrong: ArrayLike) -> Floats:
    """Return each generated network's largest overlap of mistakes with any reference network's.

    generated_wrong: [Q, n], reference_wrong: [R, n], True where example n is misclassified. Returns
    [Q], intersection over union in 0..1; two networks without any mistake share none, so their
    overlap is 0.
    """
    x, y = _wrong(generated_wrong, reference_wrong)
    both = x @ y.T  # [Q, R]
    either = x.sum(axis=1)[:, None] + y.sum(axis=1)[None, :] - both
    return (both / np.maximum(either, 1.0)).max(axis=1)


def iou_expected(
    generated_wrong: ArrayLike, reference_wrong: ArrayLike, *, draws: int = 64, seed: int = 0
) -> Floats:
    """Estimate `iou_max` for independent mistakes, given only how many each network makes.

    Same arguments; returns [Q]. If two networks make k and l mistakes on n examples, independent
    mistakes share Hypergeometric(n, k, l) of them; the largest overlap over the R references is
    averaged over `draws` seeded simulations. Real images differ in difficulty, so even independent
    runs lie above this figure.
    """
    x, y = _wrong(generated_wrong, reference_wrong)
    examples = x.shape[1]
    rng = np.random.default_rng(seed)
    theirs = y.sum(axis=1).astype(np.int64)  # [R]
    expected = np.empty(len(x))
    for q, ours in enumerate(x.sum(axis=1).astype(np.int64)):
        both = rng.hypergeometric(ours, examples - ours, theirs, size=(draws, theirs.size))
        expected[q] = (both / np.maximum(ours + theirs - both, 1)).max(axis=1).mean()
    return expected


def _costs(network: Floats, candidates: Floats, sizes: Floats) -> Floats:
    """Return squared distances of all neuron pairs: [H, F], [B, H, F] -> [B, H candidates', H].

    sizes: [B, H], the candidates' squared lengths, which all queries share.
    """
    flat = candidates.reshape(-1, candidates.shape[-1])  # [B * H, F]
    costs = (flat @ (-2.0 * network.T)).reshape(*candidates.shape[:2], -1)
    costs += sizes[:, :, None]
    costs += np.square(network).sum(axis=-1)
    return costs


def _lower_bounds(costs: Floats) -> Floats:
    """Return a dual-feasible bound on the assignment cost: row minima, then columns' remainders."""
    rows = costs.min(axis=2)  # [B, H]
    columns = (costs - rows[:, :, None]).min(axis=1)  # [B, H]
    return rows.sum(axis=1) + columns.sum(axis=1)


def _assigned(a: Floats, b: Floats, costs: Floats) -> float:
    """Return the squared distance under the best assignment.

    Sums differences: in the expanded square, rounding would hide copies. costs: [H of b, H of a].
    """
    rows, columns = linear_sum_assignment(costs)
    return float(np.square(b[rows] - a[columns]).sum())


def _wrong(generated: ArrayLike, reference: ArrayLike) -> tuple[Floats, Floats]:
    x = np.asarray(generated, dtype=bool)
    y = np.asarray(reference, dtype=bool)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(y):
        raise ValueError(f"need [Q, n] and non-empty [R, n], got {x.shape} and {y.shape}")
    return x.astype(np.float64), y.astype(np.float64)
