"""MOLE: predict the weights of a new network from the histories of many trained ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mole_jax.core.errors import MoleWarning, UserError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mole_jax.sampling.estimator import OnePassClassifier
    from mole_jax.sampling.load import Model

__all__ = ["MoleWarning", "OnePassClassifier", "UserError", "__version__", "load", "run"]

__version__ = "0.2.0"


def load(workdir: str | os.PathLike[str], **options: Any) -> Model:
    """Load the meta-model trained in `workdir`, ready to `predict` networks.

    Options are those of `mole_jax.sampling.load.load`; it is imported only here, so that
    `import mole_jax` stays instant.
    """
    from mole_jax.sampling.load import load as load_model

    return load_model(workdir, **options)


def run(
    config: Mapping[str, Any] | str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    stages: Sequence[str] = ("zoo", "train", "evaluate", "report"),
) -> Path:
    """Run stages of an experiment in `workdir`, as the command does: see `mole_jax.running.run`."""
    from mole_jax.running import run as run_stages

    return run_stages(config, workdir, stages)


def __getattr__(name: str) -> Any:
    """Import the classifier, and with it JAX and scikit-learn, only when it is asked for."""
    if name == "OnePassClassifier":
        from mole_jax.sampling.estimator import OnePassClassifier

        return OnePassClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
