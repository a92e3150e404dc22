"""Learning from few examples: every learner on the same support sets, at several shots.

One network and the mean of several are compared with ordinary training on the same examples and
with classical learners, in accuracy, negative log-likelihood and calibration. All tuning is done on
training subsets, separately for each number of shots.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from mole_jax.core import compat
from mole_jax.evaluation.baselines import adam_support, warped
from mole_jax.evaluation.baselines.adam_support import AdamSupport, SupportTraining
from mole_jax.evaluation.baselines.baseline import ask
from mole_jax.evaluation.baselines.classical import (
    CLASSICAL,
    Classical,
    choose,
    log_probabilities,
)
from mole_jax.evaluation.harness import scoring, statistics
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.episodes import EpisodeGrid, fewer
from mole_jax.evaluation.harness.measure import Measure, Record, Results, labelled
from mole_jax.evaluation.harness.prediction import classify, predict
from mole_jax.evaluation.measures import adaptation, fixed_prompt, polishing
from mole_jax.evaluation.measures.ensembles import with_many_starts
from mole_jax.training.learner import Label

NUMBERS = ("accuracy", "nll")  # by task
_SMALLEST = 1e-7  # probability: being certain and wrong has a finite likelihood


class Chosen(NamedTuple):
    """What was chosen on training subsets, at each number of shots."""

    shots: np.ndarray  # [S]
    adam: np.ndarray  # [S, A, 3] rate, snapshot and steps of `adams`
    classical: np.ndarray  # [S, C, 2] setting and temperature of `classical`


class FewShot(NamedTuple):
    """How well methods do from few examples, with one network each and with the mean of several."""

    methods: np.ndarray  # [M] learners, those that polish, too, then `adams` and `classical`
    shots: np.ndarray  # [S]
    networks: np.ndarray  # [] in a mean
    single: np.ndarray  # [S, M, NUMBERS, T]
    together: np.ndarray  # [S, M, NUMBERS, T]; as `single` if a method has one answer
    single_ece: np.ndarray  # [S, M] over all tasks' examples
    together_ece: np.ndarray  # [S, M]


def applies(context: EvalContext) -> bool:
    """Return whether the config has shots and examples have labels."""
    return labelled(context) and bool(shots_of(context))


def shots_of(context: EvalContext) -> list[int]:
    """Return the numbers of shots to try."""
    return sorted(set(compat.get(context.config, "evaluation.shots")))


def adams(context: EvalContext) -> dict[str, tuple[Label, int]]:
    """Return ordinary trainings by name, each with the number of warped copies that it sees."""
    found = {AdamSupport.name: (AdamSupport.label, 0)}
    copies = compat.get(context.config, "evaluation.warped_copies")
    return found | ({warped.ADAM: (warped.ADAM_LABEL, copies)} if copies else {})


def classical(context: EvalContext) -> tuple[Classical, ...]:
    """Return the classical learners, those with warped copies last."""
    copies = compat.get(context.config, "evaluation.warped_copies")
    shape = context.family.network.input_shape
    return (*CLASSICAL, *(warped.classical(shape, copies) if copies else ()))


def seen(context: EvalContext, shown: EpisodeGrid, copies: int) -> EpisodeGrid:
    """Return what one of `adams` is trained on."""
    shape = context.family.network.input_shape
    return warped.with_copies(shown, shape, copies) if copies else shown


def tune(context: EvalContext, split: str, results: Results) -> Chosen:
    """Tune the methods without meta-training on the validation pools of the choice episodes.

    Adam's number of steps is early stopping, as anyone who has other tasks could do it.
    """
    queries, found = pools_of(context, "validation", context.choice.tasks), []
    n_classes = context.family.classes_of_tasks[context.choice.tasks].tolist()
    for shots in shots_of(context):
        shown = fewer(context.choice, shots, context.family.n_classes)
        adam = [
            adam_support.tuned(context, seen(context, shown, copies).flat())[-3:]
            for _, copies in adams(context).values()
        ]
        supports = _supports(shown)
        of_classical = [choose(of, supports, queries, n_classes) for of in classical(context)]
        found.append((shots, adam, of_classical))
    return Chosen(*(np.array(x) for x in zip(*found, strict=True)))


def compare(context: EvalContext, split: str, results: Results) -> FewShot:
    """Ask every method about the test pools of the split's tasks, at every number of shots."""
    chosen, n = results.of(CHOSEN), context.evaluation["few_shot_networks"]
    which = np.arange(len(context.splits[split].tasks))
    episodes = with_many_starts(context, split, which, n)
    pools = pools_of(context, "test", episodes.tasks)
    more = [polishing.name(name) for name in polishing.polished(context)]
    others = [*adams(context), *(of.name for of in classical(context))]
    names = [*context.learners, *more, *others]
    rows = []
    for i, shots in enumerate(chosen.shots):
        shown = fewer(episodes, int(shots), context.family.n_classes)
        answers = [
            *_of_networks(context, split, shown, pools, chosen, i, results),
            *_of_classical(context, shown, pools, chosen.classical[i]),
        ]
        rows.append([judge(p, pools) for p in answers])
    fields = [
        np.array([[getattr(judged, name) for judged in row] for row in rows])
        for name in Judged._fields
    ]
    return FewShot(np.array(names), chosen.shots, np.array(n), *fields)


class Pool(NamedTuple):
    """The examples of a task's pool."""

    inputs: np.ndarray  # [m, F]
    labels: np.ndarray  # [m]


class Judged(NamedTuple):
    """How good the answers of N networks, or of one method, are on T pools."""

    single: np.ndarray  # [NUMBERS, T] mean over networks
    together: np.ndarray  # [NUMBERS, T]
    single_ece: float
    together_ece: float


def judge(probabilities: Sequence[np.ndarray], pools: Sequence[Pool]) -> Judged:
    """Judge class probabilities [N, m, K] of every task, alone and averaged over N."""
    every = [_numbers(p, pool.labels) for p, pool in zip(probabilities, pools, strict=True)]
    mean = [p.mean(axis=0, keepdims=True) for p in probabilities]
    joint = [_numbers(p, pool.labels) for p, pool in zip(mean, pools, strict=True)]
    return Judged(
        np.array(every).T,
        np.array(joint).T,
        _ece(probabilities, pools),
        _ece(mean, pools),
    )


def _numbers(p: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    right = p[:, np.arange(len(labels)), labels]  # [N, m]
    accuracy = np.mean(p.argmax(axis=-1) == labels[None])
    return float(accuracy), float(-np.mean(np.log(np.maximum(right, _SMALLEST))))


def _ece(probabilities: Sequence[np.ndarray], pools: Sequence[Pool]) -> float:
    """Return the calibration error over all tasks' examples; one task has too few."""
    sure = np.concatenate([p.max(axis=-1).ravel() for p in probabilities])
    right = np.concatenate(
        [
            (p.argmax(axis=-1) == pool.labels[None]).ravel()
            for p, pool in zip(probabilities, pools, strict=True)
        ]
    )
    return statistics.calibration_error(sure, right)


def _of_networks(
    context: EvalContext,
    split: str,
    shown: EpisodeGrid,
    pools: Sequence[Pool],
    chosen: Chosen,
    i: int,
    results: Results,
) -> Iterator[list[np.ndarray]]:
    """Yield the class probabilities [N, m, K] of each task, by every method with networks."""
    key, shots = context.key(f"few shot {split}"), int(chosen.shots[i])
    for name in context.learners:
        own = context.measuring(name)
        if not own.learners[name].trained.learner.writes_networks:
            yield classified(own, shown, pools, key)
            continue
        prompt = fixed_prompt.of(own, results)
        own = adaptation.of(own, results, shots)
        yield class_probabilities(context, predict(own, name, shown, prompt, key), shown)
    for name in polishing.polished(context):
        own = context.measuring(name)
        prompt = fixed_prompt.of(own, results)
        own = polishing.of(own, results, shots)
        yield class_probabilities(context, predict(own, name, shown, prompt, key), shown)
    solver, none = AdamSupport(context), np.zeros(0)
    for (_, copies), setting in zip(adams(context).values(), chosen.adam[i], strict=True):
        theta = SupportTraining(none, none, none, *setting)
        given = seen(context, shown, copies)
        flat = ask(solver, theta, given, context.key(solver.name))
        yield class_probabilities(context, flat, shown)


def class_probabilities(
    context: EvalContext, flat: np.ndarray, shown: EpisodeGrid
) -> list[np.ndarray]:
    """Return class probabilities of networks [T, N, D] on test pools: [N, m, K] of each task."""
    network, data = context.family.network, context.family.device_data
    p = scoring.probabilities(network, data, "test", flat, shown.tasks[:, None])  # [T, N, m, K]
    masks = [scoring.answers(data, "test", int(task))[1] for task in shown.tasks]
    return [each[:, mask] for each, mask in zip(p, masks, strict=True)]


def classified(
    context: EvalContext, shown: EpisodeGrid, pools: Sequence[Pool], key: jax.Array
) -> list[np.ndarray]:
    """Return the measured learner's class probabilities on the pools: [N, m, K] of each task.

    An answer with NaN counts as guessing, like that of a network that diverged.
    """
    sizes = [len(pool.labels) for pool in pools]
    inputs = np.stack(
        [np.resize(pool.inputs, (max(sizes), *pool.inputs.shape[1:])) for pool in pools]
    )
    logits = classify(context, context.learner, shown, inputs, key)  # [T, N, M, K]
    finite = np.isfinite(logits).all(axis=(2, 3), keepdims=True)
    logits = np.where(finite, logits, 0.0)
    return [softmax(x[:, :m], axis=-1) for x, m in zip(logits, sizes, strict=True)]


def _of_classical(
    context: EvalContext, shown: EpisodeGrid, pools: Sequence[Pool], chosen: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """Yield the class probabilities [1, m, K] of each task, by classical learner."""
    supports = _supports(shown.first())
    n_classes = context.family.classes_of_tasks[shown.tasks].tolist()
    for of, (setting, temperature) in zip(classical(context), chosen, strict=True):
        scores = [
            of.scores(*support, k, pool.inputs, setting)
            for support, k, pool in zip(supports, n_classes, pools, strict=True)
        ]
        yield [np.exp(log_probabilities(s, temperature))[None] for s in scores]


def _supports(shown: EpisodeGrid) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return inputs and labels of the first support set of every task, masked ones left out."""
    inputs, labels, mask = (x[:, 0] for x in shown.support[:3])
    return [(x[m], y[m]) for x, y, m in zip(inputs, labels, mask, strict=True)]


def pools_of(context: EvalContext, name: str, tasks: np.ndarray) -> list[Pool]:
    """Return a pool of each task, without padding."""
    found = []
    for task in tasks:
        inputs, labels, mask, _ = context.family.device_data.pool(name, jnp.int32(task))
        kept = np.asarray(mask)
        found.append(Pool(np.asarray(inputs)[kept], np.asarray(labels)[kept]))
    return found


def _record(context: EvalContext, split: str, results: Results) -> Record:
    found, n_boot = results.of(MEASURE, split), context.evaluation["bootstrap"]
    of_shots: Record = {}
    for i, shots in enumerate(found.shots):
        best = _best_rival(found, i)
        of_shots[str(int(shots))] = {
            str(name): {
                kind: _summary(values[i, m], ece[i, m], values[i, best], n_boot)
                for kind, values, ece in (
                    ("one", found.single, found.single_ece),
                    ("mean", found.together, found.together_ece),
                )
            }
            for m, name in enumerate(found.methods)
        }
    own = {name: x.trained.learner.label for name, x in context.learners.items()}
    own |= {polishing.name(n): polishing.label(own[n]) for n in polishing.polished(context)}
    labels = {name: label.label for name, label in own.items()}
    labels |= {name: label.label for name, (label, _) in adams(context).items()}
    labels |= {of.name: of.label.label for of in classical(context)}
    return {"few_shot": {"networks": int(found.networks), "labels": labels, "shots": of_shots}}


def _summary(values: np.ndarray, ece: float, best: np.ndarray, n_boot: int) -> Record:
    """Summarise one method, [NUMBERS, T]; its gain is over the best rival, task by task."""
    accuracy, nll = values
    gain, interval = statistics.paired_gain(accuracy[:, None], best[0][:, None], n_boot=n_boot)
    return {
        "accuracy": float(accuracy.mean()),
        "ci95": list(statistics.bootstrap_mean_ci(accuracy, n_boot=n_boot)),
        "nll": float(nll.mean()),
        "ece": float(ece),
        "gain_mean": gain,
        "gain_ci95": list(interval),
    }


def _best_rival(found: FewShot, shots: int) -> int:
    """Return the position of the method without meta-training whose mean is most accurate."""
    first = found.methods.tolist().index(AdamSupport.name)
    return first + int(np.argmax(found.together[shots, first:, 0].mean(axis=-1)))


CHOSEN = Measure("few_shot_choice", Chosen, tune, "choice", applies=applies)
MEASURE = Measure(
    "few_shot",
    FewShot,
    compare,
    needs=(CHOSEN, fixed_prompt.MEASURE, adaptation.MEASURE, polishing.MEASURE),
    applies=applies,
    record=_record,
)
