"""Digits: predict a 64-16-5 MLP for 5 of the 10 classes, for subsets never seen.

    python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/digits
    python -m mole_jax.main --config=configs/digits_mlp.py:full --config.seed=1 --workdir=runs/full
    python -m mole_jax.main --config=configs/digits_mlp.py:few --workdir=runs/few

On 52 unseen subsets (two cores, JAX 0.10.2) the first command gives 97.4 % test accuracy, where
Adam reaches 98.6 % from the same starts: regret 1.2 points, prompt alignment R^2 0.96, in 4 min
21 s (AMD EPYC; an earlier state took 3 min 54 s on an Intel Xeon with AMX). The second gives
98.6 %, where Adam reaches 98.9 %: regret 0.3 points, R^2 0.957, in 20 min 22 s with other work
beside it (Intel Xeon). Nothing was chosen on its seed.

In `few` a data subset has 4 to 32 training examples of its largest class and a quarter of that of
its smallest. There predicting is better than training: 93.7 % (92.9 - 94.4) on 52 unseen subsets,
where Adam reaches 79.1 % on the subset's examples and 84.1 % on the support set alone, retrieval
77.8 %, soup 80.4 % (two cores of an AMD EPYC, seed 0, 14 min 28 s with two other programs beside
it: zoo 2 min 43 s, training 9 min 20 s, evaluation 2 min 25 s). Run once.

In `live` new runs replace the oldest while the meta-model is trained (docs/zoo.md). Without the
regression it gave 97.4 % (97.1 - 97.8), Adam 98.6 %, on seed 0, and 98.2 % (97.9 - 98.5), Adam
98.9 %, on seed 1, where the demo's fixed zoo gave 97.4 and 98.0 % (two cores of an AMD EPYC with
other work beside; seed 1: zoo 13 s, training 2 min 38 s, evaluation 35 s).

    python -m mole_jax.main --config=configs/digits_mlp.py:live --workdir=runs/live
"""

from ml_collections import ConfigDict

VARIANTS = ("", "cpu", "full", "few", "live")  # cpu: the same as none


def get_config(variant: str = "") -> ConfigDict:
    """The demo; `full`: trained longer; `few`: few training examples; `live`: runs are replaced."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    c = ConfigDict()
    c.seed = 0

    c.data = ConfigDict()
    c.data.source = "digits"  # or mnist, tfds:NAME, idx:DIR, npz:FILE, A+B, env:cartpole
    # Shares of the four disjoint image pools; max_per_class caps a pool, 0 does not.
    c.data.pools = ConfigDict({"train": 0.5, "support": 0.15, "validation": 0.15, "test": 0.2})
    c.data.max_per_class = ConfigDict({"train": 0, "support": 0, "validation": 0, "test": 0})
    c.data.classes_per_subset = 5
    c.data.train_subsets = 0  # 0: all that are not held out; there are 252 ways to take 5 of 10
    c.data.held_out_subsets = 52  # of them S1: new combinations of classes that are trained on
    # S2: classes kept from training, and subsets with some of them.
    c.data.held_out_classes = 0
    c.data.unseen_class_subsets = 0
    # S3: of a source A+B+C, the parts kept from training, and subsets of their classes.
    c.data.held_out_sources = ""
    c.data.unseen_source_subsets = 0
    # Of pixels, in the source's own units: one number, or one for each channel. Empty: those of
    # all pixels that are trained on.
    c.data.update({"pixel_mean": (), "pixel_std": ()})
    c.data.settings = "random"  # of an environment; default: one task, as it is usually set
    c.data.mix_sources = True  # subsets may take classes from several parts of the source
    c.data.shuffle_labels = False  # labels of a subset in random order, not in the source's
    # Training examples of a subset's largest class, (low, high), (0, 0): all; how many times as
    # many as of its smallest. These limit its support set, too.
    c.data.examples_per_class = (0, 0)
    c.data.imbalance = 1.0
    c.data.augment = ConfigDict({"flip": False, "crop": 0})  # of training images; crop: pixels
    c.data.support_per_class = 10

    c.network = ConfigDict({"name": "mlp"})  # or cnn, vit: see mole_jax/tasks/networks
    c.network.update({"hidden": (16,), "activation": "relu"})  # of an mlp
    c.network.update({"channels": (8, 16), "strides": (1, 2)})  # of a cnn; 3x3 convolutions
    c.network.update({"bias": True, "norm_groups": 0})  # of a cnn; 0: no GroupNorm
    c.network.update({"patch": 4, "width": 16, "layers": 2, "heads": 2, "mlp": 32})  # of a vit
    c.network.pooling = "mean"  # or token; of a vit
    c.network.choices = 3  # of a categorical_policy
    c.network.init = "default"  # or torch, as PyTorch's layers start: tasks/networks/initial.py

    c.population = ConfigDict()
    c.population.members = 8  # runs of each data subset
    c.population.held_out_members = 1  # of them kept from training: split S0
    c.population.steps = 400
    c.population.snapshots = 24
    c.population.snapshot_power = 2.0  # above 1: more snapshots early, where the loss falls fast
    c.population.snapshot_spacing = "power"  # or random: any steps, the same for all members
    c.population.max_weight = 0.0  # runs with a weight beyond it are not used; 0: no limit
    c.population.batch_size = 64
    # Members of a data subset may share minibatches, which is faster on wide inputs. Here each has
    # its own, so that the meta-model cannot learn a subset's minibatch noise by heart.
    c.population.share_minibatches = False
    # Ranges (low, high) from which each member draws; equal ends fix the value.
    c.population.optimizers = ("adam",)  # or sgd, with Nesterov's momentum of 0.9
    c.population.schedule = "constant"  # or cosine
    c.population.epoch_steps = 0  # above 0: a schedule changes the rate after so many steps only
    c.population.coupled_decay = False  # weight decay in the gradient, as in PyTorch's SGD
    c.population.learning_rate = (3e-3, 3e-3)
    c.population.weight_decay = (0.0, 0.0)
    c.population.init_scale = (1.0, 1.0)
    # Of policies, a step being an iteration: see mole_jax/population/ppo.py.
    c.population.ppo = ConfigDict({"environments": 512, "rollout": 16, "epochs": 8})
    c.population.ppo.update({"minibatches": 2, "clip": 0.2, "discount": 0.99, "gae_lambda": 0.95})
    c.population.ppo.update({"value_coefficient": 2.0, "entropy_coefficient": 0.0})
    c.population.ppo.update({"gradient_norm": 2.0, "evaluation_episodes": 8})
    # Begin all training runs from one network, so that units mean the same in all of them. Runs
    # that are held out begin from networks of their own, and so does training the meta-model.
    c.population.shared_start = False
    # How many train side by side in each lane (a core of a CPU, or else a device), the others after
    # them; 0: what a measurement of a few seconds finds fastest here. No result depends on it
    # beyond rounding.
    c.population.at_once = 0

    c.zoo = ConfigDict({"subsets_per_group": 126, "runs_per_shard": 256, "runs_per_chunk": 8})
    # Where data subsets have more members than are trained in one go: so many at a time, of one
    # data subset; 0: all of them, of subsets_per_group. No result depends on it.
    c.zoo.members_per_group = 0
    # Of the stored parameters: float32, or half the space in bfloat16 or float16. Metrics stay
    # those of the float32 network.
    c.zoo.dtype = "float32"
    # Where training keeps the parameters: device, host, stream (nowhere, they are read from the
    # zoo as they are needed) or auto, the first of these with room. No number depends on it.
    c.zoo.reading = "auto"
    c.zoo.memory_gb = 0.0  # that they may take; 0: half of the device's and of the host's
    # While training, replace the oldest runs on the device by new members of training subsets,
    # which are not stored: every so many steps (a multiple of training.steps_per_dispatch) so many
    # runs, each of another data subset. What is there first are the stored zoo's runs, and where
    # live_runs is more than these, new ones.
    c.zoo.update({"live": False, "live_runs": 0, "live_every": 150, "live_refresh": 100})

    c.representation = ConfigDict({"name": "neuron", "chunk_size": 64})  # chunk_size: for chunk
    # tensor: mean and scale of each tensor; global: one scale for all parameters, as G.pt has it
    c.representation.normaliser = "tensor"

    c.metamodel = ConfigDict()
    c.metamodel.name = "dit"  # or gpt: that of Peebles et al. 2022; takes representation.name=flat
    c.metamodel.width = 128
    c.metamodel.layers = 2
    c.metamodel.heads = 4
    c.metamodel.mlp_ratio = 4
    c.metamodel.conditioning = "adaln"  # or context: scalars as tokens
    c.metamodel.features = "dense"  # or conv, of images: what the set encoder sees first
    c.metamodel.feature_width = 128  # of the support set's learned features
    c.metamodel.support_queries = 2  # tokens that attend over the whole support set
    c.metamodel.pairwise = True  # outgoing weights also as products with class tokens
    # Refine the estimate by gradient steps on learned examples of each class.
    c.metamodel.probes = 8  # of each class; 0: none, and no descents
    c.metamodel.descents = 8  # the last steps; each block takes one of its own before them
    c.metamodel.dtype = "float32"  # or bfloat16: of the products; parameters stay float32
    c.metamodel.remat = False  # blocks and descents anew in the backward pass: less memory
    c.metamodel.unroll = 12  # layers unrolled in the scan over layers

    # Of gpt, for which only width to heads, mlp_ratio, dtype, remat and unroll hold of the above.
    # chunk, chunk_within_layer, chunk_within_input or layer_by_layer: tokenisation.py
    c.metamodel.gpt = ConfigDict({"split": "chunk_within_layer", "chunk_size": 1000})
    c.metamodel.gpt.update({"encoder_depth": 1, "decoder_depth": 1})  # of every token
    c.metamodel.gpt.update({"n_frequencies": 128, "max_frequency_log2": 14.0})  # of scalars
    c.metamodel.gpt.absolute_metrics = True  # metrics as tokens, beside their difference
    # Not G.pt's: what is weak in it, mended. Tokens know their chunk's norm; diffusion time is
    # scaled to order 1; metrics enter as logarithms.
    c.metamodel.gpt.update({"visible_norms": False, "scaled_time": False, "log_metrics": False})

    # schedule: linear, cosine or flow; prediction: x0, eps, v, edm or flow (flow matching: both)
    c.diffusion = ConfigDict({"schedule": "linear", "steps": 1000, "prediction": "edm"})

    c.training = ConfigDict()
    c.training.steps = 1500
    c.training.regression_steps = 300  # of the deterministic twin, a baseline; 0 leaves it out
    c.training.batch_size = 64
    c.training.accumulate = 1  # parts that a batch is cut into, one after another: less memory
    c.training.learning_rate = 2e-3
    c.training.warmup_steps = 100
    c.training.weight_decay = 0.01
    c.training.beta2 = 0.99
    c.training.gradient_clip = 1.0
    c.training.ema_decay = 0.995
    c.training.schedule = "warmup_then_cosine"  # or "warmup_times_cosine", from the first step on
    c.training.ema_warmup = True  # the average looks back less far at first
    c.training.function_weight = 10.0  # of the networks' outputs beside their weights
    c.training.function_images = 64
    c.training.mix_images = True  # compare on mixtures of images, which none has learned by heart
    c.training.time_power = 0.33  # below 1: more of the training at high noise
    # What prompts speak of: train_, validation_ or test_ with loss, error (in percent), accuracy or
    # (of policies) return. Empty: what the zoo says, validation_loss of those trained here.
    c.training.metric = ""
    # start_first: pairs by their start, then their target; spacing_first: as G.pt draws them
    c.training.spacing = "start_first"
    c.training.first_start = 0.7  # share of pairs that start from an initial network
    c.training.support_min_per_class = 4  # support sets vary from here to data.support_per_class
    c.training.permute_units = False  # needed by representations that are not equivariant
    c.training.permute_labels = 0.5  # share of pairs with labels renamed at random
    c.training.drop = ConfigDict({"support": 0.1, "target_metric": 0.1, "start": 0.1})
    c.training.steps_per_dispatch = 50
    c.training.checkpoint_every = 500
    # The last ones kept, and beside them the one with the lowest loss (of a dispatch's steps).
    c.training.keep_checkpoints = 2

    # name: ddim, heun (second order: two evaluations of the model a step, but one for the last),
    # ancestral, or ancestral_large (with the forward process's variance, as in G.pt); eta: ddim's
    # share of fresh noise.
    c.sampling = ConfigDict({"name": "ddim", "steps": 5, "guidance": 1.0, "eta": 0.0})

    c.evaluation = ConfigDict()  # what each key means: mole_jax/evaluation/settings.py
    c.evaluation.starts = 4
    c.evaluation.s0_tasks = 52
    c.evaluation.prompt_count = 20
    c.evaluation.prompt_range = ()  # (best, share of the start's metric); empty: by the zoo
    c.evaluation.outside_prompts = (0.8, 0.6, 0.4)
    c.evaluation.table_prompts = (1.0, 0.5, 0.2, 0.1, 0.05)
    c.evaluation.candidates = (0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)
    c.evaluation.adam_rates = (1e-3, 3e-3, 1e-2, 3e-2)
    c.evaluation.adam_steps = 0  # 0: population.steps
    c.evaluation.curve_points = 40
    c.evaluation.soup_size = 16
    c.evaluation.noise_sigmas = (0.02, 0.05, 0.1, 0.2)
    c.evaluation.ensemble_size = 16
    c.evaluation.ensemble_tasks = 16
    c.evaluation.support_sizes = (1, 2, 4, 7)  # per class, and data.support_per_class
    c.evaluation.novelty_count = 100
    c.evaluation.sampler_batch = 64
    c.evaluation.bootstrap = 2000
    c.evaluation.targets = ConfigDict({"regret": 0.01, "score": 0.97, "r2": 0.95})
    c.evaluation.targets.update({"support_gap": 0.5, "milliseconds": 20.0, "share_of_adam": 0.0})

    if variant == "few":
        c.data.examples_per_class = (4, 32)
        c.data.imbalance = 4.0
        c.training.regression_steps = 0
    if variant == "live":
        # With what is trained along the way about as many runs as the demo's zoo has: 1,008 + 900.
        c.population.members = 4
        c.zoo.live = True
    if variant == "full":
        c.population.members = 16
        c.metamodel.layers = 3
        c.metamodel.probes = 16
        c.training.steps = 4000
        c.training.regression_steps = 3000
        c.training.warmup_steps = 200
        c.training.ema_decay = 0.998
    return c
