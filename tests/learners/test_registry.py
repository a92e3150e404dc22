"""Every registered learner goes through the same questions."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.learners import answers, registry
from mole_jax.tasks import networks
from mole_jax.training.learner import SOURCES, Episodes
from tests import tiny

GPT = {
    "metamodel__name": "gpt",
    "representation__name": "flat",
    "metamodel__gpt": {"split": "chunk", "chunk_size": 200, "n_frequencies": 8},
}
EVERY = {
    "diffusion": {"training__best_prompts": 0.5},
    "regression": {"training__regression_steps": 5},
    "gpt": GPT,
    "end_to_end": {
        "training__end_to_end_steps": 5,
        "training__best_prompts": 0.5,  # which are none of its own
        "metamodel__support_probes": 2,
    },
    **{name: {f"learners__{name}__steps": 5} for name in registry.ANCESTORS},
}
# With rates that are drawn at random, negative ones among them, many steps diverge.
EVERY["meta_sgd"] |= {"learners__meta_sgd__try_steps": (3,)}
EVERY["l2l"] |= {"learners__l2l__unroll": 4, "learners__l2l__truncation": 2}
for name in ("recurrent", "in_context", "self_referential"):
    EVERY[name] |= {f"learners__{name}__width": 8, f"learners__{name}__heads": 2}
EVERY["evolved"] |= {"learners__evolved__population": 4, "learners__evolved__inner_steps": 3}
KEY = jax.random.key(5)


@functools.cache
def setting_of(name: str) -> tiny.Setting:
    return tiny.made_up("diffusion" if name == "gpt" else name, **EVERY[name])


def episodes(setting: tiny.Setting, batch: int = 2) -> Episodes:
    """Tasks of the tiny family, each with its own start."""
    prompt = tiny.prompts(setting.family, setting_of("diffusion").model, batch)
    rng = np.random.default_rng(3)
    start = rng.normal(size=(batch, setting.family.network.spec.size))
    task = jnp.asarray(setting.family.indices("train")[:batch], jnp.int32)
    return Episodes(task, prompt.support, jnp.asarray(start, "float32"), prompt.start_metric)


def asked(
    setting: tiny.Setting, given: Episodes, target: float = 0.3, key: Any = KEY, best: bool = False
) -> Any:
    if not setting.learner.writes_networks:
        inputs = jnp.asarray(np.random.default_rng(4).normal(size=(len(given.start), 3, 64)))
        learner, theta = setting.learner, setting.params
        return np.asarray(answers.classify(learner, theta, given, inputs.astype("float32"), key))
    request = answers.all_of(jnp.full(len(given.start), target), best=best)
    return np.asarray(answers.adapt(setting.learner, setting.params, given, request, key))


@pytest.mark.parametrize("name", EVERY)
def test_a_gradient_has_the_structure_of_theta(name: str) -> None:
    s = setting_of(name)
    assert s.learner.source in SOURCES
    root = jax.random.key(0)
    batch = jax.jit(lambda c, zoo: s.source.draw(c, zoo, root, 0))(s.source.constants, s.zoo)
    for parts in (1, 2):
        learner = s.learner.on(tiny.mesh_of(1), parts)
        found, metrics = jax.jit(learner.gradient)(s.params, batch, KEY)
        chex.assert_trees_all_equal_shapes_and_dtypes(found, s.params)
        assert np.isfinite(metrics["loss"])
        if parts == 1:
            whole = found
    flat, other = (np.concatenate([x.ravel() for x in jax.tree.leaves(g)]) for g in (whole, found))
    assert np.linalg.norm(other - flat) < 1e-4 * np.linalg.norm(flat)  # in parts the same mean


@pytest.mark.parametrize("name", registry.ANCESTORS)
def test_eight_devices_share_a_batch_and_find_the_gradient_of_one(name: str) -> None:
    s = setting_of(name)
    source = dataclasses.replace(s.source, batch_size=8)
    batch = jax.jit(lambda c: source.draw(c, (), jax.random.key(0), 0))(source.constants)
    found = []
    for n in (1, 8):
        mesh = tiny.mesh_of(n)
        given = jax.device_put((s.params, batch, KEY), mesh_lib.replicated(mesh))
        found.append(jax.jit(s.learner.on(mesh, 1).gradient)(*given)[0])
    flat, other = (np.concatenate([x.ravel() for x in jax.tree.leaves(g)]) for g in found)
    assert np.linalg.norm(other - flat) < 1e-4 * np.linalg.norm(flat)


@pytest.mark.parametrize("name", EVERY)
def test_a_learner_looks_at_what_it_says_and_at_nothing_else(name: str) -> None:
    s = setting_of(name)
    given = episodes(s)
    first = asked(s, given)
    assert s.learner.label.label and s.learner.label.sentence.endswith(".")
    shape = given.start.shape if s.learner.writes_networks else (2, 3, 3)
    assert first.shape == shape and np.isfinite(first).all()
    np.testing.assert_array_equal(first, asked(s, given))
    other = {
        "support": asked(s, given._replace(support=jax.tree.map(lambda x: x[::-1], given.support))),
        "start": asked(s, given._replace(start=given.start[::-1])),
        "target_metric": asked(s, given, target=0.9),
        "samples": asked(s, given, key=jax.random.key(6)),
        "best": asked(s, given, best=True),
    }
    assert not s.learner.uses.pool
    assert set(other) == set(s.learner.uses._fields) - {"pool"}
    for what, found in other.items():
        changed = np.abs(found - first).max()
        assert (changed > 1e-6) == getattr(s.learner.uses, what), (what, changed)


@pytest.mark.parametrize("name", EVERY)
def test_a_support_set_may_be_one_for_all(name: str) -> None:
    s = setting_of(name)
    given = episodes(s)
    one = jax.tree.map(lambda x: x[:1], given.support)
    for_each = jax.tree.map(lambda x: jnp.repeat(x, 2, axis=0), one)
    found, expected = (asked(s, given._replace(support=x)) for x in (one, for_each))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", EVERY)
def test_an_answer_has_its_cost(name: str) -> None:
    s = setting_of(name)
    one, two = (answers.flops(s.learner, s.params, episodes(s, batch)) for batch in (1, 2))
    assert 1e4 < one < 1.02 * two / 2 * 1.02


def test_evaluation_and_report_know_no_learner_by_name() -> None:
    folder = Path(mole_jax.__file__).parent
    words = re.compile("|".join(rf"\\b{name}\\b" for name in (*EVERY, "dit")), re.IGNORECASE)
    found = [
        f"{path.name}: {word}"
        for room in ("evaluation", "report")
        for path in (folder / room).rglob("*.py")
        for word in words.findall(path.read_text())
    ]
    assert found == []


def test_batches_of_ancestors_are_cut_into_parts_too() -> None:
    config = tiny.tiny_config(learners__l2l__steps=5, training__accumulate=16)
    network = setting_of("diffusion").family.network
    with pytest.raises(UserError, match=r"learners\.l2l\.batch_size=8 must be a multiple of train"):
        registry.check(config, network, tiny.mesh_of(1))
    config = tiny.tiny_config(representation__align=True, zoo__placement="stream")
    with pytest.raises(UserError, match="align brings all runs into one basis before"):
        registry.check(config, network, tiny.mesh_of(1))


def test_warps_of_what_is_no_image_are_refused() -> None:
    config = tiny.tiny_config(learners__reptile__steps=5, learners__reptile__warps=0.5)
    network = networks.build({"name": "mlp", "hidden": (4,)}, (3,), 3)
    with pytest.raises(UserError, match=r"learners\.reptile\.warps=0\.5 moves images, but netw"):
        registry.check(config, network, tiny.mesh_of(1))


def test_every_name_is_tried_here() -> None:
    kinds = set(registry.NAMES) | (set(registry.MAIN) - {"dit"})
    assert set(EVERY) == kinds
    with pytest.raises(UserError, match="learner 'mamo' is unknown; there are"):
        registry.build(tiny.tiny_config(), setting_of("gpt").family.network, "mamo", None)
