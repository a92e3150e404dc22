"""Tasks with two to four classes are evaluated, each by its own number of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mole_jax.core.program import stages
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.measures.ensembles import with_many_starts
from mole_jax.tasks import networks
from mole_jax.tasks.networks import fewer_outputs
from tests import tiny
from tests.evaluation.conftest import SEQUENCE, SETTINGS, Prepared

CONFIG = SETTINGS | tiny.SEVERAL_CLASSES | {
    "population__members": 2,
    "data__support_per_class": 3,
    "training__regression_steps": 0,
    "evaluation__shots": (2,),
    "evaluation__measures": ("few_shot", "ensembles", "support_sizes"),
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config, workdir = tiny.tiny_config(**CONFIG), tmp_path_factory.mktemp("several")
    stages.run(workdir, SEQUENCE, ["zoo", "train", "evaluate"], config)
    return Prepared(config, workdir, load_context(config, workdir))


@pytest.fixture(scope="module")
def s1(prepared: Prepared) -> dict[str, Any]:
    from mole_jax.core.storage.files import read_json

    found: dict[str, Any] = read_json(prepared.workdir / "report" / "evaluation.json")
    return found["splits"]["S1"]


def test_every_number_is_there(s1: dict[str, Any]) -> None:
    assert 0 < s1["generated"]["mean"] < 1 and np.isfinite(s1["generated"]["loss_mean"])
    for method in s1["few_shot"]["shots"]["2"].values():
        for numbers in method.values():
            # One in four at least is what guessing has; nothing is given to absent classes.
            assert 0.15 < numbers["accuracy"] <= 1 and np.isfinite(numbers["nll"])
    assert 0 < s1["ensembles"]["generated_accuracy"] <= 1
    sizes = [int(size) for size in s1["accuracy_by_support_size"]]
    assert all(2 * n <= size <= 4 * n for n, size in zip((1, 2, 3), sizes, strict=True))


def of_sizes(context: EvalContext, split: str) -> np.ndarray:
    return context.family.classes_of_tasks[context.splits[split].tasks]


def test_scores_are_those_of_the_networks_that_lack_other_outputs(prepared: Prepared) -> None:
    """Losses, accuracies and probabilities of networks whose other outputs are anything."""
    context = prepared.context
    family, episodes = context.family, context.splits["S1"]
    network, data = family.network, family.device_data
    rng = np.random.default_rng(0)
    flat = 0.2 * rng.normal(size=(*episodes.shape, network.spec.size)).astype(np.float32)
    loss, score = scoring.on_own_tasks(family, "test", flat, episodes.tasks)
    p = scoring.probabilities(network, data, "test", flat, episodes.tasks[:, None])
    shown, _ = scoring.on_examples(network, flat, episodes.support)
    for t, (task, k) in enumerate(zip(episodes.tasks, of_sizes(context, "S1"), strict=True)):
        labels, mask = scoring.answers(data, "test", int(task))
        assert not p[t, :, :, k:].any()
        np.testing.assert_allclose(p[t].sum(-1), 1, rtol=1e-5)
        right = p[t][:, np.arange(len(labels)), labels][:, mask]
        np.testing.assert_allclose(-np.log(right).mean(axis=1), loss[t], rtol=1e-3)
        hits = (p[t].argmax(-1) == labels)[:, mask].mean(axis=1)
        np.testing.assert_allclose(hits, score[t], rtol=1e-5)
        small = networks.build(prepared.config.network, network.input_shape, int(k))
        narrow = small.spec.unflatten(fewer_outputs.narrowed(network, flat[t, 0], small))
        own = episodes.support
        logits = np.asarray(small.apply(narrow, own.inputs[t, 0]))[own.mask[t, 0]]
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        chosen = logs[np.arange(len(logs)), own.labels[t, 0][own.mask[t, 0]]]
        np.testing.assert_allclose(-chosen.mean(), shown[t, 0], rtol=1e-3)


def test_starts_of_an_ensemble_have_all_outputs_of_its_task(prepared: Prepared) -> None:
    context = prepared.context
    sizes = of_sizes(context, "S1")
    assert len(set(sizes.tolist())) > 1
    found = with_many_starts(context, "S1", np.arange(len(sizes)), 4)
    output_of = context.family.network.output_of
    for starts, k in zip(found.starts, sizes, strict=True):
        assert (starts[:, output_of == k - 1] != 0).any(axis=1).all()
