"""Every key with its default: the config that the experiments next to it change.

    python -m mole_jax.main --config=configs/default.py --print_config
    python -m mole_jax.main --config=configs/default.py --config.network.name=vit --print_config

The keys come from the sections of `mole_jax/experiment.py`. Which keys `network`, `metamodel` and
`data` have follows from `network.name`, `metamodel.name` and `data.source`.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment


def get_config() -> ConfigDict:
    """Return the defaults: an MLP on digits."""
    return experiment.defaults()
