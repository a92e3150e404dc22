"""What the experiments on characters share: `configs/glyphs_mlp.py` and `configs/glyphs_cnn.py`.

Training tasks come from thousands of characters. 300 of them (S2: all classes of a task are new)
and a whole data set (S3) are held out. They are evaluated at 1, 2, 5 and 10 examples per class,
next to ordinary training on the same examples and classical learners.
"""

from __future__ import annotations

GLYPHS: dict[str, object] = {
    "data.source": "glyphs+strokes+digits",
    "data.train_subsets": 2000,
    "data.transform.symmetry": 0.5,
    "data.transform.invert": 0.2,
    "data.transform.contrast": 0.5,
    "data.transform.stroke": 0.5,
    "data.transform.blur": 0.3,
    "data.held_out_subsets": 48,
    "data.held_out_classes": 300,
    "data.unseen_class_subsets": 48,
    "data.held_out_sources": "digits",
    "data.unseen_source_subsets": 48,
    "population.members": 1,
    "population.held_out_members": 0,
    "metamodel.probes": 0,  # learned examples mislead on unfamiliar data
    "metamodel.support_probes": 10,
    "metamodel.inner_steps": 24,
    "metamodel.support_warps": 1.0,
    "metamodel.mixing": 64,
    "training.support_min_per_class": 1,
    "training.support_sizes": "log",
    "training.regression_steps": 0,
    "training.end_to_end_steps": 1500,
    "training.batch_size": 32,
    "evaluation.starts": 1,
    "evaluation.shots": (1, 2, 5, 10),
    "evaluation.polish_steps": (100, 400),
    "evaluation.warped_copies": 30,
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.support_gap": 0.0,
    "evaluation.targets.share_of_adam": 0.95,
}
# Clothes, by a model that has seen only characters and made-up things.
GLYPHS_28: dict[str, object] = {
    "data.source": "glyphs:28+strokes:28+idx:/usr/share/datasets/fashion-mnist+silhouettes:28",
    "data.held_out_sources": "fashion-mnist",
    "data.max_per_class": {"train": 400, "support": 200, "validation": 100, "test": 200},
    "data.train_subsets": 1000,
    "population.snapshots": 12,
    "training.steps": 800,
    "training.end_to_end_steps": 800,
    # On a CPU ordinary training takes most of the evaluation's time.
    "evaluation.measures": ("few_shot",),
    "evaluation.shots": (1, 10),
    "evaluation.few_shot_networks": 4,
    "evaluation.s0_tasks": 26,
    "evaluation.warped_copies": 10,
}
# For an accelerator: tasks of 2 to 10 classes, and a larger model that sees far more of them.
GLYPHS_GPU: dict[str, object] = {
    "data.classes_per_subset": 10,
    "data.fewest_classes": 2,
    "data.train_subsets": 16_384,
    "zoo.subsets_per_group": 512,
    "metamodel.width": 512,
    "metamodel.layers": 4,
    "metamodel.heads": 8,
    "metamodel.features": "conv",
    "metamodel.dtype": "bfloat16",
    "metamodel.remat": True,  # gradients of gradients take much memory
    "training.steps": 30_000,
    "training.end_to_end_steps": 30_000,
    "training.batch_size": 128,
    "training.learning_rate": 1e-3,
    "training.warmup_steps": 1000,
    "training.ema_decay": 0.9995,
    "training.checkpoint_every": 2500,
    "evaluation.shots": (1, 2, 5, 10),
    "evaluation.few_shot_networks": 8,
    "evaluation.s0_tasks": 52,
}
