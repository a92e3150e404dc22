"""A config as small as one can be, for tests of the command alone."""

from __future__ import annotations

from ml_collections import ConfigDict, config_dict


def get_config(variant: str = "short") -> ConfigDict:
    """Return the config; variants: short, full."""
    steps = {"short": 10, "full": 100}[variant]
    config = ConfigDict(
        {
            "seed": 0,
            "network": {"hidden": (8,), "activation": "relu"},
            "population": {"members": 8, "learning_rate": 0.001, "share_batches": True},
            "training": {"steps": steps, "limit": config_dict.placeholder(int)},
            "sampling": {"steps": 4},
            "report": {"title": "tiny"},
        }
    )
    config.training.warmup = config.training.get_oneway_ref("steps")
    return config
