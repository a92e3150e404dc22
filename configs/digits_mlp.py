"""Digits: predict a 64-16-5 MLP for 5 of the 10 classes, for subsets never seen.

    python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/digits
        98.6 % accuracy on 52 unseen subsets, Adam 98.6 %; 3 min (two cores, AMD EPYC)
    python -m mole_jax.main --config=configs/digits_mlp.py:full --config.seed=1 --workdir=runs/full
        98.6 %, Adam 98.9 %, before runs were in one basis (with which the demo has 98.9 %); 20 min
        with other work running (two cores, Intel Xeon)
    python -m mole_jax.main --config=configs/digits_mlp.py:few --workdir=runs/few
        97.2 %, Adam 79.1 % on the same few examples, 84.1 % on the support set; 3 min
    python -m mole_jax.main --config=configs/digits_mlp.py:live --workdir=runs/live
        97.4 %, as with the fixed zoo (two cores, AMD EPYC)

JAX 0.10.2; docs/notebook has intervals and baselines.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

# The demo is the defaults, but for this. Where units have places, the model need not find a role
# for each; without them it is a point behind ordinary training (docs/representations.md).
CONFIG: dict[str, object] = {"representation.align": True}
VARIANTS: dict[str, dict[str, object]] = {
    "": {},
    "cpu": {},
    "full": {
        "population.members": 16,
        "metamodel.layers": 3,
        "metamodel.probes": 16,
        "training.steps": 4000,
        "training.regression_steps": 3000,
        "training.warmup_steps": 200,
        "training.ema_decay": 0.998,
    },
    # A subset's largest class has 4 to 32 training examples, its smallest a quarter of that.
    "few": {
        "data.examples_per_class": (4, 32),
        "data.imbalance": 4.0,
        "training.regression_steps": 0,
    },
    # New runs replace the oldest while the meta-model is trained (docs/zoo.md). With those trained
    # along the way, there are about as many runs as in the demo's zoo: 1,008 + 900.
    "live": {"population.members": 4, "zoo.live": True, "representation.align": False},
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the demo; `full`: trained longer; `few`: few training examples; `live`: a live zoo."""
    return experiment.make(CONFIG, VARIANTS, variant)
