"""Several processes that work as one, on one machine or many, and how they keep in step.

Every process runs the same program. Process 0 does what must happen once (locks, records, reports),
while the others wait for its result. Without `start` there is only process 0: every function here
is then trivial, and none starts JAX.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from mole_jax.core.errors import UserError

# A process that is silent for this long counts as lost, and the others end.
HEARTBEAT_SECONDS = 30
# How long a finished process waits for the others.
SHUTDOWN_SECONDS = 60
# Another process's work may take a whole stage: wait for as long as that process lives.
_FOREVER_MS = 10**9
# What JAX, Gloo and NCCL say when a process at the other end is gone.
_SIGNS_OF_LOSS = ("Gloo", "gloo", "NCCL", "heartbeat", "oordination service", "CoordinationService")


@dataclass(frozen=True)
class Cluster:
    """Where the processes meet. All None: a TPU pod, Slurm or Open MPI says so."""

    address: str | None = None  # HOST:PORT, of process 0
    processes: int | None = None
    index: int | None = None


class Agreed(UserError):
    """A UserError that every process raises, so that all can end in order."""


class _State:
    """Of this process."""

    client: Any = None
    index = 0
    count = 1
    calls = 0  # of functions that all processes call in the same order
    together = True  # whether all processes end, if this one ends now


def parse(value: str) -> Cluster | None:
    """Read --distributed: "" (None), "auto", or "HOST:PORT,PROCESSES,INDEX".

    Raises UserError for anything else.
    """
    if not value:
        return None
    if value == "auto":
        return Cluster()
    form = "use auto or HOST:PORT,PROCESSES,INDEX, such as 10.0.0.1:7000,4,0"
    parts = value.split(",")
    if len(parts) != 3:
        raise UserError(f"--distributed={value} has {len(parts)} parts, not 3: {form}")
    address, processes, index = (part.strip() for part in parts)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"--distributed={value}: {address!r} is not HOST:PORT: {form}")
    if not processes.isdecimal() or int(processes) < 1:
        raise UserError(
            f"--distributed={value}: {processes!r} is not a number of processes: {form}"
        )
    if not index.isdecimal() or int(index) >= int(processes):
        raise UserError(
            f"--distributed={value}: the index of a process lies in 0..{int(processes) - 1}, "
            f"{index!r} does not"
        )
    return Cluster(address, int(processes), int(index))


def start(cluster: Cluster) -> None:
    """Join the other processes; to be called once, before anything else touches JAX.

    Raises:
        UserError: when the others cannot be found or reached.
    """
    import jax
    from jax._src import distributed as of_jax  # the client has no public name yet

    # It would take over SIGTERM, which belongs to `mole_jax.core.console.interrupts`.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            cluster.address,
            cluster.processes,
            cluster.index,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
            cluster_detection_method=None if cluster.address is None else "deactivate",
        )
    except ValueError as problem:
        if cluster.address is not None:
            raise
        raise UserError(
            f"--distributed=auto finds no TPU pod, Slurm or Open MPI here ({problem}): give "
            "--distributed=HOST:PORT,PROCESSES,INDEX to every process"
        ) from problem
    except jax.errors.JaxRuntimeError as problem:
        where = cluster.address or "the address that the cluster names"
        raise UserError(
            f"the processes did not meet at {where} ({' '.join(str(problem).split())[:300]}): see "
            "that all of them run, and that the port of process 0 is free and can be reached"
        ) from problem
    found = of_jax.global_state
    _State.client, _State.index, _State.count = found.client, found.process_id, found.num_processes
    _State.together = False


def index() -> int:
    """Return the number of this process, 0 without others."""
    return _State.index


def count() -> int:
    """Return how many processes there are."""
    return _State.count


def is_first() -> bool:
    """Return whether this is process 0, which prints and writes for all."""
    return _State.index == 0


def from_first(make: Callable[..., Any], *arguments: Any) -> Any:
    """Call `make(*arguments)` on process 0 only; all processes return its result, plain data.

    A UserError of `make` is raised by all.
    """
    if _State.client is None:
        return make(*arguments)
    name = _next_name()
    if is_first():
        try:
            answer = {"value": make(*arguments)}
        except UserError as problem:
            answer = {"error": str(problem)}
        _State.client.key_value_set(name, json.dumps(answer))
    else:
        answer = json.loads(_State.client.blocking_key_value_get(name, _FOREVER_MS))
    if "error" in answer:
        _refuse(answer["error"])
    return answer["value"]


def agree(do: Callable[..., Any], *arguments: Any) -> Any:
    """Call `do(*arguments)` on every process and return this process's result.

    If any process raises a UserError, all do: that of the first process with one.
    """
    if _State.client is None:
        return do(*arguments)
    name, problem, found = _next_name(), "", None
    try:
        found = do(*arguments)
    except UserError as error:
        problem = str(error)
    _State.client.key_value_set(f"{name}/{_State.index}", json.dumps(problem))
    for i in range(_State.count):
        refusal = json.loads(_State.client.blocking_key_value_get(f"{name}/{i}", _FOREVER_MS))
        if refusal:
            _refuse(refusal if i == 0 else f"process {i}: {refusal}")
    return found


def barrier() -> None:
    """Wait until every process is here. The hosts wait, since devices may time out."""
    if _State.client is not None:
        _State.client.wait_at_barrier(_next_name(), _FOREVER_MS)


def largest(number: int) -> int:
    """Return the largest of the processes' numbers; this takes a few milliseconds."""
    if _State.client is None:
        return number
    import numpy as np
    from jax.experimental import multihost_utils

    return int(multihost_utils.process_allgather(np.int32(number)).max())


def put(tree: Any, sharding: Any) -> Any:
    """Call `jax.device_put`, also across processes that each hold the whole tree.

    Each process puts its part on its own devices; that all hold the same values is not checked.
    """
    import jax
    import numpy as np

    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(x: Any) -> jax.Array:
        if isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(
                one(jax.random.key_data(x)), impl=jax.random.key_impl(x)
            )
        whole = np.asarray(x)
        return jax.make_array_from_callback(whole.shape, sharding, lambda part: whole[part])

    return jax.tree.map(one, tree)


def gather(tree: Any) -> Any:
    """Return NumPy copies of arrays, whole on every process even if sharded over all devices."""
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    def one(x: Any) -> np.ndarray:
        if isinstance(x, jax.Array) and not x.is_fully_addressable and not x.is_fully_replicated:
            return np.asarray(multihost_utils.process_allgather(x, tiled=True))
        return np.asarray(x)

    return jax.tree.map(one, tree)


def part_together() -> None:
    """Record that all processes have agreed to end now."""
    _State.together = True


def is_loss(problem: BaseException) -> bool:
    """Return whether a library's error means that another process is gone."""
    said = f"{type(problem).__name__} {problem}"
    return _State.client is not None and any(sign in said for sign in _SIGNS_OF_LOSS)


def end(code: int) -> None:
    """Leave the other processes, with an exit code; the last thing that a process does.

    If all processes end, they wait for one another. Otherwise this process exits at once, without
    returning, after printing the traceback of a pending exception: waiting for the others, as JAX
    does at exit, would keep them from noticing.
    """
    if _State.client is None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if code == 0 or _State.together:
        import jax

        jax.distributed.shutdown()
        _State.client, _State.index, _State.count, _State.together = None, 0, 1, True
        return
    _vanish(code)


def _vanish(code: int) -> NoReturn:
    if sys.exc_info()[0] is not None:
        traceback.print_exc()  # os._exit skips Python's own
    # If a signal stops all processes, let the others report it before they lose process 0.
    if is_first():
        time.sleep(2)
    os._exit(code)


def _refuse(message: str) -> NoReturn:
    part_together()
    raise Agreed(message)


def _next_name() -> str:
    _State.calls += 1
    return f"mole/{_State.calls}"
