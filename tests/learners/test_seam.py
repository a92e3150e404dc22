"""The seam takes what is no diffusion: Reptile, from episodes, by a pseudo-gradient."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from mole_jax.core.errors import UserError
from mole_jax.learners import answers
from mole_jax.tasks import family as families
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network
from mole_jax.training import fresh_classes, loop
from mole_jax.training.episode_source import EpisodeSource
from mole_jax.training.fresh_classes import FreshClasses
from mole_jax.training.learner import Episodes, Label, Request, Uses
from mole_jax.training.support_sets import SupportSizes
from mole_jax.training.train_config import TrainConfig
from tests import tiny

INNER_RATE, INNER_STEPS = 0.1, 5


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=[], meta_fields=["network", "name"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class Reptile:
    """Nichol et al. 2018: move towards what a few steps on each task lead to."""

    network: Network
    name: str = "reptile"

    source = "episodes"
    uses = Uses(start=False, target_metric=False, samples=False)
    n_tokens = 1
    label = Label("Reptile", "Moves towards what a few steps on each task lead to.")
    writes_networks = True
    setting: ClassVar[dict[str, Any]] = {}

    def init(self, key: jax.Array) -> jax.Array:
        return self.network.spec.flatten(self.network.init(key))

    def _loss(self, flat: jax.Array, examples: Examples) -> jax.Array:
        logits = self.network.apply(self.network.spec.unflatten(flat), examples.inputs)
        return loss_and_accuracy(logits, examples.labels, examples.mask)[0]

    def _adapted(self, theta: jax.Array, support: Examples) -> jax.Array:
        def step(flat: jax.Array, _: None) -> tuple[jax.Array, None]:
            return flat - INNER_RATE * jax.grad(self._loss)(flat, support), None

        return jax.lax.scan(step, theta, length=INNER_STEPS)[0]

    def gradient(self, theta: Any, batch: Episodes, key: jax.Array) -> tuple[Any, dict[str, Any]]:
        assert batch.query is not None
        found = jax.vmap(self._adapted, (None, 0))(theta, batch.support)
        loss = jax.vmap(self._loss)(found, batch.query)
        return jnp.mean(theta[None] - found, axis=0), {"loss": jnp.mean(loss)}

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        return jax.vmap(self._adapted, (None, 0))(theta, episodes.support)

    def on(self, mesh: Mesh, parts: int) -> Self:
        return self

    def check_mesh(self, mesh: Mesh) -> None:
        pass

    def ready(self, fitted: Any, plan: Any) -> Self:
        return self

    def choices(self) -> tuple[Self, ...]:
        return ()

    def polished(self, steps: int) -> None:
        return None

    def without_remat(self) -> None:
        return None


@pytest.fixture(scope="module")
def source() -> EpisodeSource:
    config = tiny.tiny_config()
    family = families.build(config)
    tasks = jnp.asarray(family.indices("train"), jnp.int32)
    return EpisodeSource(
        family.network, tasks, family.device_data, 8, SupportSizes(2, 4), queries=16
    )


@pytest.fixture(scope="module")
def hyper() -> TrainConfig:
    config = tiny.tiny_config(
        training__steps=40, training__learning_rate=0.02, training__checkpoint_every=20,
        training__steps_per_dispatch=10,
    )  # fmt: skip
    return TrainConfig.of(config)


def losses(folder: Path) -> list[float]:
    return [json.loads(x)["loss"] for x in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_is_trained_by_the_same_loop_and_answers_alike(
    source: EpisodeSource, hyper: TrainConfig, tmp_path: Path
) -> None:
    learner, root, mesh = Reptile(source.network), jax.random.key(1), tiny.mesh_of(1)
    state = loop.fit(learner, hyper, source, root, tmp_path / "whole", mesh)
    found = losses(tmp_path / "whole")
    assert found[-1] < 0.9 * found[0]
    kept = tmp_path / "whole" / "checkpoints" / "20"
    (tmp_path / "resumed" / "checkpoints").mkdir(parents=True)
    kept.rename(tmp_path / "resumed" / "checkpoints" / "20")
    resumed = loop.fit(learner, hyper, source, root, tmp_path / "resumed", mesh)
    assert tiny.equal_trees(resumed, state)

    new = source.draw(source.constants, (), root, 1000)
    request = answers.all_of(jnp.zeros(8))
    networks = answers.adapt(learner, state.ema, new, request, root)
    untrained = answers.adapt(learner, learner.init(root), new, request, root)
    of = jax.vmap(learner._loss)
    assert float(of(networks, new.query).mean()) < float(of(untrained, new.query).mean())
    assert answers.flops(learner, state.ema, new) > 0


def test_episodes_are_a_function_of_the_step_and_disjoint(source: EpisodeSource) -> None:
    root = jax.random.key(2)
    draw = jax.jit(lambda step: source.draw(source.constants, (), root, step))
    one, again, other = draw(3), draw(3), draw(4)
    assert tiny.equal_trees(one._replace(start_metric=0), again._replace(start_metric=0))
    assert not np.array_equal(one.support.inputs, other.support.inputs)
    assert np.isin(one.task, source.tasks).all()
    assert one.support.labels.shape == (8, 12) and one.query.labels.shape == (8, 16)
    shown, judged = (
        {x.tobytes() for x in np.asarray(e.inputs).reshape(-1, e.inputs.shape[-1])}
        for e in (one.support, one.query)
    )
    assert not shown & judged


def test_fresh_classes_make_new_tasks_but_never_held_out_ones(source: EpisodeSource) -> None:
    data = source.data
    held_out = [[0, 1, 2], [1, 2, 3]]
    fresh = FreshClasses(jnp.arange(4), jnp.array(held_out))
    other = dataclasses.replace(source, fresh=fresh)
    listed = jnp.array([[5, 6, 7]] * 300)
    drawn = np.asarray(fresh_classes.draw(fresh, listed, None, jax.random.key(0)))
    sets = {tuple(sorted(row)) for row in drawn.tolist()}
    assert sets == {(5, 6, 7), (0, 1, 3), (0, 2, 3)}
    assert abs((drawn[:, 0] == 5).mean() - 0.5) < 0.1
    made = jax.jit(lambda step: other.draw(other.constants, (), jax.random.key(0), step))(0)
    # Images are those of the drawn classes: of a task of the same classes.
    pool = {
        x.tobytes()
        for c in range(8)
        for x in np.asarray(data.with_classes(
            jnp.zeros(1, int), jnp.array([[c, c, c]])
        ).pool("support", jnp.int32(0)).inputs)
    }  # fmt: skip
    assert {x.tobytes() for x in np.asarray(made.support.inputs)[0]} <= pool


def test_fresh_classes_are_of_one_data_set_where_those_of_training_tasks_are() -> None:
    listed = jnp.array([[0, 2], [4, 5], [6, 3]] * 40)  # of the first, the second, the second
    source = jnp.array([0, 0, 0, 1, 1, 1, 1])
    none = jnp.zeros((0, 2), jnp.int32)
    fresh = FreshClasses(jnp.array([0, 1, 2, 3, 4, 6]), none, source)  # 5 is known to no task
    drawn = np.asarray(fresh_classes.draw(fresh, listed, None, jax.random.key(0)))
    of = np.asarray(source)[drawn]
    np.testing.assert_array_equal(of, np.repeat([[0, 1, 1] * 40], 2, axis=0).T)
    assert all(len(set(row)) == 2 for row in drawn.tolist())
    assert {frozenset(row) for row in drawn[::3].tolist()} == {
        frozenset(x) for x in ((0, 1), (0, 2), (1, 2))
    }


def test_which_data_set_a_class_is_of_counts_where_no_training_task_mixes_them() -> None:
    family = tiny.made_up("end_to_end").family
    assert fresh_classes.of(family).source is None  # there is one
    half = dataclasses.replace(family, class_source=("a",) * 5 + ("b",) * 5)
    assert fresh_classes.of(half).source is None  # tasks mix them
    training = [i for i, s in enumerate(half.subsets) if s.split == "train"]
    subsets = list(half.subsets)
    for n, i in enumerate(training):
        classes = tuple(c + 5 * (n % 2) for c in (0, 1, 2))
        subsets[i] = dataclasses.replace(subsets[i], classes=classes)
    found = fresh_classes.of(dataclasses.replace(half, subsets=tuple(subsets))).source
    np.testing.assert_array_equal(found, [0] * 5 + [1] * 5)


def test_fresh_classes_are_as_many_as_those_of_the_listed_task() -> None:
    """And as a set they are never a held-out task, of any size."""
    setting = tiny.made_up("end_to_end", **tiny.SEVERAL_CLASSES, training__permute_labels=0.5)
    source = setting.source
    assert isinstance(source, EpisodeSource) and source.fresh is not None
    own = setting.family.classes_of_tasks
    held_out = {frozenset(s.classes) for s in setting.family.subsets if s.split == "S1"}
    assert {len(classes) for classes in held_out} > {2}
    rows = np.asarray(source.fresh.held_out).tolist()
    assert {frozenset(c for c in row if c < 10) for row in rows} == held_out
    listed = jnp.asarray(np.resize(np.asarray(source.tasks), 400))
    drawn = fresh_classes.draw(
        source.fresh, source.data.classes[listed], jnp.asarray(own)[listed], jax.random.key(0)
    )
    sets = [
        frozenset(row[: own[task]])
        for row, task in zip(np.asarray(drawn).tolist(), np.asarray(listed), strict=True)
    ]
    assert all(len(x) == own[task] for x, task in zip(sets, np.asarray(listed), strict=True))
    assert not held_out & set(sets)
    assert len(set(sets)) > 60  # far more than the twelve that are listed

    draw = jax.jit(lambda step: source.draw(source.constants, (), jax.random.key(0), step))
    for episodes in (draw(step) for step in range(4)):
        sizes = own[np.asarray(episodes.task)]
        for examples in (episodes.support, episodes.query):
            assert examples is not None
            np.testing.assert_array_equal(examples.n_classes, sizes)
            labels = np.where(examples.mask, examples.labels, 0)
            np.testing.assert_array_equal(labels.max(axis=1) < sizes, True)
    metrics = jax.jit(setting.learner.gradient)(setting.params, episodes, jax.random.key(1))[1]
    assert np.isfinite(float(metrics["loss"]))


def test_a_loss_that_is_no_number_is_said_of_any_learner(
    source: EpisodeSource, hyper: TrainConfig, tmp_path: Path
) -> None:
    @functools.partial(
        jax.tree_util.register_dataclass, data_fields=[], meta_fields=["network", "name"]
    )
    class Broken(Reptile):
        def gradient(self, theta: Any, batch: Any, key: Any) -> Any:
            grads, metrics = super().gradient(theta, batch, key)
            return grads, {"loss": metrics["loss"] * jnp.nan}

    with pytest.raises(UserError, match="loss of reptile is not finite at step 0"):
        loop.fit(Broken(source.network), hyper, source, jax.random.key(0), tmp_path,
                 tiny.mesh_of(1))  # fmt: skip
    with np.load(tmp_path / "batch_0.npz") as batch:
        assert {"task", "support.inputs", "query.labels"} <= set(batch.files)


def test_a_gradient_that_is_no_number_is_as_bad_as_a_loss(
    source: EpisodeSource, hyper: TrainConfig, tmp_path: Path
) -> None:
    @functools.partial(
        jax.tree_util.register_dataclass, data_fields=[], meta_fields=["network", "name"]
    )
    class Steep(Reptile):
        def gradient(self, theta: Any, batch: Any, key: Any) -> Any:
            grads, metrics = super().gradient(theta, batch, key)
            return grads * jnp.inf, metrics

    own = dataclasses.replace(hyper, rate_key="learners.steep.rate", apart=True)
    with pytest.raises(UserError, match=r"at step 0, or its gradient.*learners\.steep\.rate") as e:
        loop.fit(Steep(source.network), own, source, jax.random.key(0), tmp_path / "steep",
                 tiny.mesh_of(1))  # fmt: skip
    assert f"move {tmp_path / 'steep'} elsewhere, or leave reptile out" in str(e.value)
