"""Wrong shapes are refused where a function begins, while it is traced, by the letters' names.

Each of them would else broadcast in silence, read past the end of an array, or fail far away.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax import representation
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.evaluation.harness import scoring
from mole_jax.learners import denoising, guidance
from mole_jax.learners.denoising import Noise
from mole_jax.metamodel.layers import features
from mole_jax.metamodel.layers.attention import attention
from mole_jax.metamodel.layers.set_encoder import SetEncoder
from mole_jax.metamodel.networks import gpt_transformer
from mole_jax.metamodel.networks.probing import Denoising, Probes
from mole_jax.metamodel.process import noising
from mole_jax.metamodel.process.prompt import CONDITIONS, Prompt
from mole_jax.metamodel.process.sampler import DEFAULT
from mole_jax.population import engine, member, optimizer, ppo
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import Recipe
from mole_jax.population.ppo import PPORecipe
from mole_jax.representation import normalise, permutation, rotation
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import environments, networks, outputs
from mole_jax.tasks.classification import cross_entropy, loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import policy
from mole_jax.training import pairs
from mole_jax.training.pairs import PairConfig, Pairs, ZooArrays
from tests import tiny

KEY = jax.random.key(0)
ADAM = optimizer.of_names(("adam",))
B, N, S, R = 2, 6, 4, 3  # networks, support examples, snapshots, runs


def floats(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def ints(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def bools(*shape: int) -> Any:
    return jax.ShapeDtypeStruct(shape, jnp.bool_)


MLP = networks.build({"name": "mlp", "hidden": (6,), "activation": "relu"}, (7,), 3)
CNN = networks.build(
    {"name": "cnn", "channels": (4,), "strides": (1,), "bias": True, "norm_groups": 0}, (4, 4, 2), 3
)
VIT = networks.build(
    {"name": "vit", "patch": 2, "width": 6, "layers": 1, "heads": 2, "mlp": 5, "pooling": "mean"},
    (4, 4, 1),
    3,
)
GAUSSIAN, CATEGORICAL = (
    networks.build({"name": name, "hidden": (5,), "activation": "tanh"}, (4,), n)
    for name, n in zip(("gaussian_policy", "categorical_policy"), (1, 3), strict=True)
)
CARTPOLE = environments.build("cartpole")
D = MLP.spec.size
CODEC = representation.codec("neuron", MLP, chunk_size=0)
L, C = CODEC.table.shape
EDM = noising.build("cosine", 10, "edm")
TOKENS = gpt_transformer.Tokens(split="chunk", chunk_size=40, n_frequencies=4)


def hyper(*shape: int) -> Hyperparameters:
    return Hyperparameters(floats(*shape), floats(*shape), floats(*shape), ints(*shape))


def normaliser(size: int) -> Normaliser:
    return Normaliser(floats(size), floats(size), floats(size))


def examples(*lead: int, size: int) -> Examples:
    return Examples(floats(*lead, N, size), ints(*lead, N), bools(*lead, N))


@functools.cache
def setting() -> tiny.Setting:
    return tiny.made_up(metamodel__probes=1, metamodel__inner_steps=1)


@dataclasses.dataclass(frozen=True)
class Case:
    """A function with arguments that fit, and for some of them ones that do not."""

    function: Callable[..., Any]
    good: dict[str, Any]
    bad: tuple[tuple[str, Any, str], ...]  # argument, what it becomes, a part of the message
    traced: bool = True  # else it is not for tracing as a whole


# --- tasks


def of_cross_entropy() -> Case:
    good = {"logits": floats(B, N, 3), "labels": ints(B, N)}
    return Case(cross_entropy, good, (("labels", ints(N), "labels [...]"),))


def of_loss_and_accuracy() -> Case:
    return Case(
        loss_and_accuracy,
        {"logits": floats(B, N, 3), "labels": ints(N), "mask": bools(N)},
        (
            ("labels", ints(1), "labels, mask [n]"),
            ("mask", bools(B, N), "labels, mask [n]"),
            ("labels", floats(N), "labels int"),
            ("mask", floats(N), "mask bool"),
        ),
    )


def of_error() -> Case:
    return Case(
        functools.partial(outputs.error, GAUSSIAN),
        {"outputs": floats(N, 1), "targets": floats(N, 1)},
        (("targets", floats(N), "outputs, targets [n, O]"),),
    )


def of_pool() -> Case:
    pool = functools.partial(setting().family.device_data.pool, "validation")
    return Case(pool, {"task": ints()}, (("task", ints(3), "task []"),))


def of_apply() -> Case:
    params = jax.eval_shape(MLP.init, KEY)
    bad = (("x", floats(N, 8), "x [..., n_inputs]"),)
    return Case(MLP.apply, {"params": params, "x": floats(N, 7)}, bad)


def of_apply_to_images() -> Case:
    params = jax.eval_shape(CNN.init, KEY)
    bad = (("x", floats(N, 4, 4, 2), "x [..., n_inputs]"), ("x", floats(8, N), "n_inputs"))
    return Case(CNN.apply, {"params": params, "x": floats(N, 32)}, bad)


def of_log_probability() -> Case:
    return Case(
        functools.partial(policy.log_probability, GAUSSIAN),
        {
            "params": jax.eval_shape(GAUSSIAN.init, KEY),
            "observation": floats(N, 4),
            "action": floats(N, 1),
        },
        (("action", floats(N), "action [..., A]"),),
    )


def of_log_probability_of_choices() -> Case:
    return Case(
        functools.partial(policy.log_probability, CATEGORICAL),
        {
            "params": jax.eval_shape(CATEGORICAL.init, KEY),
            "observation": floats(N, 4),
            "action": ints(N),
        },
        (("action", ints(N, 1), "action [...]"),),
    )


# --- population


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


# --- representation


def of_encode() -> Case:
    bad = (("flat", floats(B, D + 1), "flat [..., D]"),)
    return Case(CODEC.encode, {"flat": floats(B, D)}, bad)


def of_decode() -> Case:
    bad = (
        ("tokens", floats(B, C, L), "tokens [..., L, C]"),
        ("tokens", floats(B, L * C), "tokens [..., L, C]"),
    )
    return Case(CODEC.decode, {"tokens": floats(B, L, C)}, bad)


def of_permute() -> Case:
    return Case(
        functools.partial(permutation.permute, MLP),
        {"flat": floats(D), "orders": [ints(6)]},
        (
            ("flat", floats(D + 1), "flat [D]"),
            ("orders", [ints(5)], "an order [n] of each axis"),
        ),
    )


def of_permute_outputs() -> Case:
    return Case(
        functools.partial(permutation.permute_outputs, MLP),
        {"flat": floats(D), "order": ints(3)},
        (("order", ints(2), "order [K]"),),
    )


def of_rotate() -> Case:
    return Case(
        functools.partial(rotation.rotate, VIT),
        {"flat": floats(VIT.spec.size), "turns": [floats(2, 3, 3)] * 2},
        (
            ("flat", floats(VIT.spec.size + 1), "flat [D]"),
            ("turns", [floats(1, 3, 3)] * 2, "turns [m, n, n]"),
        ),
    )


def of_fit() -> Case:
    draw = np.random.default_rng(0).normal
    bad = (("runs", draw(size=(R, S, D + 1)), "runs [R, S, D]"),)
    good = {"runs": draw(size=(R, S, D))}
    return Case(functools.partial(normalise.fit, MLP.spec), good, bad, traced=False)


def of_fit_shared() -> Case:
    draw = np.random.default_rng(0).normal
    bad = (("others", draw(size=(2, D + 1)), "others [n, D]"),)
    good = {"runs": draw(size=(R, S, D)), "others": draw(size=(2, D))}
    return Case(functools.partial(normalise.fit_shared, MLP), good, bad, traced=False)


# --- metamodel


def of_noise() -> Case:
    return Case(
        EDM.add_noise,
        {"clean": floats(B, L, C), "noise": floats(B, L, C), "t": floats(B)},
        (
            ("noise", floats(1, L, C), "clean, noise [B, ...]"),
            ("t", floats(), "t [B]"),
            ("t", floats(1), "t [B]"),
            ("t", ints(B), "t in [0, 1]"),
        ),
    )


def of_process_estimate() -> Case:
    tokens = floats(B, L, C)
    return Case(
        EDM.clean_estimate,
        {"output": tokens, "noisy": tokens, "start": tokens, "t": floats(B), "spread": tokens},
        (
            ("output", floats(B, L, 1), "output, noisy, start [B, ...]"),
            ("start", floats(1, L, C), "output, noisy, start [B, ...]"),
            ("spread", floats(B, C), "spread [B, ...]"),
        ),
    )


def of_preconditioned_input() -> Case:
    tokens = floats(B, L, C)
    return Case(
        EDM.preconditioned_input,
        {"noisy": tokens, "start": tokens, "t": floats(B), "spread": floats(1, 1, C)},
        (("start", floats(B, L, 1), "noisy, start"), ("spread", floats(L), "spread [B, ...]")),
    )


def a_prompt() -> Prompt:
    """For networks of the setting."""
    s = setting()
    n_tokens, n_channels = s.model.shape
    return Prompt(
        floats(B, n_tokens, n_channels),
        floats(B),
        floats(B),
        examples(B, size=s.family.network.n_inputs),
        {name: bools(B) for name in CONDITIONS},
    )


def wrong_prompts() -> tuple[tuple[str, Any, str], ...]:
    good = a_prompt()
    support = good.support
    return tuple(
        ("prompt", good._replace(**change), message)
        for change, message in (
            ({"start": floats(B, *good.start.shape[:0:-1])}, "prompt.start [B, L, C]"),
            ({"start_metric": floats(B, 1)}, "metrics of a prompt [B]"),
            ({"target_metric": floats()}, "metrics of a prompt [B]"),
            ({"support": support._replace(labels=ints(B, N + 1))}, "labels [..., n]"),
            ({"support": support._replace(mask=bools(1, N))}, "mask [..., n]"),
            ({"use": {**good.use, "start": bools(1)}}, "prompt.use [B]"),
            ({"use": {**good.use, "start": floats(B)}}, "prompt.use bool"),
        )
    )


def of_clean_estimate() -> Case:
    s = setting()
    n_tokens, n_channels = s.model.shape
    size = s.family.network.spec.size

    def estimate(normaliser: Normaliser, noisy: Any, t: Any, prompt: Prompt) -> jax.Array:
        own = s.model.representation.with_fitted(Fitted(normaliser, {}))
        model = dataclasses.replace(s.model, representation=own)
        return model.clean_estimate(s.params, noisy, t, prompt)

    return Case(
        estimate,
        {
            "normaliser": normaliser(size),
            "noisy": floats(B, n_tokens, n_channels),
            "t": floats(B),
            "prompt": a_prompt(),
        },
        (
            ("normaliser", normaliser(1), "normaliser [D]"),
            ("noisy", floats(1, n_tokens, n_channels), "noisy [B, L, C], t [B]"),
            ("noisy", floats(B, n_channels, n_tokens), "noisy [B, L, C]"),
            ("t", floats(1), "t [B]"),
            *wrong_prompts(),
        ),
    )


def of_sample() -> Case:
    s = setting()

    def sample(prompt: Prompt) -> jax.Array:
        return guidance.sample(s.model, DEFAULT, s.params, prompt, KEY)

    return Case(sample, {"prompt": a_prompt()}, wrong_prompts())


def of_loss() -> Case:
    s = setting()
    network = s.family.network
    good = Pairs(floats(B, network.spec.size), a_prompt(), floats(B, 5, network.n_inputs))
    noise = Noise(floats(B), floats(B, *s.model.shape))

    def loss(pairs: Pairs, noise: Noise) -> Any:
        return denoising.loss(s.model, s.params, pairs, noise, 1.0)

    return Case(
        loss,
        {"pairs": good, "noise": noise},
        (
            (
                "pairs",
                good._replace(images=floats(1, 5, network.n_inputs)),
                "pairs.images [B, m, F]",
            ),
            ("pairs", good._replace(target=floats(1, network.spec.size)), "noise.t [B]"),
            ("pairs", good._replace(target=floats(B, network.spec.size + 1)), "flat [..., D]"),
            ("noise", noise._replace(t=floats()), "noise.t [B]"),
            ("noise", noise._replace(noise=floats(1, *s.model.shape)), "noise.noise [B, L, C]"),
        ),
    )


def of_draw() -> Case:
    s = setting()
    rules, size = PairConfig.of(s.config), s.family.network.spec.size
    zoo = ZooArrays(floats(R, S, size), floats(R, S), ints(R))

    def draw(zoo: ZooArrays) -> Pairs:
        network, data = s.family.network, s.family.device_data
        return pairs.draw(rules, network, zoo, data, s.normaliser, KEY, B)

    return Case(
        draw,
        {"zoo": zoo},
        (
            ("zoo", zoo._replace(metric=floats(R + 1, S)), "zoo.task [R]"),
            ("zoo", zoo._replace(metric=floats(R, S + 1)), "zoo.parameters [R, S, D]"),
            ("zoo", zoo._replace(task=ints(R + 1)), "zoo.task [R]"),
            (
                "zoo",
                zoo._replace(parameters=None, rows=floats(B + 1, 2, size)),
                "zoo.rows [B, 2, D]",
            ),
        ),
    )


def of_set_encoder() -> Case:
    encoder = SetEncoder(3, 8, features.DenseFeatures(8), n_queries=1)
    good = examples(B, size=7)
    return Case(
        lambda support: encoder.init(KEY, support),
        {"support": good},
        (
            # As many numbers in another order would else pass.
            ("support", good._replace(inputs=floats(B, 7, N)), "inputs [..., n, F]"),
            ("support", good._replace(mask=bools(B, 1)), "mask [..., n]"),
        ),
    )


def of_image_features() -> Case:
    module = features.ConvFeatures((8, 8, 1), 8)
    bad = (("x", floats(N, 32), "examples [n, F]"),)
    return Case(lambda x: module.init(KEY, x), {"x": floats(N, 64)}, bad)


def of_attention() -> Case:
    q = floats(B, 5, 4, 8)
    # Fewer heads of keys and values would pass as grouped-query attention.
    bad = (("k", floats(B, 5, 2, 8), "queries, keys, values [B, L, H, d]"),)
    return Case(attention, {"q": q, "k": q, "v": q}, bad)


def of_gpt() -> Case:
    s = setting()
    network = s.family.network
    size = network.spec.size
    module = gpt_transformer.GPT(s.model.module.shape, TOKENS, EDM, (size,))

    def denoising(*shape: int) -> Denoising:
        tokens = floats(*shape)
        return Denoising(tokens, tokens, tokens, floats(shape[0]), tokens, None)  # type: ignore[arg-type]

    return Case(
        lambda denoising, prompt: module.init(KEY, denoising, prompt),
        {
            "denoising": denoising(B, 1, size),
            "prompt": a_prompt()._replace(start=floats(B, 1, size)),
        },
        (("denoising", denoising(B, 2, size), "denoising [B, 1, D]"),),
    )


def of_transformer() -> Case:
    s = setting()
    n_tokens, n_channels = s.model.shape

    def denoising(n_channels: int) -> Denoising:
        tokens = floats(B, n_tokens, n_channels)
        return Denoising(tokens, tokens, tokens, floats(B), tokens, s.model.representation)

    return Case(
        lambda denoising, prompt: s.model.module.apply(
            {"params": s.params}, denoising, prompt, s.model.probe_gradient
        ),
        {"denoising": denoising(n_channels), "prompt": a_prompt()},
        (("denoising", denoising(n_channels + 1), "denoising [B, L, C]"),),
    )


def of_probe_gradient() -> Case:
    s = setting()
    network = s.family.network
    tokens = floats(B, *s.model.shape)
    denoising = Denoising(tokens, tokens, tokens, floats(B), tokens, s.model.representation)
    probes = Probes(floats(B, 3, network.n_inputs), ints(B, 3))
    return Case(
        s.model.probe_gradient,
        {"output": tokens, "of": denoising, "probes": probes},
        (
            ("probes", probes._replace(targets=ints(1, 3)), "output, probes [B]"),
            ("probes", probes._replace(targets=ints(B, 4)), "labels [...]"),
        ),
    )


# --- evaluation


def of_measured_examples() -> Case:
    draw = np.random.default_rng(0).normal

    def given(*lead: int) -> Examples:
        inputs = draw(size=(*lead, N, 7)).astype("f4")
        return Examples(inputs, np.zeros((*lead, N), np.int32), np.ones((*lead, N), bool))

    return Case(
        functools.partial(scoring.on_examples, MLP),
        {"flat": draw(size=(2, 3, D)).astype("f4"), "examples": given(2, 3)},
        (("examples", given(3, 2), "one row of each argument for each network"),),
        traced=False,
    )


CASES = {name[3:]: make for name, make in list(globals().items()) if name.startswith("of_")}


@pytest.mark.parametrize("name", CASES)
def test_wrong_shapes_are_refused_by_name_and_right_ones_are_not(name: str) -> None:
    case = CASES[name]()
    if case.traced:
        jax.eval_shape(lambda arguments: case.function(**arguments), case.good)
    for argument, wrong, message in case.bad:
        arguments = {**case.good, argument: wrong}
        with pytest.raises(AssertionError) as caught:
            if case.traced:
                jax.eval_shape(lambda arguments: case.function(**arguments), arguments)
            else:
                case.function(**arguments)
        assert str(caught.value).startswith("[Chex]"), (argument, caught.value)
        assert message in str(caught.value), (argument, wrong)


def test_nothing_is_left_of_a_check_when_a_function_runs() -> None:
    """The same program comes out with and without the checks: none of them is of a value."""
    case = of_clean_estimate()

    def program() -> str:
        def fresh(arguments: dict[str, Any]) -> Any:  # a function that JAX has not traced yet
            return case.function(**arguments)

        return str(jax.make_jaxpr(fresh)(case.good))

    checked = program()
    chex.disable_asserts()
    try:
        assert program() == checked
    finally:
        chex.enable_asserts()
