"""Every key with its default, and no experiment: what the files next to it differ from.

    python -m mole_jax.main --config=configs/default.py --print_config
    python -m mole_jax.main --config=configs/default.py --config.network.name=vit --print_config

The keys come from the sections of `mole_jax/experiment.py`. Those of `network`, `metamodel` and
`data` are the keys of what `network.name`, `metamodel.name` and `data.source` choose.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment


def get_config() -> ConfigDict:
    """Return the defaults: an MLP on digits."""
    return experiment.defaults()
