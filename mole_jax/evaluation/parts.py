"""Parts of the evaluation, each kept in a file of its own: an interrupted stage repeats none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core.console import interrupts
from mole_jax.core.devices import distributed
from mole_jax.core.storage.files import write_npz

Arrays = Mapping[str, np.ndarray]
Found = dict[str, Any]  # arrays and numbers, by name
Done = Mapping[str, Arrays]  # the results of earlier parts, by name
Compute = Callable[[Done], Found]


def kept(folder: Path, name: str, compute: Compute, done: Done) -> Found:
    """The arrays of FOLDER/NAME.npz, computed and written first where it is not there.

    Files are whole or absent, and a part depends on config, zoo, model and earlier parts alone, so
    a resumed evaluation is that of an uninterrupted one. Of several processes all compute, since
    devices may work together, and go on with what the first has found.
    """
    interrupts.check()
    path = Path(folder) / f"{name}.npz"
    if not distributed.from_first(path.exists):
        found = compute(done)
        if distributed.is_first():
            write_npz(path, **found)
        distributed.barrier()
    with np.load(path, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}
