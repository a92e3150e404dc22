"""The compiled programs of a training, and the log of their cost before the first step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from mole_jax.core.devices import distributed, memory
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.training import estimate
from mole_jax.training import step as steps
from mole_jax.training.estimate import Memory
from mole_jax.training.learner import Learner
from mole_jax.training.source import Source
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig


class Measured(NamedTuple):
    """A compiled dispatch, and what one training step takes."""

    compiled: jax.stages.Compiled
    flops: float  # summed over devices
    memory: Memory  # of each device


class Programs:
    """The compiled dispatches of a training: the usual length and, at the end, a shorter one."""

    def __init__(
        self,
        learner: Learner,
        hyper: TrainConfig,
        source: Source,
        mesh: Mesh,
        root: jax.Array,
        like: State,
    ) -> None:
        """Create without compiling; arrays may be shapes, as those of the state in `like` are."""
        self._learner, self._hyper, self._source = learner, hyper, source
        self._mesh, self._root, self._like = mesh, root, like
        self._compiled: dict[int, jax.stages.Compiled] = {}

    def measured(self, n: int) -> Measured:
        """Compile a dispatch of `n` steps, and measure what a step takes."""
        traced = self.traced(self._learner, n)
        each = estimate.flops_of_step(traced, self._learner, lambda m: self.traced(m, n), n)
        self._compiled[n] = traced.lower().compile()
        need = self._estimate(n).compiled(self._compiled[n])
        return Measured(self._compiled[n], each, need)

    def prepare(self, n: int) -> float:
        """Compile a dispatch of `n` steps, log what it takes, and refuse what cannot fit.

        Returns:
            FLOPs of one training step.

        Raises:
            UserError: when a device has too little memory.
        """
        name = self._learner.name
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
        """Return a function (state, learner, constants, root, drawn) -> as `step.make` returns."""
        if n not in self._compiled:
            self._compiled[n] = self.traced(self._learner, n).lower().compile()
        return self._compiled[n]

    def traced(self, learner: Learner, n: int) -> jax.stages.Traced:
        """Return the traced dispatch of `n` steps of a learner with the trained one's state."""
        replicated = mesh_lib.replicated(self._mesh)

        def shape(x: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated)

        whole = jax.tree.map(shape, (learner, self._source.constants, self._root))
        dispatch = steps.make(self._hyper, self._source, self._mesh, self._like, n)
        return dispatch.trace(self._like, *whole, self._source.like(self._mesh, n))

    def _estimate(self, n: int) -> Memory:
        drawn = self._source.like(self._mesh, n)
        return estimate.of(self._like, drawn, self._source.constants)


def describe(state: State, flops_of_step: float, hyper: TrainConfig) -> str:
    """Describe the size of a training; `flops.count` says what is counted."""
    n_parameters = sum(x.size for x in jax.tree.leaves(state.params))
    return (
        f"{n_parameters / 1e6:.1f} million parameters, {flops_of_step / 1e9:,.1f} GFLOP a step, "
        f"{flops_of_step * hyper.steps / 1e12:,.1f} TFLOP in {hyper.steps} steps"
    )
