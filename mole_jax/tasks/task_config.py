"""The sections `data` and `network` of a config: the tasks, and the networks trained on them."""

from __future__ import annotations

import dataclasses

from mole_jax.core.program.sections import Tagged
from mole_jax.tasks.augment import NONE, Augmentation
from mole_jax.tasks.control import PREFIX
from mole_jax.tasks.networks import CONFIGS
from mole_jax.tasks.transformation import UNCHANGED, TransformShares


@dataclasses.dataclass(frozen=True)
class Pools:
    """Shares of the four disjoint image pools."""

    train: float = 0.5  # what populations are trained on
    support: float = 0.15  # what the meta-model is shown
    validation: float = 0.15  # what prompt metrics are measured on, and choices are made on
    test: float = 0.2  # what is measured, and never chosen on


@dataclasses.dataclass(frozen=True)
class MaxPerClass:
    """Limits of the pools, in images of each class."""

    train: int = 0  # of the training pool; 0: all
    support: int = 0  # of the support pool; 0: all
    validation: int = 0  # of the validation pool; 0: all
    test: int = 0  # of the test pool; 0: all


@dataclasses.dataclass(frozen=True)
class ImageDataConfig:
    """Tasks that classify images: the section `data`, where `source` is one of images."""

    # Where images come from: digits, glyphs, mnist, tfds:NAME, idx:DIR, npz:FILE, or several joined
    # by a plus, A+B; env:cartpole has no images.
    source: str = "digits"
    pools: Pools = Pools()  # shares of the four disjoint image pools
    max_per_class: MaxPerClass = MaxPerClass()  # largest numbers of images in a pool
    classes_per_subset: int = 5  # classes of a task, and outputs of a network
    # Above 0: subsets have any number of classes from this one to classes_per_subset, which is how
    # many outputs networks have. 0: all have classes_per_subset.
    fewest_classes: int = 0
    # 0: all that are not held out; there are 252 ways to take 5 of 10. With data.transform there
    # may be more: a subset then comes several times, each time transformed in another way.
    train_subsets: int = 0
    held_out_subsets: int = 52  # S1: new combinations of classes that are trained on
    # S2: data subsets of classes that are kept from training.
    held_out_classes: int = 0  # number of these classes
    unseen_class_subsets: int = 0  # number of these data subsets
    # Which classes of these data subsets are new: all, or any (at least one: then they are S2any).
    unseen_class_rule: str = "all"
    # S3: data subsets of the parts of a source A+B+C that are kept from training.
    held_out_sources: str = ""  # names of these parts, joined by a plus
    unseen_source_subsets: int = 0  # number of data subsets of each of them
    # In the source's own units, one number, or one for each channel. Empty: that of all training
    # pixels.
    pixel_mean: tuple[float, ...] = ()  # subtracted from pixels
    pixel_std: tuple[float, ...] = ()  # what pixels are divided by then
    mix_sources: bool = True  # subsets may take classes from several parts of the source
    shuffle_labels: bool = False  # labels of a subset in random order, not in the source's
    # Training examples of a subset's largest class are drawn from (low, high); (0, 0): all of them.
    # This and imbalance limit its support set, too.
    examples_per_class: tuple[int, int] = (0, 0)
    imbalance: float = 1.0  # size of the largest class over that of the smallest
    augment: Augmentation = NONE  # changes of single training images
    # Shares of training tasks whose images are all changed in one way, which makes further tasks of
    # the same classes.
    transform: TransformShares = UNCHANGED
    support_per_class: int = 10  # labelled examples of each class in a support set, at most


@dataclasses.dataclass(frozen=True)
class ControlDataConfig:
    """Tasks that are settings of an environment: the section `data`, where `source` names one."""

    source: str = "env:cartpole"  # the environment, the only one
    settings: str = "random"  # random, or default: one task with the usual parameters
    train_subsets: int = 0  # number of settings to train on
    held_out_subsets: int = 52  # number of other settings, split S1
    support_per_class: int = 10  # transitions of a support set


def _kind(source: str) -> str:
    return f"{PREFIX}:NAME" if source.partition(":")[0] == PREFIX else "images"


DATA = Tagged(
    "data.source", {"images": ImageDataConfig, f"{PREFIX}:NAME": ControlDataConfig}, _kind
)
NETWORK = Tagged("network.name", CONFIGS)
