"""Training on a mesh: every device keeps its part only, and numbers are those of one device."""

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
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mole_jax.core.devices import collectives, memory
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.metamodel.networks import sharding
from mole_jax.training import state as states
from mole_jax.training import step as steps
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig
from tests import tiny

ROOT = jax.random.key(0)
N_STEPS = 3
MESHES = {
    "data:8": {"data": 8},
    "fsdp:8": {"fsdp": 8},
    "data:2,fsdp:2,tensor:2": {"data": 2, "fsdp": 2, "tensor": 2},
}
SIZES = {"data": 2, "fsdp": 4, "tensor": 2}


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    """Wide enough that most arrays are divided."""
    return tiny.made_up(
        metamodel__width=256,
        metamodel__layers=2,
        metamodel__unroll=1,
        metamodel__remat=True,
        metamodel__inner_steps=1,
        training__batch_size=16,
    )


def init(setting: tiny.Setting, mesh: Mesh) -> State:
    learner, hyper = setting.learner, setting.hyper
    return states.fresh(learner, hyper, ROOT, states.shapes(learner, hyper, mesh))


@pytest.fixture(scope="module")
def fresh(setting: tiny.Setting) -> State:
    """The state before step 0, in memory of the host."""
    return jax.device_get(init(setting, tiny.mesh_of(1)))


@pytest.mark.parametrize(
    ("names", "shape", "spec"),
    [
        # Stacked: axis 0 is the layer, and is never divided, be it the largest.
        ("blocks/modulation/kernel", (2, 64, 384), (None, None, "fsdp")),
        ("blocks/push_in/kernel", (512, 6, 16), (None, None, "fsdp")),
        # Heads and hidden units between `tensor`, the largest of what is left between `fsdp`.
        ("blocks/qkv/kernel", (2, 64, 3, 4, 32), (None, "fsdp", None, "tensor", None)),
        ("blocks/qkv/bias", (2, 3, 4, 32), (None, None, "tensor", None)),
        ("blocks/attention_out/kernel", (2, 128, 128), (None, "tensor", "fsdp")),
        ("blocks/attention_out/bias", (2, 64), (None, None)),
        ("blocks/mlp_in/kernel", (2, 128, 256), (None, "fsdp", "tensor")),
        ("blocks/mlp_in/bias", (2, 256), (None, "tensor")),
        ("blocks/mlp_out/kernel", (2, 256, 128), (None, "tensor", "fsdp")),
        # Elsewhere only `fsdp`, and only of what is large and can be divided.
        ("probes/kernel", (64, 1024), (None, "fsdp")),
        ("tokens_out/kernel", (1001, 64), (None, "fsdp")),
        ("tokens_out/kernel", (1001, 63), (None, None)),
        ("tokens_in/kernel", (64, 128), (None, None)),
        ("mlp_in/kernel", (128, 256), (None, "fsdp")),
    ],
)
def test_the_rules(names: str, shape: tuple[int, ...], spec: tuple[str | None, ...]) -> None:
    assert sharding.partition(tuple(names.split("/")), shape, SIZES) == PartitionSpec(*spec)
    alone = dict.fromkeys(mesh_lib.AXES, 1)
    nothing = PartitionSpec(*[None] * len(shape))
    assert sharding.partition(tuple(names.split("/")), shape, alone) == nothing


@functools.cache
def compiled(
    setting: tiny.Setting, mesh: Mesh, accumulate: int = 1
) -> tuple[jax.stages.Compiled, State, Any]:
    """One training step, and its arguments: the state as shapes."""
    hyper, source = dataclasses.replace(setting.hyper, accumulate=accumulate), setting.source
    like = states.shapes(setting.learner, hyper, mesh)
    inputs = (setting.learner, source.constants, ROOT, setting.zoo)
    inputs = jax.device_put(inputs, mesh_lib.replicated(mesh))
    step = steps.make(hyper, source, mesh, like, 1).trace(like, *inputs)
    return step.lower().compile(), like, inputs


def trained(
    setting: tiny.Setting, fresh: State, mesh: Mesh, accumulate: int = 1
) -> tuple[list[dict], State]:
    """The metrics of a few steps, and the state after them."""
    step, like, inputs = compiled(setting, mesh, accumulate)
    state = jax.device_put(fresh, jax.tree.map(lambda x: x.sharding, like))
    lines = []
    for _ in range(N_STEPS):
        state, parts = step(state, *inputs)
        lines.append({name: float(value) for name, value in parts.items()})
    return lines, state


@pytest.fixture(scope="module")
def alone(setting: tiny.Setting, fresh: State) -> tuple[list[dict], State]:
    return trained(setting, fresh, tiny.mesh_of(1))


def assert_alike(found: tuple[list[dict], State], wanted: tuple[list[dict], State]) -> None:
    for line, other in zip(found[0], wanted[0], strict=True):
        for name, value in other.items():
            assert line[name] == pytest.approx(value, rel=2e-3), name
    for a, b in ((found[1].params, wanted[1].params), (found[1].ema, wanted[1].ema)):
        # As a whole: Adam makes a step of full size out of the rounding of a gradient that is zero.
        flat, other = (np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (a, b))
        assert np.linalg.norm(flat - other) < 1e-3 * np.linalg.norm(other)


@pytest.mark.parametrize("name", MESHES)
def test_any_mesh_trains_as_one_device(
    name: str, setting: tiny.Setting, fresh: State, alone: tuple[list[dict], State]
) -> None:
    found = trained(setting, fresh, mesh_lib.make_mesh(MESHES[name]))
    assert_alike(found, alone)
    assert found[0][-1]["loss"] != found[0][0]["loss"]


def test_a_batch_in_parts_trains_as_one(
    setting: tiny.Setting, fresh: State, alone: tuple[list[dict], State]
) -> None:
    """Even where each part is divided between devices."""
    assert_alike(trained(setting, fresh, tiny.mesh_of(4), accumulate=4), alone)


def test_each_device_keeps_an_eighth_of_the_state_from_birth(
    setting: tiny.Setting, fresh: State
) -> None:
    mesh = mesh_lib.make_mesh({"fsdp": 8})
    step, like, inputs = compiled(setting, mesh)

    def assert_divided(state: State) -> None:
        leaves = jax.tree.leaves(state)
        total = sum(x.nbytes for x in leaves)
        for i in range(8):
            held = sum(x.addressable_shards[i].data.nbytes for x in leaves)
            assert held == memory.on_each(like)
            assert total / 8 <= held < 1.25 * total / 8  # small arrays stay whole

    state = init(setting, mesh)
    assert_divided(state)
    chex.assert_trees_all_close(state, fresh, rtol=1e-5, atol=1e-7)
    assert_divided(step(state, *inputs)[0])


def test_between_copies_only_gradients_and_draws_travel(setting: tiny.Setting) -> None:
    """On data:8 no activation leaves its device."""
    step, like, _ = compiled(setting, mesh_lib.make_mesh({"data": 8}))
    found = collectives.read(step.as_text(), 8)
    n_parameters = sum(x.size for x in jax.tree.leaves(like.params))
    reduced = sum(c.times * c.result for c in found if c.kind == "all-reduce")
    # A few biases are summed in two places; a single layer's activations would be 2 % more.
    assert 1 <= reduced / (4 * n_parameters) < 1.001
    # Support sets are chosen by a top_k, which compilers do not divide.
    others = [c for c in found if c.kind != "all-reduce"]
    assert all("support" in c.label for c in others), [(c.kind, c.label) for c in others]


def test_a_training_goes_on_on_another_mesh_and_back(
    setting: tiny.Setting, tmp_path: Path, fresh: State, alone: tuple[list[dict], State]
) -> None:
    lines: list[dict] = []
    state = fresh
    for name in ("data:8", "data:2,fsdp:2,tensor:2", "data:8"):
        advance, like, inputs = compiled(setting, mesh_lib.make_mesh(MESHES[name]))
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(len(lines), state)
            found = checkpoints.restore_latest(like)
            assert found is not None and found[0] == len(lines)
            chex.assert_trees_all_equal(found[1], state, strict=True)
            for leaf, wanted in zip(*map(jax.tree.leaves, (found[1], like)), strict=True):
                assert leaf.sharding.is_equivalent_to(wanted.sharding, leaf.ndim)
        state, parts = advance(found[1], *inputs)
        lines.append({n: float(value) for n, value in parts.items()})
    assert_alike((lines, state), alone)


def test_what_the_devices_cannot_share_is_refused(setting: tiny.Setting) -> None:
    hyper = TrainConfig.of(setting.config)
    hyper.check_mesh(mesh_lib.make_mesh({"data": 2, "fsdp": 4}))
    dataclasses.replace(hyper, accumulate=8).check_mesh(mesh_lib.make_mesh({"tensor": 8}))
    with pytest.raises(UserError, match="leaves 4 pairs for 8 devices"):
        dataclasses.replace(hyper, accumulate=4).check_mesh(mesh_lib.make_mesh({"fsdp": 8}))
    shape = setting.model.module.shape
    shape.check_tensor(2)
    with pytest.raises(UserError, match=r"tensor=8 must divide metamodel\.heads=2"):
        shape.check_tensor(8)
    for wrong in (0, 3):
        with pytest.raises(UserError, match=f"training.accumulate={wrong} must"):
            TrainConfig.of(tiny.tiny_config(training__accumulate=wrong))


def test_gradients_are_summed_into_parts() -> None:
    """What is gathered to be used has a gradient that is divided as the array is."""
    mesh = mesh_lib.make_mesh({"fsdp": 8})
    params = {"probes": {"kernel": jnp.ones((128, 256))}}
    kept = NamedSharding(mesh, sharding.partition(("probes", "kernel"), (128, 256), mesh.shape))
    params = jax.device_put(params, {"probes": {"kernel": kept}})
    batch = jax.device_put(jnp.ones((256, 128)), mesh_lib.along(mesh, mesh_lib.BATCH))

    def loss(params: Any, batch: jax.Array) -> jax.Array:
        return jnp.sum((batch @ sharding.gathered(params, mesh)["probes"]["kernel"]) ** 2)

    step = jax.jit(jax.grad(loss)).lower(params, batch).compile()
    found = step(params, batch)["probes"]["kernel"]
    assert found.sharding.is_equivalent_to(kept, 2)
    np.testing.assert_array_equal(found, np.full((128, 256), 2 * 256 * 128.0))
    assert {c.kind for c in collectives.read(step.as_text(), 8)} == {
        "all-gather",
        "reduce-scatter",
    }
