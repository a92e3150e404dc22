"""Estimate a training step's memory per device and its FLOPs, before anything large exists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from mole_jax.core.devices import flops, memory
from mole_jax.core.errors import UserError
from mole_jax.training.learner import Learner
from mole_jax.training.state import State


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on each device; `temporary` and `other` are None before the step is compiled."""

    parameters: int
    average: int
    optimizer: int
    gradients: int
    zoo: int
    tasks: int
    temporary: int | None = None  # gradients, activations, and all other intermediates
    other: int | None = None  # results without a donated buffer, and the program

    @property
    def total(self) -> int:
        kept = self.parameters + self.average + self.optimizer + self.zoo + self.tasks
        if self.temporary is None or self.other is None:
            return kept + self.gradients
        return kept + self.temporary + self.other

    def compiled(self, step: jax.stages.Compiled) -> Memory:
        """Return the same with the compiler's own figures, if it has any."""
        stats = step.memory_analysis()
        if stats is None:
            return self
        new = stats.output_size_in_bytes - stats.alias_size_in_bytes
        return dataclasses.replace(
            self,
            temporary=stats.temp_size_in_bytes,
            other=max(new, 0) + stats.generated_code_size_in_bytes,
        )

    def describe(self) -> str:
        """Return the figures in words, for the log."""
        names = ["parameters", "average", "optimizer", "gradients", "zoo", "tasks"]
        if self.temporary is not None:
            names[3:4] = []
            names += ["temporary", "other"]
        parts = [f"{name} {memory.written(getattr(self, name))}" for name in names]
        return f"{memory.written(self.total)}: {', '.join(parts)}"


def of(state: State, zoo: Any, tasks: Any) -> Memory:
    """Return the memory that any step needs, before compiling; leaves may be shapes."""
    return Memory(
        parameters=memory.on_each(state.params),
        average=memory.on_each(state.ema),
        optimizer=memory.on_each(state.optimizer),
        gradients=memory.on_each(state.params),
        zoo=memory.on_each(zoo),
        tasks=memory.on_each(tasks),
    )


def check(need: Memory, available: int | None) -> None:
    """Refuse a training that cannot fit; do nothing if the available memory is unknown.

    Raises:
        UserError: with the figures, and what to do.
    """
    if available is not None and need.total > available:
        raise UserError(
            f"training: a step cannot fit: each device has {memory.written(available)} and needs "
            f"{need.describe()}; divide the state with --mesh=fsdp:N, raise training.accumulate, "
            "set metamodel.remat=True, or make zoo and metamodel smaller (of an ancestor: its "
            "learners.NAME.batch_size or .width)"
        )


def flops_of_step(
    traced: jax.stages.Traced,
    learner: Learner,
    trace: Callable[[Learner], jax.stages.Traced],
    n_steps: int,
) -> float:
    """Return the FLOPs that one training step needs, summed over devices.

    What remat computes a second time does not count: these are model FLOPs (Chowdhery et al. 2022,
    PaLM, appendix B).

    Args:
        traced: a dispatch of `n_steps` training steps.
        learner: what is trained.
        trace: a function that traces the same dispatch of another learner.
        n_steps: training steps in either dispatch.
    """
    plain = learner.without_remat()
    if plain is not None:
        traced = trace(plain)
    return flops.of(traced.jaxpr.jaxpr) / n_steps
