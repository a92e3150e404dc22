"""What all trainings of G.pt share (Peebles et al. 2022); the other files here are to be run.

One meta-model for one task: `metamodel.name='gpt'` with the diffusion, the pairs and the optimizer
of its authors. What differs from theirs in all of these configs:

- Runs of a zoo share the 198 random steps at which their snapshots lie. Theirs each have own ones.
- Minibatches are drawn with replacement, and classes are equally likely; theirs go through the
  shuffled images once an epoch. Epochs set the learning rate here as there.
- Some images are set aside for the support and validation pools, which G.pt has not got: of the
  training images 1 % each. What prompts speak of is measured on the test pool, as theirs.
- A snapshot's training metrics are of the whole training pool, not of one minibatch. G.pt does not
  look at them, but they take longer than the training where images are many.
- The runs of a batch of pairs are drawn anew for every pair; theirs are each used equally often in
  an epoch. An epoch has the pairs that they say, rounded down to a multiple of the runs and then
  to whole batches, which `steps` has, too.

`cpu` is small: for two cores, a few minutes, and digits, which need no download. It takes its
moving average over fewer steps, a larger learning rate, and 100 sampling steps of the 1,000.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core.program import config as configs

VARIANTS = ("", "cpu")


def get_config(variant: str = "") -> ConfigDict:
    """One task and G.pt's meta-model; sizes of the zoo and of the model are set by each file."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    # What is not set below is as in the digits config.
    c = configs.load(str(Path(__file__).parents[1] / "digits_mlp.py"))
    c.data.update({"train_subsets": 1, "held_out_subsets": 0, "support_per_class": 1})
    c.network.init = "torch"
    c.population.update({"snapshots": 200, "snapshot_spacing": "random", "max_weight": 10.0})
    c.population.schedule = "cosine"
    # Of both image data sets; cartpole has its own.
    c.data.classes_per_subset = 10
    c.population.optimizers = ("sgd",)
    c.population.update({"learning_rate": (0.1, 0.1), "weight_decay": (5e-4, 5e-4)})
    c.population.update({"coupled_decay": True, "batch_size": 128})
    c.metamodel.gpt.split = "chunk_within_layer"
    c.training.metric = "test_loss"
    c.evaluation.adam_rates = (1e-3, 3e-3, 1e-2)
    c.zoo.update({"subsets_per_group": 1, "runs_per_chunk": 1, "runs_per_shard": 16})
    c.zoo.members_per_group = 128
    c.representation.update({"name": "flat", "normaliser": "global"})
    c.metamodel.name = "gpt"
    c.metamodel.remat = True
    c.metamodel.unroll = 1
    c.diffusion.update({"schedule": "linear", "steps": 1000, "prediction": "x0"})
    c.training.update({"spacing": "spacing_first", "first_start": 0.0, "permute_units": True})
    c.training.update({"permute_labels": 0.0, "function_weight": 0.0, "time_power": 1.0})
    c.training.update({"support_min_per_class": 1, "function_images": 1, "mix_images": False})
    c.training.drop.update({"support": 0.0, "target_metric": 0.0, "start": 0.0})
    c.training.update({"ema_decay": 0.9999, "ema_warmup": False})
    c.training.schedule = "warmup_times_cosine"
    c.training.update({"weight_decay": 0.1, "beta2": 0.999, "regression_steps": 0})
    c.training.checkpoint_every = 5000
    c.sampling.update({"name": "ancestral_large", "steps": 1000})
    # Of its held-out runs so many are predicted from their first snapshots.
    c.evaluation.update({"starts": 1, "s0_tasks": 100, "support_sizes": (1,)})
    c.evaluation.targets.update({"regret": 0.0, "score": 0.0, "r2": 0.0, "support_gap": 0.0})
    if variant == "cpu":
        c.zoo.update({"runs_per_chunk": 8, "runs_per_shard": 256, "members_per_group": 0})
        c.metamodel.update({"width": 128, "layers": 3, "heads": 4, "remat": False, "unroll": 3})
        c.training.update({"batch_size": 64, "learning_rate": 1e-3, "warmup_steps": 100})
        c.training.update({"ema_decay": 0.99, "checkpoint_every": 500})
        c.sampling.steps = 100
        c.evaluation.s0_tasks = 20
        c.evaluation.noise_sigmas = (0.05, 0.1, 0.2)
    return c
