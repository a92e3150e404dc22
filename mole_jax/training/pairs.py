"""Draw training examples - (run, start, target) pairs with fresh support sets - on device."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from mole_jax import representation
from mole_jax.core import compat, rng
from mole_jax.core.errors import UserError
from mole_jax.metamodel.process import prompt as prompt_lib
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation import permutation, rotation
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import networks
from mole_jax.tasks.family import DeviceData
from mole_jax.tasks.networks import Network
from mole_jax.training import support_sets
from mole_jax.training.support_sets import SupportSizes
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.prompt_metric import PromptMetric
from mole_jax.zoo.storage.schema import PROMPT_METRIC, ZooSchema


class ZooArrays(NamedTuple):
    """The training runs of a zoo on device: all parameters, or the rows that some steps draw."""

    parameters: jax.Array | None  # [R, S, D] normalised; None where there are `rows`
    metric: jax.Array  # [R, S] the prompt metric
    task: jax.Array  # [R] the run's position in the task table
    rows: Any = None  # [N, B, 2, D] normalised: starts and targets of N steps
    first_step: Any = None  # [] the step of rows[0]

    def at(self, step: int | jax.Array) -> ZooArrays:
        """Return the arrays with the rows of one step only, [B, 2, D]."""
        if self.rows is None:
            return self
        return self._replace(rows=self.rows[step - self.first_step])


# How pairs are drawn: `start_first` draws the start, then a target after it; `spacing_first` draws
# the number of snapshots between them, then where the pair lies (Peebles et al. 2022), which makes
# all spacings equally frequent.
SPACINGS = ("start_first", "spacing_first")


class Pairs(NamedTuple):
    """A training batch."""

    target: jax.Array  # [B, D] normalised parameters
    prompt: Prompt  # its start has normalised parameters [B, D]
    images: jax.Array  # [B, m, F]: inputs on which networks' outputs are compared


@dataclasses.dataclass(frozen=True)
class PairConfig:
    """How pairs are drawn: the static choices of `config.training`."""

    first_start: float  # share of pairs whose start is the initial network
    support: SupportSizes
    function_images: int
    mix_images: bool
    permute_units: bool
    permute_labels: float  # share of pairs with renamed labels
    drop: tuple[tuple[str, float], ...]  # condition -> rate at which it is dropped
    fresh_starts: bool  # pairs from the first snapshot start from a fresh network
    spacing: str = "start_first"
    metric: str = PROMPT_METRIC  # the prompt metric
    best_prompts: float = 0.0  # share of pairs that target the best snapshot, and ask for it

    @staticmethod
    def of(config: Mapping[str, Any], schema: ZooSchema | None = None) -> PairConfig:
        """Read and check the rules of a config and the prompt metric; raises UserError."""
        t = config["training"]
        support = SupportSizes(
            t["support_min_per_class"],
            config["data"]["support_per_class"],
            compat.get(config, "training.support_sizes"),
            compat.get(config, "training.support_unequal"),
        )
        support.check()
        drop = tuple((name, float(t["drop"][name])) for name in prompt_lib.CONDITIONS)
        if any(not 0 <= rate < 1 for _, rate in drop):
            raise UserError(f"training.drop={dict(drop)}: every rate must lie in [0, 1)")
        if not 0 <= t["first_start"] <= 1 or t["function_images"] < 1:
            raise UserError(
                "training: first_start must lie in [0, 1], function_images must be 1 or more; they "
                f"are {t['first_start']} and {t['function_images']}"
            )
        if not 0 <= t["permute_labels"] <= 1:
            raise UserError(
                f"training.permute_labels={t['permute_labels']} must lie in [0, 1]: it is a share"
            )
        if t["permute_labels"] and not networks.kind_of(config["network"]).classifies:
            raise UserError(
                f"training.permute_labels={t['permute_labels']} renames labels, and "
                f"network.name={config['network']['name']!r} has none; set it to 0"
            )
        best = compat.get(config, "training.best_prompts")
        if not 0 <= best < 1:
            raise UserError(f"training.best_prompts={best} must lie in [0, 1): it is a share")
        spacing = compat.get(config, "training.spacing")
        if spacing not in SPACINGS:
            raise UserError(f"training.spacing={spacing!r} is unknown; there are {SPACINGS}")
        if spacing == "spacing_first" and t["first_start"]:
            raise UserError(
                f"training.first_start={t['first_start']} moves starts to the first snapshot, but "
                "training.spacing='spacing_first' draws them at random: set first_start to 0"
            )
        one_basis = representation.one_basis(config)
        if t["permute_units"] and one_basis:
            raise UserError(
                "training.permute_units: turn it off with population.shared_start and "
                "representation.align, which give the units of all runs one order"
            )
        return PairConfig(
            first_start=t["first_start"],
            support=support,
            function_images=t["function_images"],
            mix_images=t["mix_images"],
            permute_units=t["permute_units"],
            permute_labels=t["permute_labels"],
            drop=drop,
            fresh_starts=one_basis,
            spacing=spacing,
            metric=prompt_metric.of(config, schema).name,
            best_prompts=best,
        )


def draw(
    rules: PairConfig,
    network: Network,
    zoo: ZooArrays,
    data: DeviceData,
    normaliser: Normaliser,
    key: jax.Array,
    batch: int,
) -> Pairs:
    """Draw a batch of pairs: start before target in the same run, each with its own support set.

    In a share `best_prompts` of the pairs, the target is the best snapshot after the start, and the
    prompt asks for the best network.
    With `permute_units` start and target are moved by the same random symmetry of the network: its
    units are reordered, its bases turned. Representations that are not equivariant need this;
    neuron tokens of MLPs with one hidden layer do not. With `permute_labels` the labels of each
    pair are renamed at random, outputs and examples alike: a data subset then stands for k! tasks,
    and what the model learns about a class cannot depend on its label. With `fresh_starts` the
    initial network, which all runs share, is replaced in every pair by a fresh one and its metric.
    `zoo` holds all parameters, or the rows of this step: see `ZooArrays.at`.
    """
    _check(zoo, batch, network.spec.size)
    run, start, target = choose(rules, zoo.metric, key, batch)
    if zoo.parameters is None:
        first, last = zoo.rows[:, 0], zoo.rows[:, 1]  # [B, D]
    else:
        first, last = zoo.parameters[run, start], zoo.parameters[run, target]
    task = zoo.task[run]  # [B]
    shown = rng.named(key, "support")
    support = support_sets.draw(rules.support, data, task, network.n_classes, shown)
    images = _images(rules, data, task, rng.named(key, "images"))
    start_metric = zoo.metric[run, start]
    if rules.fresh_starts:
        fresh = _fresh(network, rng.named(key, "fresh"), batch)
        fresh = data.begun(network, fresh, task)
        first = jnp.where(start[:, None] == 0, normaliser.normalise(fresh), first)
        measured = _measured(PromptMetric(rules.metric), network, data, fresh, task)
        start_metric = jnp.where(start == 0, measured, start_metric)
    if rules.permute_units:
        each = jax.random.split(rng.named(key, "units"), batch)
        orders = jax.vmap(functools.partial(permutation.random_orders, network))(each)
        reorder = jax.vmap(functools.partial(permutation.permute, network))
        first, last = reorder(first, orders), reorder(last, orders)
        if network.rotations:
            each = jax.random.split(rng.named(key, "bases"), batch)
            turns = jax.vmap(functools.partial(rotation.random_turns, network))(each)
            turn = jax.vmap(functools.partial(rotation.rotate, network))
            first, last = turn(first, turns), turn(last, turns)
    if rules.permute_labels:
        order = support_sets.random_orders(
            key, batch, network.n_outputs, rules.permute_labels, data.classes_of(task)
        )
        rename = jax.vmap(functools.partial(permutation.permute_outputs, network))
        first, last = rename(first, order), rename(last, order)
        support = support_sets.renamed(support, order)
    use = prompt_lib.dropped(prompt_lib.everything(batch), rng.named(key, "drop"), dict(rules.drop))
    prompt = Prompt(
        start=first,
        start_metric=start_metric,
        target_metric=zoo.metric[run, target],
        support=support,
        use=use,
        best=_best_asked(rules, key, batch) if rules.best_prompts else None,
    )
    return Pairs(last, prompt, images)


def _check(zoo: ZooArrays, batch: int, size: int) -> None:
    """Assert shapes at trace time: JAX reads past the end of an array without an error."""
    dims = chex.Dimensions(B=batch, D=size)
    dims["RS"] = zoo.metric.shape
    chex.assert_shape(zoo.task, dims["R"], custom_message="zoo.task [R]")
    if zoo.parameters is None:
        chex.assert_shape(zoo.rows, dims["B2D"], custom_message="zoo.rows [B, 2, D] of a step")
    else:
        chex.assert_shape(zoo.parameters, dims["RSD"], custom_message="zoo.parameters [R, S, D]")


def choose(
    rules: PairConfig, metric: jax.Array, key: jax.Array, batch: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose runs, starts and later targets, each [B], from a zoo with these metrics [R, S].

    `key` is the one that `draw` takes, so reading ahead chooses the same rows.
    """
    run, start, target = _any(rules, metric.shape, key, batch)
    if not rules.best_prompts:
        return run, start, target
    best = _best_after(PromptMetric(rules.metric), metric[run], start)
    return run, start, jnp.where(_best_asked(rules, key, batch), best, target)


def _best_asked(rules: PairConfig, key: jax.Array, batch: int) -> jax.Array:
    """Draw which prompts ask for the best snapshot: [B] bool."""
    return jax.random.uniform(rng.named(key, "best"), (batch,)) < rules.best_prompts


def _best_after(metric: PromptMetric, values: jax.Array, start: jax.Array) -> jax.Array:
    """Return the snapshot after the start with the best of its run's values [B, S]: [B].

    Ties go to the last one: many policies reach the full return, and those that have only just
    done so are the least robust. Values that are not finite are worse than all others.
    """
    cost = -values if metric.larger_is_better else values
    cost = jnp.where(jnp.isfinite(cost), cost, jnp.finfo(cost.dtype).max)
    later = jnp.arange(values.shape[1])[None] > start[:, None]
    from_the_end = jnp.where(later, cost, jnp.inf)[:, ::-1]
    return (values.shape[1] - 1 - jnp.argmin(from_the_end, axis=1)).astype(start.dtype)


def _any(
    rules: PairConfig, shape: tuple[int, ...], key: jax.Array, batch: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Choose any start and any later target: see `choose`."""
    n_runs, n_snapshots = shape
    run_key, first_key, start_key, target_key = jax.random.split(rng.named(key, "pair"), 4)
    run = jax.random.randint(run_key, (batch,), 0, n_runs)
    if rules.spacing == "spacing_first":
        apart = jax.random.randint(start_key, (batch,), 1, n_snapshots)
        start = jax.random.randint(target_key, (batch,), 0, n_snapshots - apart)
        return run, start, start + apart
    start = jax.random.randint(start_key, (batch,), 0, n_snapshots - 1)
    start = jnp.where(jax.random.uniform(first_key, (batch,)) < rules.first_start, 0, start)
    share = jax.random.uniform(target_key, (batch,))
    target = start + 1 + jnp.floor(share * (n_snapshots - 1 - start)).astype(jnp.int32)
    return run, start, jnp.minimum(target, n_snapshots - 1)


def _fresh(network: Network, key: jax.Array, batch: int) -> jax.Array:
    """Draw initial networks [B, D]."""
    init = jax.vmap(lambda k: network.spec.flatten(network.init(k)))
    return init(jax.random.split(key, batch))


def _measured(
    metric: PromptMetric, network: Network, data: DeviceData, flat: jax.Array, task: jax.Array
) -> jax.Array:
    """Measure the metric of networks [B, D] on tasks [B]: [B]."""

    def one(flat: jax.Array, task: jax.Array) -> jax.Array:
        found = data.measure(network, network.spec.unflatten(flat), metric.pool, task)
        return metric.of_measured(*found, data.score_unit)

    return jax.vmap(one)(flat, task)


def _images(rules: PairConfig, data: DeviceData, task: jax.Array, key: jax.Array) -> jax.Array:
    """Draw inputs on which networks' outputs are compared, mostly training images: [B, m, F].

    Each may be mixed with its neighbour in a random proportion (Zhang et al. 2018), which compares
    outputs between the examples, too. This needs no labels.
    """
    image_key, mix_key = jax.random.split(key)
    inputs = jax.vmap(lambda t, k: data.inputs(t, k, rules.function_images))(
        task, jax.random.split(image_key, len(task))
    )
    if not rules.mix_images:
        return inputs
    # Without a barrier XLA looks each image up for each pixel of a mixture: 2 % of the demo's step.
    inputs = jax.lax.optimization_barrier(inputs)
    share = jax.random.uniform(mix_key, inputs.shape[:2])[..., None]
    return share * inputs + (1 - share) * jnp.roll(inputs, 1, axis=1)
