"""The recipe of G.pt (Peebles et al. 2022): what `configs/gpt/` changes in the defaults.

One meta-model for one task: `metamodel.name='gpt'` with the diffusion, the pairs and the optimizer
of its authors. All of these configs differ from theirs in these points:

- The runs of a zoo share 198 random snapshot steps; each of theirs has its own.
- Minibatches are drawn with replacement, and classes are equally likely; theirs go through the
  shuffled images once per epoch. Epochs set the learning rate in both.
- The support and validation pools, which G.pt does not have, take 1 % each of the training images.
  The prompt metric is measured on the test pool, as theirs.
- A snapshot's training metrics are of the whole training pool, not of one minibatch. G.pt does not
  use them, but with many images they take longer than the training.
- The run of every pair is drawn at random; theirs are each used equally often in an epoch. An epoch
  has their number of pairs, rounded down to a multiple of the runs and then to whole batches;
  `training.steps` follows from it.
- CIFAR-10: batches are of 512 pairs, so that 8 or 256 devices can share them. The reference has
  550: `--config.training.batch_size=550 --config.training.steps=1485000
  --config.training.warmup_steps=495`, on 1, 2, 5, 10, 11, 22, 25, 50 or 55 devices. The border of
  padded crops is black.

The `SMALL` ones take a few minutes on two cores, with digits, which need no download. They have a
moving average over fewer steps, a larger learning rate, and 100 of the 1,000 sampling steps.
"""

from __future__ import annotations

from typing import Any

Differences = dict[str, Any]

GPT: Differences = {
    "data.train_subsets": 1,
    "data.held_out_subsets": 0,
    "data.support_per_class": 1,
    "network.init": "torch",
    "population.snapshots": 200,
    "population.snapshot_spacing": "random",
    "population.max_weight": 10.0,
    "population.schedule": "cosine",
    "population.batch_size": 128,
    "zoo.subsets_per_group": 1,
    "zoo.runs_per_chunk": 1,
    "zoo.runs_per_shard": 16,
    "zoo.members_per_group": 128,
    "representation.name": "flat",
    "representation.normaliser": "global",
    "metamodel.name": "gpt",
    "metamodel.remat": True,
    "metamodel.unroll": 1,
    "diffusion.prediction": "x0",
    "training.metric": "test_loss",
    "training.spacing": "spacing_first",
    "training.first_start": 0.0,
    "training.permute_units": True,
    "training.permute_labels": 0.0,
    "training.function_weight": 0.0,
    "training.function_images": 1,
    "training.mix_images": False,
    "training.time_power": 1.0,
    "training.support_min_per_class": 1,
    "training.best_prompts": 0.0,
    "training.drop": {"support": 0.0, "target_metric": 0.0, "start": 0.0},
    "training.ema_decay": 0.9999,
    "training.ema_warmup": False,
    "training.schedule": "warmup_times_cosine",
    "training.weight_decay": 0.1,
    "training.beta2": 0.999,
    "training.regression_steps": 0,
    "training.checkpoint_every": 5000,
    "sampling.name": "ancestral_large",
    "sampling.steps": 1000,
    "evaluation.starts": 1,
    "evaluation.s0_tasks": 100,  # held-out runs that are predicted from their first snapshots
    "evaluation.support_sizes": (1,),
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.support_gap": 0.0,
    "evaluation.adam_rates": (1e-3, 3e-3, 1e-2),
}
GPT_SMALL: Differences = {
    "population.snapshots": 50,
    "zoo.runs_per_chunk": 8,
    "zoo.runs_per_shard": 256,
    "zoo.members_per_group": 0,
    "metamodel.layers": 3,
    "metamodel.remat": False,
    "metamodel.unroll": 3,
    "training.steps": 1500,
    "training.batch_size": 64,
    "training.learning_rate": 1e-3,
    "training.warmup_steps": 100,
    "training.ema_decay": 0.99,
    "training.checkpoint_every": 500,
    "sampling.steps": 100,
    "evaluation.s0_tasks": 20,
    "evaluation.noise_sigmas": (0.05, 0.1, 0.2),
}

# Classifiers of all ten classes.
IMAGES: Differences = {
    **GPT,
    "data.classes_per_subset": 10,
    "population.optimizers": ("sgd",),
    "population.learning_rate": (0.1, 0.1),
    "population.weight_decay": (5e-4, 5e-4),
    "population.coupled_decay": True,
}
IMAGES_LARGE: Differences = {
    # The official test images are the test pool; the shares divide the others.
    "data.pools": {"train": 0.97, "support": 0.01, "validation": 0.01, "test": 0.01},
    "metamodel.layers": 12,
    "metamodel.heads": 16,
    "training.learning_rate": 4e-4,
}
IMAGES_SMALL: Differences = {
    **GPT_SMALL,
    "data.pools": {"train": 0.6, "support": 0.05, "validation": 0.1, "test": 0.25},
    "population.steps": 400,
    "population.epoch_steps": 8,  # 50 epochs of 1,078 images
}

MNIST: Differences = {**IMAGES, "network.hidden": (10,), "training.gradient_clip": 0.75}
MNIST_LARGE: Differences = {
    **IMAGES_LARGE,
    "data.source": "mnist",
    "data.pixel_mean": (0.1307 * 255,),
    "data.pixel_std": (0.3081 * 255,),
    "population.members": 10_728,
    "population.held_out_members": 500,
    "population.steps": 25 * 468,
    "population.epoch_steps": 468,
    "metamodel.width": 1536,
    "metamodel.gpt.chunk_size": 1000,
}
MNIST_SMALL: Differences = {
    **IMAGES_SMALL,
    "population.members": 1000,
    "population.held_out_members": 50,
    "metamodel.gpt.chunk_size": 160,  # 4 pieces of the first layer, and the others whole
}

CIFAR10: Differences = {**IMAGES, "network.name": "cnn", "training.gradient_clip": 0.1}
CIFAR10_LARGE: Differences = {
    **IMAGES_LARGE,
    "data.source": "cifar10",
    "data.pixel_mean": (125.3, 123.0, 113.9),
    "data.pixel_std": (63.0, 62.1, 66.7),
    "data.augment": {"flip": True, "crop": 4},
    "network.channels": (16, 32),
    "network.strides": (2, 1),
    "network.bias": False,
    "population.members": 56_840,
    "population.held_out_members": 2050,
    "population.steps": 50 * 390,
    "population.epoch_steps": 390,
    "metamodel.width": 2048,
    "metamodel.gpt.chunk_size": 576,
    "training.batch_size": 512,
    # 15,000 epochs, the first 5 to warm up: one pair of each of 54,790 runs, in 107 batches.
    "training.steps": 15_000 * 107,
    "training.warmup_steps": 5 * 107,
}
CIFAR10_SMALL: Differences = {
    **IMAGES_SMALL,
    "data.augment": {"flip": False, "crop": 1},  # no flips, which make other digits
    "network.strides": (2, 1),
    "network.bias": False,
    "population.members": 400,
    "population.held_out_members": 40,
    "metamodel.gpt.chunk_size": 144,
}
