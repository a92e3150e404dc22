"""Training state and one training step, a pure function of (state, zoo, data)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from mole_jax.core import compat, rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.networks import sharding
from mole_jax.metamodel.networks.probing import Frame
from mole_jax.metamodel.process.prompt import Prompt, everything
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.family import DeviceData
from mole_jax.training import objective, pairs
from mole_jax.training.objective import Noise
from mole_jax.training.pairs import Draw, Pairs, ZooArrays


class State(NamedTuple):
    """All that a resumed training needs."""

    step: jax.Array  # [] int32
    params: Any
    ema: Any
    optimizer: Any


SCHEDULES = ("warmup_then_cosine", "warmup_times_cosine")


@dataclasses.dataclass(frozen=True)
class Hyper:
    """Static choices of `config.training`."""

    steps: int
    batch_size: int
    accumulate: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    beta2: float
    gradient_clip: float
    ema_decay: float
    function_weight: float
    time_power: float
    ema_warmup: bool  # the average starts short
    schedule: str  # of SCHEDULES

    @staticmethod
    def of(config: Mapping[str, Any]) -> Hyper:
        names = [field.name for field in dataclasses.fields(Hyper)]
        new = {name: compat.get(config, f"training.{name}") for name in ("ema_warmup", "schedule")}
        given = config["training"]
        hyper = Hyper(**{name: new[name] if name in new else given[name] for name in names})
        if hyper.schedule not in SCHEDULES:
            raise UserError(
                f"training.schedule={hyper.schedule!r} is unknown; there are {SCHEDULES}"
            )
        if hyper.steps < 1 or hyper.batch_size < 1 or not 0 <= hyper.warmup_steps <= hyper.steps:
            raise UserError(
                "training: steps and batch_size must be positive, warmup_steps in 0..steps; they "
                f"are {hyper.steps}, {hyper.batch_size}, {hyper.warmup_steps}"
            )
        if hyper.accumulate < 1 or hyper.batch_size % hyper.accumulate:
            raise UserError(
                f"training.accumulate={hyper.accumulate} must be 1 or more and divide "
                f"training.batch_size={hyper.batch_size}: it is into how many parts a batch is cut"
            )
        if hyper.learning_rate <= 0 or hyper.time_power <= 0 or not 0 <= hyper.ema_decay < 1:
            raise UserError(
                "training: learning_rate and time_power must be above 0, ema_decay in [0, 1); they "
                f"are {hyper.learning_rate}, {hyper.time_power}, {hyper.ema_decay}"
            )
        if hyper.gradient_clip <= 0 or not 0 <= hyper.beta2 < 1:
            raise UserError(
                "training: gradient_clip must be above 0, beta2 in [0, 1); they are "
                f"{hyper.gradient_clip} and {hyper.beta2}"
            )
        if hyper.weight_decay < 0 or hyper.function_weight < 0:
            raise UserError(
                "training: weight_decay and function_weight must not be negative; they are "
                f"{hyper.weight_decay} and {hyper.function_weight}"
            )
        return hyper

    def check_mesh(self, mesh: Mesh) -> None:
        """Raises UserError where the devices cannot share a batch evenly."""
        micro, n = self.batch_size // self.accumulate, mesh_lib.shares(mesh)
        if micro % n:
            raise UserError(
                f"training.batch_size={self.batch_size} in training.accumulate={self.accumulate} "
                f"parts leaves {micro} pairs for {n} devices (data x fsdp) to share evenly: change "
                "one of the two, or --mesh"
            )


def learning_rate(hyper: Hyper) -> optax.Schedule:
    """The rate of each step: after the warm-up a cosine, or one throughout, times the warm-up.

    The second is G.pt's (Peebles et al. 2022).
    """
    if hyper.schedule == "warmup_then_cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0, hyper.learning_rate, max(hyper.warmup_steps, 1), hyper.steps + 1
        )
    cosine = optax.cosine_decay_schedule(hyper.learning_rate, hyper.steps)
    warmup = optax.linear_schedule(0.0, 1.0, hyper.warmup_steps)
    return lambda step: cosine(step) * (warmup(step) if hyper.warmup_steps else 1.0)


def optimizer(hyper: Hyper) -> optax.GradientTransformation:
    """AdamW with a linear warm-up and a cosine to zero; weight decay on matrices only."""
    return optax.chain(
        optax.clip_by_global_norm(hyper.gradient_clip),
        optax.adamw(
            learning_rate(hyper),
            b2=hyper.beta2,
            weight_decay=hyper.weight_decay,
            mask=lambda params: jax.tree.map_with_path(
                lambda path, _: getattr(path[-1], "key", "") == "kernel", params
            ),
        ),
    )


def init(model: MetaModel, hyper: Hyper, rules: Draw, key: jax.Array) -> State:
    """The state before step 0, a function of the key alone (call it under jit)."""
    params = model.module.init(key, *_example(model, rules))["params"]
    return State(
        jnp.zeros((), jnp.int32),
        params,
        jax.tree.map(jnp.copy, params),
        optimizer(hyper).init(params),
    )


def shapes(model: MetaModel, hyper: Hyper, rules: Draw, mesh: Mesh) -> State:
    """Shape, dtype and sharding of every array of the state: a State of jax.ShapeDtypeStruct."""
    found = jax.eval_shape(lambda key: init(model, hyper, rules, key), jax.random.key(0))
    return sharding.placed(found, mesh)


def _example(model: MetaModel, rules: Draw) -> tuple[Frame, Prompt]:
    """Inputs of the module for a batch of one; only their shapes matter."""
    n_inputs, n_classes = model.network.example_size, model.network.n_classes
    n, (length, channels) = n_classes * rules.support_per_class, model.codec.table.shape
    support = Examples(
        jnp.zeros((1, n, n_inputs)), jnp.zeros((1, n), jnp.int32), jnp.zeros((1, n), bool)
    )
    one = jnp.zeros((1,))
    start = jnp.zeros((1, length, channels))
    prompt = Prompt(start, one, one, support, everything(1))
    normaliser = Normaliser(*3 * (jnp.ones(model.network.spec.size),))
    return model.frame(normaliser, start, one, prompt), prompt


def make_step(
    model: MetaModel,
    hyper: Hyper,
    rules: Draw,
    mesh: Mesh,
    root: jax.Array,
    like: State,
    n_steps: int,
) -> jax.stages.Wrapped:
    """A jitted function that takes `n_steps` training steps in one dispatch.

    The state lies on the mesh as `like` says (see `shapes`), and the batch is divided over the axes
    `data` and `fsdp`. Every random number is a function of the root key and the step, so a resumed
    run draws what an uninterrupted one would have drawn, on whatever mesh, in however many parts.

    Returns:
        (state, normaliser, zoo, data) -> (state, metrics averaged over the steps). Among these,
        `finite_steps` is how many steps there were before the first without a finite loss.
    """
    tx = optimizer(hyper)
    draw = make_draw(model, hyper, rules, root)
    gradient = make_gradient(model.on(mesh), hyper, mesh)

    def step(
        state: State, normaliser: Normaliser, zoo: ZooArrays, data: DeviceData
    ) -> tuple[State, dict[str, jax.Array]]:
        batch = draw(state.step, normaliser, zoo, data)
        noise = objective.draw_noise(
            model, hyper.batch_size, rng.at(root, "noise", state.step), hyper.time_power
        )
        batch, noise = sharding.split_batch((batch, noise), mesh)
        grads, parts = gradient(state.params, normaliser, batch, noise)
        updates, opt_state = tx.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.float32(hyper.ema_decay)
        if hyper.ema_warmup:
            # Until it reaches its full length, it looks back over a tenth of the steps so far.
            decay = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
        ema = jax.tree.map(lambda e, p: e + (1 - decay) * (p - e), state.ema, params)
        parts = parts | {"gradient_norm": optax.tree.norm(grads)}
        return State(state.step + 1, params, ema, opt_state), parts

    def steps(
        state: State, normaliser: Normaliser, zoo: ZooArrays, data: DeviceData
    ) -> tuple[State, dict[str, jax.Array]]:
        state, parts = jax.lax.scan(
            lambda s, _: step(s, normaliser, zoo, data), state, length=n_steps
        )
        finite = jnp.sum(jnp.cumprod(jnp.isfinite(parts["loss"])))
        return state, jax.tree.map(jnp.mean, parts) | {"finite_steps": finite}

    kept = jax.tree.map(lambda x: x.sharding, like)
    return jax.jit(steps, donate_argnums=0, out_shardings=(kept, mesh_lib.replicated(mesh)))


def make_gradient(
    model: MetaModel, hyper: Hyper, mesh: Mesh
) -> Callable[[Any, Normaliser, Pairs, Noise], tuple[Any, dict[str, jax.Array]]]:
    """A function (params, normaliser, pairs, noise) -> mean gradient, parts of the loss.

    The batch is cut into `hyper.accumulate` parts that are worked on one after another, so that
    activations take that much less memory. Each device cuts its own share.
    """

    def of(
        params: Any, normaliser: Normaliser, pairs: Pairs, noise: Noise
    ) -> tuple[Any, dict[str, jax.Array]]:
        def loss(params: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
            params = sharding.gathered(params, mesh)
            return objective.loss(model, normaliser, params, pairs, noise, hyper.function_weight)

        (_, parts), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return grads, parts

    def accumulated(
        params: Any, normaliser: Normaliser, pairs: Pairs, noise: Noise
    ) -> tuple[Any, dict[str, jax.Array]]:
        n = hyper.accumulate
        if n == 1:
            return of(params, normaliser, pairs, noise)
        # Every n-th pair belongs to one part: so none has to move to another device.
        micro = jax.tree.map(
            lambda x: jnp.swapaxes(x.reshape(-1, n, *x.shape[1:]), 0, 1), (pairs, noise)
        )
        micro = sharding.split_batch(micro, mesh, axis=1)

        def add(total: Any, part: tuple[Pairs, Noise]) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, of(params, normaliser, *part)), None

        first = jax.tree.map(lambda x: x[0], micro)
        found = jax.eval_shape(of, params, normaliser, *first)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), found)
        total, _ = jax.lax.scan(add, zeros, micro)
        return jax.tree.map(lambda x: x / n, total)

    return accumulated


def pairs_key(root: jax.Array, step: int | jax.Array) -> jax.Array:
    """The key that the pairs of a step are drawn with."""
    return rng.at(root, "pairs", step)


def make_draw(
    model: MetaModel, hyper: Hyper, rules: Draw, root: jax.Array
) -> Callable[[int | jax.Array, Normaliser, ZooArrays, DeviceData], Pairs]:
    """A function (step, normaliser, zoo, data) -> the pairs of that step."""

    def draw(
        step: int | jax.Array, normaliser: Normaliser, zoo: ZooArrays, data: DeviceData
    ) -> Pairs:
        return pairs.draw(
            rules,
            model.network,
            model.codec,
            zoo.at(step),
            data,
            normaliser,
            pairs_key(root, step),
            hyper.batch_size,
        )

    return draw
