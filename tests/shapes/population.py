"""Wrong shapes that functions of population refuse."""

from __future__ import annotations

import functools

import jax

from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.population import engine, member, ppo
from mole_jax.population.member import Recipe
from mole_jax.population.ppo import PPORecipe
from tests.shapes.things import (
    ADAM,
    CARTPOLE,
    GAUSSIAN,
    KEY,
    MLP,
    Case,
    N,
    bools,
    examples,
    floats,
    hyper,
    ints,
    setting,
)


def of_member() -> Case:
    network, data = setting().family.network, setting().family.device_data
    recipe = Recipe((0, 2), 4, "cosine", ("adam",), share_minibatches=True)
    size = network.n_inputs
    dataset = examples(size=size)
    return Case(
        lambda **a: member.train(network, recipe, ADAM, data, batch_key=KEY, **a),
        {
            "task": ints(),
            "params": jax.eval_shape(network.init, KEY),
            "hyper": hyper(),
            "dataset": dataset,
        },
        (
            ("hyper", hyper(8), "hyper and rate []"),
            ("task", ints(1), "task []"),
            ("dataset", dataset._replace(mask=bools(N - 1)), "mask [..., n]"),
            ("dataset", dataset._replace(mask=floats(N)), "mask bool"),
            ("dataset", examples(size=size + 1), "inputs [..., n, F]"),
        ),
    )


def of_first_scale() -> Case:
    start = functools.partial(member.initial, MLP, KEY)
    return Case(start, {"init_scale": floats()}, (("init_scale", floats(3), "init_scale []"),))


def of_update() -> Case:
    params = jax.eval_shape(MLP.init, KEY)
    good = {
        "theta": None,
        "hyper": hyper(),
        "state": jax.eval_shape(functools.partial(ADAM.init, None), params),
        "gradients": params,
        "params": params,
        "rate": floats(),
    }
    bad = (("hyper", hyper(3), "hyper and rate []"), ("rate", floats(3), "hyper and rate []"))
    return Case(ADAM.apply, good, bad)


def of_ppo() -> Case:
    recipe = PPORecipe((0, 1), environments=2, rollout=2, epochs=1, minibatches=1)
    n = CARTPOLE.n_parameters
    return Case(
        lambda **a: ppo.train(GAUSSIAN, recipe, ADAM, CARTPOLE, key=KEY, **a),
        {
            "parameters": floats(n),
            "params": jax.eval_shape(GAUSSIAN.init, KEY),
            "hyper": hyper(),
        },
        (
            ("parameters", floats(n - 1), "parameters [P]"),
            ("hyper", hyper(1), "hyper and rate []"),
        ),
    )


def of_population() -> Case:
    network, data = setting().family.network, setting().family.device_data
    recipe = Recipe((0, 2), 4, "cosine", ("adam",), share_minibatches=True)
    size = network.n_inputs
    return Case(
        lambda **a: engine.train(network, recipe, data, mesh=mesh_lib.make_mesh(), **a),
        {
            "tasks": ints(3),
            "batch_keys": jax.random.split(KEY, 3),
            "starts": floats(3, 2, network.spec.size),
            "hyper": hyper(3, 2),
            "dataset": examples(3, size=size),
        },
        (
            ("starts", floats(3, 2, network.spec.size - 1), "starts [G, M, D]"),
            ("tasks", ints(2), "tasks [G]"),
            ("batch_keys", jax.random.split(KEY, 2), "batch_keys [G]"),
            ("hyper", hyper(2, 3), "hyper [G, M]"),
            ("dataset", examples(2, size=size), "inputs [..., n, F]"),
        ),
        traced=False,  # it puts its arguments on devices
    )


def of_starts() -> Case:
    return Case(
        lambda members, hyper: engine.initial(MLP, KEY, members, hyper),
        {"members": ints(3, 2), "hyper": hyper(3, 2)},
        (("hyper", hyper(2, 3), "hyper [...] as members [...]"),),
    )
