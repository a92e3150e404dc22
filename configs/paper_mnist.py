"""The meta-model at the size of G.pt's for MNIST (Peebles et al. 2022), and one of a billion.

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/paper_mnist.py --dry_run --mesh=data:32,fsdp:8
    python -m mole_jax.main --config=configs/paper_mnist.py:1b --dry_run --mesh=data:32,fsdp:8
    python -m mole_jax.main --config=configs/paper_mnist.py:gpt --dry_run --mesh=data:32,fsdp:8

None has been trained; the dry runs say what it takes (docs/performance.md, Paper scale). The zoo
is G.pt's: 10,728 classifiers 784-10-10 of all ten digits, trained by SGD for 25 epochs, with 200
snapshots of each; as float32 its training runs are 61 GiB. The meta-model has G.pt's width of 1536,
12 layers, 16 heads, 26 tokens and batches. It has 444 million parameters where G.pt has 378: our
blocks also run the network that they write, which takes 73 million, and make up its probes, which
takes 12. `1b` has a width of 2048, 16 layers and 983 million.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core.program import config as configs

VARIANTS = ("", "1b", "gpt")


def get_config(variant: str = "") -> ConfigDict:
    """G.pt's zoo of MNIST classifiers, and a meta-model of its size; `1b`: larger; `gpt`: G.pt."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    # What is not set below is as in the digits config.
    c = configs.load(str(Path(__file__).with_name("digits_mlp.py")))
    c.data.source = "mnist"
    c.data.pools = ConfigDict({"train": 0.7, "support": 0.1, "validation": 0.1, "test": 0.1})
    c.data.classes_per_subset = 10  # all of them: one data subset, as G.pt has
    c.data.train_subsets = 1
    c.data.held_out_subsets = 0
    c.network.hidden = (10,)
    c.population.members = 10_728
    c.population.held_out_members = 500
    c.population.steps = 11_700
    c.population.snapshots = 200
    c.population.batch_size = 128
    c.population.optimizers = ("sgd",)
    c.population.schedule = "cosine"
    c.population.learning_rate = (0.1, 0.1)
    c.population.weight_decay = (5e-4, 5e-4)
    c.metamodel.update({"width": 1536, "layers": 12, "heads": 16, "conditioning": "context"})
    c.metamodel.dtype = "bfloat16"
    c.metamodel.remat = True
    c.metamodel.unroll = 1
    c.training.steps = 178_000  # see gpt/mnist_loss.py
    c.training.regression_steps = 0
    c.training.batch_size = 1024
    c.training.learning_rate = 4e-4
    c.training.warmup_steps = 445
    c.training.weight_decay = 0.1
    c.training.beta2 = 0.999
    c.training.gradient_clip = 0.75
    c.training.ema_decay = 0.9999
    c.training.checkpoint_every = 5000
    if variant == "1b":
        c.metamodel.update({"width": 2048, "layers": 16, "heads": 16})
    if variant == "gpt":
        c.representation.update({"name": "flat", "normaliser": "global"})
        c.metamodel.name = "gpt"
        c.metamodel.dtype = "float32"
        c.metamodel.gpt.update({"split": "chunk_within_layer", "chunk_size": 1000})
        c.diffusion.update({"schedule": "linear", "steps": 1000, "prediction": "x0"})
        c.training.update({"spacing": "spacing_first", "first_start": 0.0, "permute_units": True})
        c.training.update({"permute_labels": 0.0, "function_weight": 0.0, "time_power": 1.0})
        c.training.update({"ema_warmup": False, "schedule": "warmup_times_cosine"})
        c.training.drop.update({"support": 0.0, "target_metric": 0.0, "start": 0.0})
        c.sampling.update({"name": "ancestral_large", "steps": 1000})
    return c
