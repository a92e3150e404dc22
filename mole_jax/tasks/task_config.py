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

    train: float = 0.5
    support: float = 0.15
    validation: float = 0.15
    test: float = 0.2


@dataclasses.dataclass(frozen=True)
class MaxPerClass:
    """Limits of the pools."""

    train: int = 0
    support: int = 0
    validation: int = 0
    test: int = 0


@dataclasses.dataclass(frozen=True)
class ImageDataConfig:
    """The section `data` of a config whose tasks are about images."""

    source: str = "digits"  # or glyphs, mnist, tfds:NAME, idx:DIR, npz:FILE, A+B, env:cartpole
    pools: Pools = Pools()  # shares of the four disjoint image pools
    max_per_class: MaxPerClass = MaxPerClass()  # caps a pool, 0 does not
    classes_per_subset: int = 5
    # Above 0: subsets have any number of classes from this one to classes_per_subset, which is how
    # many outputs networks have. 0: all have classes_per_subset.
    fewest_classes: int = 0
    # 0: all that are not held out; there are 252 ways to take 5 of 10. With data.transform there
    # may be more: a subset then comes several times, each time transformed in another way.
    train_subsets: int = 0
    held_out_subsets: int = 52  # of them S1: new combinations of classes that are trained on
    # S2: classes kept from training, and subsets of them.
    held_out_classes: int = 0
    unseen_class_subsets: int = 0
    unseen_class_rule: str = "all"  # classes of such a subset are new; or any: at least one (S2any)
    # S3: of a source A+B+C, the parts kept from training, and subsets of the classes of each.
    held_out_sources: str = ""
    unseen_source_subsets: int = 0
    # Of pixels, in the source's own units: one number, or one for each channel. Empty: those of
    # all pixels that are trained on.
    pixel_mean: tuple[float, ...] = ()
    pixel_std: tuple[float, ...] = ()
    mix_sources: bool = True  # subsets may take classes from several parts of the source
    shuffle_labels: bool = False  # labels of a subset in random order, not in the source's
    # These two limit a subset's support set, too.
    examples_per_class: tuple[int, int] = (0, 0)  # of its largest class, (low, high); (0, 0): all
    imbalance: float = 1.0  # how many times as many as of its smallest class
    augment: Augmentation = NONE  # of training images
    # Of all images of a task alike, which makes further tasks of the same classes.
    transform: TransformShares = UNCHANGED
    support_per_class: int = 10


@dataclasses.dataclass(frozen=True)
class ControlDataConfig:
    """The section `data` of a config whose tasks are settings of an environment."""

    source: str = "env:cartpole"
    settings: str = "random"  # of the environment; default: one task, as it is usually set
    train_subsets: int = 0  # settings to train on
    held_out_subsets: int = 52  # S1: other settings
    support_per_class: int = 10  # transitions


def _kind(source: str) -> str:
    return f"{PREFIX}:NAME" if source.partition(":")[0] == PREFIX else "images"


DATA = Tagged(
    "data.source", {"images": ImageDataConfig, f"{PREFIX}:NAME": ControlDataConfig}, _kind
)
NETWORK = Tagged("network.name", CONFIGS)
