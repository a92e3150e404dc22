"""G.pt as a meta-model of ours: what it starts from, what it ignores, how it is trained.

That it computes what the reference does is tested in tests/interop/test_gpt_parity.py.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core import compat
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.learners import registry
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.networks import tokenisation
from mole_jax.metamodel.networks.gpt_transformer import Tokens
from mole_jax.metamodel.networks.probing import Denoising
from mole_jax.metamodel.networks.transformer import Transformer
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks import family as families
from mole_jax.training import adamw, pairs
from mole_jax.training import state as states
from mole_jax.training import step as steps
from mole_jax.training.pairs import PairConfig
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig
from tests import tiny
from tests.training.test_train import fit, fresh

GPT = {
    "representation__name": "flat",
    "representation__normaliser": "global",
    "metamodel__name": "gpt",
    "metamodel__gpt": {"split": "chunk_within_layer", "chunk_size": 400, "n_frequencies": 8},
    "diffusion__prediction": "x0",
    "training__spacing": "spacing_first",
    "training__first_start": 0.0,
    "training__permute_units": True,
    "training__permute_labels": 0.0,
    "training__function_weight": 0.0,
    "training__time_power": 1.0,
    "training__ema_warmup": False,
    "training__schedule": "warmup_times_cosine",
    "training__drop": {"support": 0.0, "target_metric": 0.0, "start": 0.0},
}


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(**GPT, training__steps_per_dispatch=5, training__checkpoint_every=10)


@functools.cache
def compiled(model: MetaModel) -> Any:
    return jax.jit(model.clean_estimate)


def estimates(setting: tiny.Setting, params: Any, **changes: Any) -> np.ndarray:
    """Clean estimates [B, 1, D] for prompts with changes, at two diffusion times."""
    model, batch = setting.model, 2
    prompt = tiny.prompts(setting.family, model, batch)
    noisy = jax.random.normal(jax.random.key(3), prompt.start.shape)
    estimate = jax.jit(model.clean_estimate)
    return np.asarray(estimate(params, noisy, jnp.array([3, 40]) / 49, prompt._replace(**changes)))


def test_it_begins_by_answering_with_the_start(setting: tiny.Setting) -> None:
    """Only what is decoded starts at zero: positions and LayerNorms apart, nothing else does."""
    params = jax.jit(setting.learner.init)(jax.random.key(0))
    start = tiny.prompts(setting.family, setting.model, 2).start
    np.testing.assert_array_equal(estimates(setting, params), start)
    for path, leaf in jax.tree.leaves_with_path(params):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        zero = "token_out" in name or name == "position" or name.endswith("bias")
        if name.endswith("kernel") and not zero:
            assert 0.01 < float(jnp.std(leaf)) < 0.03, name
        else:
            assert np.all(leaf == (0.0 if zero else 1.0)), name


def test_noise_is_predicted_relative_to_the_start_as_well(setting: tiny.Setting) -> None:
    """As in the reference, which adds the start to all that it decodes; here that is zero yet."""
    module = setting.model.module
    process = dataclasses.replace(module.process, prediction="eps")
    noise = dataclasses.replace(module, process=process)
    x = jnp.ones((2, 1, sum(module.tensors)))
    denoising = Denoising(x, 2 * x, 3 * x, jnp.array([3, 40]) / 49, x, None)  # type: ignore[arg-type]
    prompt = tiny.prompts(setting.family, setting.model, 2)
    params = noise.init(jax.random.key(0), denoising, prompt)
    np.testing.assert_array_equal(noise.apply(params, denoising, prompt), denoising.start)


def test_it_looks_at_start_and_metrics_but_not_at_the_support_set(setting: tiny.Setting) -> None:
    given = estimates(setting, setting.params)
    prompt = tiny.prompts(setting.family, setting.model, 2)
    swapped = jax.tree.map(lambda x: x[::-1], prompt)
    np.testing.assert_array_equal(
        estimates(setting, setting.params, support=swapped.support), given
    )
    for name in ("start", "start_metric", "target_metric"):
        other = estimates(setting, setting.params, **{name: getattr(swapped, name)})
        assert not np.allclose(other, given, atol=1e-4), name
    for name in ("start", "target_metric"):
        use = prompt.use | {name: jnp.zeros(2, bool)}
        other = estimates(setting, setting.params, use=use)
        assert np.isfinite(other).all() and not np.allclose(other, given, atol=1e-4), name


def test_what_is_weak_in_it_can_be_mended(setting: tiny.Setting) -> None:
    """Token by token: how far what goes into the blocks moves when one thing changes."""
    module, batch = setting.model.module, 2
    prompt = tiny.prompts(setting.family, setting.model, batch)
    x = jax.random.normal(jax.random.key(1), (batch, 1, sum(module.tensors)))

    def entering(scale: float, t: int, **mends: bool) -> Any:
        mended = dataclasses.replace(
            module, tokens=dataclasses.replace(module.tokens, **mends), mesh=None
        )
        denoising = Denoising(scale * x, x, x, jnp.full(batch, t / 49), x, None)  # type: ignore[arg-type]
        params = mended.init(jax.random.key(0), denoising, prompt)
        seen = mended.apply(params, denoising, prompt, method="_entering")
        return np.asarray(seen)

    def apart(a: Any, b: Any) -> float:
        return float(np.linalg.norm(a - b) / np.linalg.norm(a))

    kept = slice(0, len(module.token_sizes.outputs))  # of the noisy target
    time = 2 * len(module.token_sizes.outputs)
    assert apart(entering(1, 9)[:, kept], entering(3, 9)[:, kept]) < 0.01
    mended = {"visible_norms": True}
    assert apart(entering(1, 9, **mended)[:, kept], entering(3, 9, **mended)[:, kept]) > 0.1
    assert apart(entering(1, 30)[:, time], entering(1, 49)[:, time]) < 0.3
    mended = {"scaled_time": True}
    assert apart(entering(1, 30, **mended)[:, time], entering(1, 49, **mended)[:, time]) > 0.5
    mended = {"log_metrics": True}
    raw, logs = entering(1, 9), entering(1, 9, **mended)
    np.testing.assert_array_equal(raw[:, : time + 1], logs[:, : time + 1])
    assert np.all(np.abs(raw - logs)[:, time + 1 :].max(-1) > 1e-3)


@pytest.mark.parametrize("policy", tokenisation.POLICIES)
def test_every_split_writes_a_whole_network(policy: str) -> None:
    changes = GPT | {
        "metamodel__gpt": {
            "split": policy,
            "chunk_size": 200,
            "encoder_depth": 2,
            "decoder_depth": 2,
        }
    }
    setting = tiny.made_up(**changes, metamodel__width=8)
    found = estimates(setting, setting.params)
    assert found.shape == (2, 1, setting.family.network.spec.size)
    assert setting.model.n_tokens == len(setting.model.module.token_sizes.inputs)
    start = tiny.prompts(setting.family, setting.model, 2).start
    assert np.all(found != start)


def one_step(setting: tiny.Setting, shape: dict[str, int]) -> tuple[State, Any]:
    n = int(np.prod([*shape.values()]))
    devices = np.array(jax.devices()[:n]).reshape([shape.get(a, 1) for a in mesh_lib.AXES])
    mesh = jax.sharding.Mesh(devices, mesh_lib.AXES, axis_types=tiny.mesh_of(1).axis_types)
    like = states.shapes(setting.learner, setting.hyper, mesh)
    step = steps.make(setting.hyper, setting.source, mesh, like, 1)
    whole = mesh_lib.replicated(mesh)
    state = jax.device_put(fresh(setting), jax.tree.map(lambda x: x.sharding, like))
    rest = (setting.learner, setting.source.constants, jax.random.key(0), setting.zoo)
    return jax.device_get(step(state, *jax.device_put(rest, whole)))


def test_divided_between_devices_it_trains_alike() -> None:
    """Wide enough that arrays are divided; the average is that of every step, from the first."""
    gpt = {"split": "chunk", "chunk_size": 300, "n_frequencies": 8}
    setting = tiny.made_up(**GPT | {"metamodel__gpt": gpt}, metamodel__width=128)
    one, parts = one_step(setting, {"data": 1})
    many, others = one_step(setting, {"data": 2, "fsdp": 2, "tensor": 2})
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(parts[name], others[name], rtol=1e-4)
    chex.assert_trees_all_close(one.ema, many.ema, rtol=1e-7, atol=1e-4)
    decay = setting.config.training.ema_decay
    expected = jax.tree.map(
        lambda old, new: decay * old + (1 - decay) * new, setting.params, one.params
    )
    chex.assert_trees_all_close(one.ema, expected, rtol=1e-7, atol=1e-6)


def test_interrupted_and_resumed_gives_the_same_bits(setting: tiny.Setting, tmp_path: Path) -> None:
    whole = fit(setting, tmp_path / "whole")
    kept = tmp_path / "whole" / "checkpoints" / "10"
    assert kept.is_dir()
    (tmp_path / "resumed" / "checkpoints").mkdir(parents=True)
    kept.rename(tmp_path / "resumed" / "checkpoints" / "10")
    chex.assert_trees_all_equal(fit(setting, tmp_path / "resumed"), whole, strict=True)


def test_weight_decay_is_of_linear_weights_alone(setting: tiny.Setting) -> None:
    """LayerNorms, biases and positions are left alone, whose names are all that there are."""
    names = {path[-1].key for path, _ in jax.tree.leaves_with_path(setting.params)}
    assert names == {"kernel", "bias", "scale", "position"}
    params = {name: np.ones(2, np.float32) for name in names}
    hyper = dataclasses.replace(TrainConfig.of(setting.config), weight_decay=0.1, warmup_steps=1)
    tx, zeros = adamw.optimizer(hyper), jax.tree.map(np.zeros_like, params)
    _, state = tx.update(zeros, tx.init(params), params)  # the rate of the first step is 0
    updates, _ = tx.update(zeros, state, params)
    assert {name for name, x in updates.items() if np.any(x)} == {"kernel"}


def test_the_learning_rate_is_that_of_its_authors(setting: tiny.Setting) -> None:
    """Half a cosine from the first step to the last, times a line from 0 to 1 at the start."""
    changes = {"steps": 400, "warmup_steps": 80, "learning_rate": 0.5}
    hyper = dataclasses.replace(TrainConfig.of(setting.config), **changes)
    assert hyper.schedule == "warmup_times_cosine"
    step = np.arange(400)
    wanted = 0.25 * (1 + np.cos(np.pi * step / 400)) * np.minimum(step / 80, 1)
    np.testing.assert_allclose(jax.vmap(adamw.learning_rate(hyper))(step), wanted, atol=1e-6)
    at_once = adamw.learning_rate(dataclasses.replace(hyper, warmup_steps=0))
    np.testing.assert_allclose(at_once(0), 0.5)
    with pytest.raises(UserError, match=r"training\.schedule='linear' is unknown"):
        TrainConfig.of(tiny.tiny_config(training__schedule="linear"))


def test_every_spacing_is_as_frequent_as_every_other(setting: tiny.Setting) -> None:
    rules, (n_runs, n_snapshots, batch) = PairConfig.of(setting.config), (3, 6, 20_000)
    metric = jnp.zeros((n_runs, n_snapshots))
    run, start, target = pairs.choose(rules, metric, jax.random.key(0), batch)
    apart = np.asarray(target - start)
    counts = np.bincount(apart, minlength=n_snapshots)
    assert counts[0] == 0 and len(counts) == n_snapshots
    np.testing.assert_allclose(counts[1:], batch / 5, rtol=0.06)
    for spacing in range(1, n_snapshots):  # and so is every place that a pair can have
        places = np.bincount(np.asarray(start)[apart == spacing], minlength=n_snapshots - spacing)
        assert len(places) == n_snapshots - spacing
        np.testing.assert_allclose(places, places.mean(), rtol=0.15)
    assert set(np.asarray(run)) == {0, 1, 2}


def test_what_cannot_be(setting: tiny.Setting) -> None:
    for changes, message in (
        ({"metamodel__gpt": {"split": "words"}}, "metamodel.gpt.split='words' is unknown"),
        ({"metamodel__gpt": {"chunk_size": 0}}, "chunk_size=0 must be 1 or more"),
        ({"metamodel__gpt": {"decoder_depth": 0}}, "decoder_depth=0 must be 1 or more"),
        ({"metamodel__gpt": {"depth": 1}}, r"metamodel.gpt: \['depth'\] are unknown"),
        ({"metamodel__gpt": {"frequencies": (1.0,)}}, "frequencies has 1 values"),
        ({"representation__name": "neuron"}, "set representation.name='neuron' to 'flat'"),
    ):
        config = tiny.tiny_config(**GPT | changes)
        network = families.build(config).network
        with pytest.raises(UserError, match=message):
            registry.build(config, network, "diffusion", Fitted(setting.normaliser, {}))


def test_a_config_from_before_means_what_it_did(setting: tiny.Setting) -> None:
    changed = {"training__checkpoint_every": 500, "training__steps_per_dispatch": 50}
    config = tiny.tiny_config(**changed).copy_and_resolve_references()
    with config.unlocked():
        for key, value in compat.DEFAULTS.items():
            section, name = key.split(".")
            if name in config[section]:  # others are keys of another source or model
                assert config.to_dict()[section][name] == value
                del config[section][name]
    fitted = Fitted(setting.normaliser, {})
    learner = registry.build(config, setting.family.network, "diffusion", fitted)
    assert isinstance(learner.model.module, Transformer)
    assert PairConfig.of(config).spacing == "start_first" and TrainConfig.of(config).ema_warmup
    assert Tokens.of({}) == Tokens()
    assert registry.of(config)
