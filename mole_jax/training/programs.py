"""The compiled programs of a training, and what is said of them before the first step."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from mole_jax.core.devices import distributed, memory
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.family import DeviceData
from mole_jax.training import estimate
from mole_jax.training import state as states
from mole_jax.training.estimate import Memory
from mole_jax.training.pairs import Draw, ZooArrays
from mole_jax.training.state import Hyper, State


class Measured(NamedTuple):
    """A compiled dispatch, and what one training step takes."""

    compiled: jax.stages.Compiled
    flops: float  # of all devices together
    memory: Memory  # of each device


class Programs:
    """The compiled dispatches of a training: the usual length and, at the end, a shorter one."""

    def __init__(
        self,
        model: MetaModel,
        hyper: Hyper,
        rules: Draw,
        mesh: Mesh,
        root: jax.Array,
        like: State,
        normaliser: Normaliser,
        zoo: Callable[[int], ZooArrays],
        data: DeviceData,
    ) -> None:
        """Nothing is compiled yet.

        `like` is the state; `zoo` gives what a dispatch of so many steps draws from. Of these and
        of the other arguments of a dispatch shapes will do.
        """
        self._model, self._hyper, self._mesh = model, hyper, mesh
        self._make = lambda model, n: states.make_step(model, hyper, rules, mesh, root, like, n)
        self._zoo = zoo
        self._like = like
        replicated = mesh_lib.replicated(mesh)
        self._normaliser, self._data = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated),
            (normaliser, data),
        )
        self._compiled: dict[int, jax.stages.Compiled] = {}

    def measured(self, n: int) -> Measured:
        """Compile a dispatch of `n` steps, and count what a step takes."""
        traced = self.traced(self._model, n)
        each = estimate.flops_of_step(traced, self._model, lambda m: self.traced(m, n), n)
        self._compiled[n] = traced.lower().compile()
        need = self._estimate(n).compiled(self._compiled[n])
        return Measured(self._compiled[n], each, need)

    def prepare(self, n: int) -> float:
        """Compile a dispatch of `n` steps, say what it takes, and refuse what cannot fit.

        Returns:
            FLOP of one training step.

        Raises:
            UserError: when a device has too little memory.
        """
        name = self._model.objective
        available = memory.available(self._mesh.local_devices[0])
        estimate.check(self._estimate(n), available)
        found = self.measured(n)
        if distributed.is_first():
            of = f" (of {memory.written(available)})" if available is not None else ""
            need = found.memory.describe()
            print(f"{name}: {describe(self._like, found.flops, self._hyper)}", flush=True)
            print(f"{name}: on each of {self._mesh.size} devices {need}{of}", flush=True)
        estimate.check(found.memory, available)
        return found.flops

    def compiled(self, n: int) -> jax.stages.Compiled:
        """A function (state, normaliser, zoo, data) -> as `states.make_step` returns."""
        if n not in self._compiled:
            self._compiled[n] = self.traced(self._model, n).lower().compile()
        return self._compiled[n]

    def traced(self, model: MetaModel, n: int) -> jax.stages.Traced:
        """The dispatch of `n` steps of a model like the one that is trained, not compiled."""
        return self._make(model, n).trace(self._like, self._normaliser, self._zoo(n), self._data)

    def _estimate(self, n: int) -> Memory:
        return estimate.of(self._like, self._zoo(n), self._data)


def describe(state: State, flops_of_step: float, hyper: Hyper) -> str:
    """How large a training is, in words; `flops.count` says what is counted."""
    n_parameters = sum(x.size for x in jax.tree.leaves(state.params))
    return (
        f"{n_parameters / 1e6:.1f} million parameters, {flops_of_step / 1e9:,.1f} GFLOP a step, "
        f"{flops_of_step * hyper.steps / 1e12:,.1f} TFLOP in {hyper.steps} steps"
    )
