"""Running an experiment from Python, as `python -m mole_jax.main` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mole_jax import experiment, main
from mole_jax.core.errors import UserError
from mole_jax.core.program import compiled
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages as of_workdirs
from mole_jax.core.storage.paths import user_path


def run(
    config: Mapping[str, Any] | ConfigDict | str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    stages: Sequence[str] = ("zoo", "train", "evaluate", "report"),
) -> Path:
    """Run stages of an experiment in a workdir; return its folder.

    As with the command, finished stages are skipped, an interrupted one resumes, and the workdir of
    another config is refused. All devices of this process are used.

    Args:
        config: what differs from the defaults, such as {"network.hidden": (12,)}; a file and its
            variant, such as "configs/digits_mlp.py:full"; or a whole config of
            `mole_jax.experiment`.
        workdir: a folder, which is made.
        stages: some of "zoo", "train", "evaluate" and "report". Each needs those before it.

    Raises:
        UserError: for a config or a stage that cannot run, and for the workdir of another config.
    """
    every = main.STAGES
    selected = of_workdirs.select(every, [stages] if isinstance(stages, str) else stages)
    whole = _whole(config)
    main.validate(whole, {})
    with compiled.kept(), of_workdirs.open_workdir(user_path(workdir)) as folder:
        main.check(folder, whole)
        of_workdirs.run(folder, every, selected, whole)
    return folder


def _whole(config: Any) -> ConfigDict:
    if isinstance(config, ConfigDict):
        return config
    if not isinstance(config, Mapping):
        return configs.load(str(user_path(config)))
    try:
        return experiment.make(config)
    except (AttributeError, TypeError) as problem:
        raise UserError(f"config: {problem}") from None
