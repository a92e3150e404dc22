"""Running an experiment from Python, as `python -m mole_jax.main` does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from mole_jax import experiment, main
from mole_jax.core import given
from mole_jax.core.errors import UserError
from mole_jax.core.program import command, compiled, sections
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

    Ctrl-C and SIGTERM wait until training steps are saved, in the main thread; JAX computes in 32
    bits meanwhile.

    Raises:
        UserError: for a config or a stage that cannot run, and for the workdir of another config.
    """
    if given.is_traced(jnp.zeros(())):
        raise UserError("run: it is called inside of jit, vmap or grad: call it outside of them")
    every = main.STAGES
    selected = of_workdirs.select(every, _names(stages))
    text = workdir if isinstance(workdir, str) else str(user_path(workdir))
    folder = main.folder(text, "workdir")
    if folder is None:
        raise UserError("run: workdir is empty: give a folder")
    with command.protected():
        whole = _whole(config)
        main.validate(whole, {})
        with compiled.kept(), of_workdirs.open_workdir(folder):
            main.check(folder, whole)
            of_workdirs.run(folder, every, selected, whole)
    return folder


def _names(stages: Any) -> list[str]:
    found = stages.split(",") if isinstance(stages, str) else stages
    found = list(found) if isinstance(found, Iterable) else [found]
    if not all(isinstance(name, str) for name in found):
        raise UserError(f"run: stages={stages!r} must be names, such as ('zoo', 'train')")
    return [name.strip() for name in found]


def _whole(config: Any) -> ConfigDict:
    if isinstance(config, Mapping):
        for key, value in config.items():
            if not isinstance(key, str):
                raise UserError(f"config: {key!r} is no key: write texts such as 'network.hidden'")
            if isinstance(value, Mapping):
                raise UserError(
                    f"config: {key!r} holds a mapping: write its keys out, such as '{key}.name'"
                )
        try:
            config = experiment.make(config)
        except (AttributeError, TypeError) as problem:
            raise UserError(f"config: {' '.join(str(problem).split())}") from None
    elif not isinstance(config, ConfigDict):
        config = configs.load(str(user_path(config)))
    tags = {key: sections.value_of(config, key) for key in experiment.TAGS}
    known = {key: value for key, value in tags.items() if isinstance(value, str)}
    configs.check_types(config, experiment.make(known))
    return config
