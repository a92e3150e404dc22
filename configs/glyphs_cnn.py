"""Glyphs: learn from examples; convolutional networks for data never seen (5-way).

    python -m mole_jax.main --config=configs/glyphs_cnn.py --workdir=runs/glyphs_cnn
        digits from 1 / 10 examples: 78.9 / 97.2 % end to end, 77.7 / 96.9 % by diffusion (means of
        8), Adam 74.9 / 96.4 %, SVM 73.7 / 97.1 %; 41 min (one core of an AMD EPYC, the other one
        busy; without rivals that see warped copies, which take 9 min more), seed 0
    python -m mole_jax.main --config=configs/glyphs_cnn.py:full --config.seed=1 --workdir=runs/long
        81.3 / 97.5 % end to end, 1-NN with warped copies 82.2 / 97.9 %, SVM 75.2 / 96.5 %, seed 1;
        characters never seen 85.4 / 97.5 %, 78.2 / 96.6 %, 72.1 / 96.1 %; run in parts: the longer
        training takes 36 min on such a core
    python -m mole_jax.main --config=configs/glyphs_cnn.py:28 --workdir=runs/glyphs_cnn28
        Fashion-MNIST (Debian: dataset-fashion-mnist) from 1 / 10 examples: 67.6 / 82.0 % end to
        end, 63.8 / 80.9 % by diffusion (means of 4), Adam 62.7 / 81.3 %, logistic regression
        60.1 / 81.2 %; characters never seen 85.2 / 97.8, 82.2 / 96.9, 75.6 / 96.3 and
        73.9 / 95.6 %; 50 min (two cores, AMD EPYC: zoo 4, training 19, evaluation 27), seed 0

    python -m mole_jax.main --config=configs/glyphs_cnn.py:any --workdir=runs/any --stages=zoo,train
    python -m mole_jax.main --config=configs/glyphs_cnn.py:28any --workdir=runs/any28 \\
        --stages=zoo,train
        made glyphs-8 and glyphs-28, the models that come with MOLE (docs/models.md): tasks of 2 to
        10 classes, end to end; 37 and 25 min (two busy cores, AMD EPYC), seed 0

Diffusion's figures are of five sampling steps, the default then; one step is as good or better on
training tasks (docs/performance.md).

    python -m mole_jax.main --config=configs/glyphs_cnn.py:aligned --workdir=runs/aligned \\
        --config.evaluation.s0_tasks=26 "--config.evaluation.shots=(1,10)"
        the same in one basis, one network, polished: characters never seen from 1 / 10 examples
        90.0 / 98.8 %, digits 79.6 / 98.0 %; 36 min of end-to-end training by its speed (two cores,
        AMD EPYC, busy with other work for most of it), seed 0

`gpu` and `28gpu` are for an accelerator and have not been run.

The tasks are those of `glyphs_mlp.py`.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment
from mole_jax.glyphs_recipe import GLYPHS, GLYPHS_28, GLYPHS_GPU

CONFIG: dict[str, object] = {
    **GLYPHS,
    "network.name": "cnn",
    # One convolution, for the edges in each of 4 by 4 cells. Digits and clothes differ far more in
    # these than in their pixels.
    "network.channels": (16,),
    "network.strides": (1,),
    "network.cells": 4,
    "data.train_subsets": 1000,
    "training.steps": 1000,
    "training.end_to_end_steps": 1000,
    "evaluation.measures": ("few_shot",),  # all measures take far longer
}
# Tasks of 2 to 10 classes, and end-to-end training alone.
ANY: dict[str, object] = {
    "data.classes_per_subset": 10,
    "data.fewest_classes": 2,
    "training.steps": 100,  # a diffusion model is always trained; this one is not used
    "training.warmup_steps": 100,
}
ANY_8: dict[str, object] = {
    **ANY,
    "data.train_subsets": 2000,
    "training.end_to_end_steps": 3000,
}
CNN_28: dict[str, object] = {
    **GLYPHS_28,
    "network.strides": (2,),
    "network.cells": 7,  # 4 by 4 do not show how clothes differ
    "data.train_subsets": 500,
    "metamodel.inner_steps": 16,
    "training.batch_size": 16,
}
VARIANTS: dict[str, dict[str, object]] = {
    "": {},
    "full": {"training.end_to_end_steps": 3000},
    "28": CNN_28,
    "any": ANY_8,
    "aligned": {**ANY_8, "representation.align": True},
    "28any": {
        **CNN_28,
        **ANY,
        # End to end, new tasks are drawn all the time (training.fresh_classes).
        "data.train_subsets": 256,
        "training.end_to_end_steps": 1500,
    },
    "gpu": GLYPHS_GPU,
    "28gpu": {
        **GLYPHS_28,
        **GLYPHS_GPU,
        "network.channels": (16, 32),
        "network.strides": (2, 2),
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment; `full`: longer; `28`: 28x28; `any`, `28any`: 2 to 10 classes."""
    return experiment.make(CONFIG, VARIANTS, variant)
