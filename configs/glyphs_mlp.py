"""Glyphs: learn from examples; classifiers of digits by a model that never saw one (8x8, 5-way).

    python -m mole_jax.main --config=configs/glyphs_mlp.py:cpu --workdir=runs/glyphs_cpu
        new characters from 1 / 10 examples: end to end 81.9 / 96.0 %, diffusion 81.7 / 95.8 %
        (means of 8), the best classical learner 76.0 / 95.6 %; digits 74.8 / 96.1 %, 75.4 / 96.3 %,
        74.7 / 96.8 %; 5 min 11 s with nothing there before, 90 s of them for drawing characters,
        which are kept (two quiet cores of an AMD EPYC), seed 0

    python -m mole_jax.main --config=configs/glyphs_mlp.py:28 --workdir=runs/glyphs28
        judged on Fashion-MNIST (Debian: dataset-fashion-mnist): end to end 65.7 / 81.0 %, diffusion
        65.0 / 81.6 % (means of 4), Adam 62.2 / 81.3 %, the best classical learner 61.2 / 81.4 %;
        39 min (two cores of an AMD EPYC: zoo 3, training 27, evaluation 10), seed 0

    python -m mole_jax.main --config=configs/glyphs_mlp.py:full --workdir=runs/glyphs_full
        end to end 87.0 / 96.9 %, diffusion 83.7 / 96.2 % (means of 8), the best classical learner
        on warped copies 79.1 / 96.8 %; digits 78.5 / 95.5 %, 77.8 / 96.6 %, 82.0 / 97.5 %; 32 min
        (two cores of an AMD EPYC: zoo 1, training 28, evaluation 3), seed 0

Run with `--config.metamodel.support_warps=0` only, and five sampling steps; `cpu` has 0.4 to 3.2
points less then (means of 8; docs/learning.md):

    python -m mole_jax.main --config=configs/glyphs_mlp.py --workdir=runs/glyphs
        82.1 / 95.5 % by diffusion, the best classical learner 74.9 / 95.4 %; digits 74.8 / 95.9 %,
        75.1 / 96.8 %; 15 min (two cores, busy)

Tasks come from thousands of characters: those of matplotlib's fonts, and made-up ones in many
handwritings. 300 characters (S2: all classes of a task are new) and scikit-learn's digits (S3) are
held out. They are evaluated at 1, 2, 5 and 10 examples per class, next to ordinary training on the
same examples and classical learners.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment
from mole_jax.glyphs_recipe import GLYPHS, GLYPHS_28

CONFIG: dict[str, object] = {**GLYPHS, "network.hidden": (32,)}
VARIANTS: dict[str, dict[str, object]] = {
    "": {},
    # A first look in five minutes. On digits: level at one example, behind an SVM at ten.
    "cpu": {
        "data.train_subsets": 512,
        "training.steps": 250,
        "training.end_to_end_steps": 300,
        "evaluation.measures": ("few_shot",),
        "evaluation.shots": (1, 10),
        "evaluation.warped_copies": 0,
        "evaluation.s0_tasks": 26,  # Adam's rate and steps are chosen on as many tasks
    },
    "full": {"training.steps": 4000, "training.end_to_end_steps": 8000},
    "28": GLYPHS_28,
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment; `cpu`: fewer steps; `full`: more; `28`: 28x28, judged on clothes."""
    return experiment.make(CONFIG, VARIANTS, variant)
