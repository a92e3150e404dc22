"""What is compared: experiments, media, and the switches that they are crossed with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Medium(NamedTuple):
    """How networks are represented, as changes of a config."""

    label: str
    changes: Mapping[str, Any]
    follows: bool = False  # it is nothing without gradients on probes


# A representation that knows units by their numbers has to learn that these mean nothing.
_NUMBERED = {"training.permute_units": True}
# What leaves the span of the training networks is lost: so nothing is moved before it is encoded.
_AS_STORED = {"training.permute_units": False, "training.permute_labels": 0.0}
MEDIA: dict[str, Medium] = {
    "cut": Medium("chunks of the whole network", {"representation.name": "cut", **_NUMBERED}),
    "chunk": Medium("chunks of a tensor", {"representation.name": "chunk", **_NUMBERED}),
    "neuron": Medium("units", {}),
    "aligned": Medium("units in one basis", {"representation.align": True}),
    "cut_aligned": Medium(
        "chunks of the whole network, one basis",
        {"representation.name": "cut", "representation.align": True},
    ),
    "weight": Medium(
        "single weights, their graph",
        {"representation.name": "weight", "training.accumulate": 4},  # or attention fills memory
    ),
    "autoencoder": Medium("latents of an auto-encoder", {"representation.name": "autoencoder"}),
    "pca": Medium(
        "principal components, one basis",
        {"representation.name": "pca", "representation.align": True, **_AS_STORED},
    ),
    "probes": Medium("probes alone", {"metamodel.writes": False}, follows=True),
    # From the mean network, since a network that is all noise says nothing: what MAML does.
    "probes_aligned": Medium(
        "probes alone, one basis",
        {"metamodel.writes": False, "representation.align": True},
        follows=True,
    ),
}
PARAMETRISATIONS: dict[str, Mapping[str, Any]] = {
    "edm": {},
    "x0": {"diffusion.prediction": "x0"},
    "eps": {"diffusion.prediction": "eps"},
    "v": {"diffusion.prediction": "v"},
    "flow": {"diffusion.prediction": "flow", "diffusion.schedule": "flow"},
    "regression": {},  # no noise, and one answer
}
PARAMETRISED = ("aligned", "neuron")  # the media that they are tried with
# Steps of the sampler: those that read off the noise cannot answer from pure noise in one.
_SEVERAL = {"sampling.steps": 10}


class Experiment(NamedTuple):
    """A config, and what is changed of it for all media."""

    config: str
    changes: Mapping[str, Any]
    components: int  # of latents, an eighth of the parameters or so
    media: tuple[str, ...] = tuple(MEDIA)


_SMALL = tuple(name for name in MEDIA if name != "weight")
EXPERIMENTS: dict[str, Experiment] = {
    # Single weights are for small networks: the 1,125 of this one take 10 s a step on two cores.
    "mlp": Experiment("digits_mlp.py", {}, 136, _SMALL),
    "cnn": Experiment(
        "digits_mlp.py",
        {"network.name": "cnn", "network.channels": (6, 10), "network.strides": (1, 2)},
        128,
        _SMALL,
    ),
    "vit": Experiment("vit_tiny.py:cpu", {"population.shared_start": False}, 512, _SMALL),
    "cartpole": Experiment("cartpole.py:cpu", {"population.shared_start": False}, 34),
    "glyphs": Experiment("glyphs_mlp.py", {"metamodel.mixing": 0}, 272, _SMALL),
    # How media grow: D = 4,485, 17,925 and 71,685.
    **{
        f"mlp-{hidden}": Experiment(
            "digits_mlp.py",
            {"network.hidden": (hidden,), "population.members": 4},
            max(512, 2 * hidden),
            ("chunk", "neuron", "aligned", "autoencoder", "pca", "probes"),
        )
        for hidden in (64, 256, 1024)
    },
}


class Cell(NamedTuple):
    """One training of the study."""

    experiment: str
    medium: str
    follows: bool  # gradients on probes, in the blocks and as inner steps
    shared_start: bool
    parametrisation: str
    seed: int

    @property
    def name(self) -> str:
        """Return what its files are called."""
        return f"{self.without_seed}-{self.seed}"

    @property
    def without_seed(self) -> str:
        """Return what is alike for all seeds."""
        switches = (
            f"{'probes' if self.follows else 'plain'}-{'shared' if self.shared_start else 'own'}"
        )
        return f"{self.experiment}-{self.medium}-{switches}-{self.parametrisation}"


# What is asked: of media, of media without gradients on probes, and of one switch at a time.
QUESTIONS = ("media", "plain", "parametrisations", "starts")


def all_of(experiment: str, seed: int, questions: Sequence[str] = QUESTIONS) -> Iterator[Cell]:
    """Give the cells of an experiment, question by question."""
    base = Cell(experiment, "neuron", True, False, "edm", seed)
    media = EXPERIMENTS[experiment].media
    if "media" in questions:
        for medium in media:
            yield base._replace(medium=medium)
    if experiment.startswith("mlp-"):  # they ask how media grow, and nothing else
        return
    if "plain" in questions:
        for medium in media:
            if not MEDIA[medium].follows:
                yield base._replace(medium=medium, follows=False)
    if "parametrisations" in questions:
        for medium in PARAMETRISED:
            for parametrisation in PARAMETRISATIONS:
                if parametrisation != base.parametrisation:
                    yield base._replace(medium=medium, parametrisation=parametrisation)
    if "starts" in questions:
        for medium in ("chunk", "neuron", "pca"):
            yield base._replace(medium=medium, shared_start=True)


def changes(cell: Cell) -> dict[str, Any]:
    """Return what a cell changes of its experiment's config, widths and steps apart."""
    own = EXPERIMENTS[cell.experiment]
    found = {
        "seed": cell.seed,
        **own.changes,
        "representation.components": own.components,
        "population.shared_start": cell.shared_start,
        "representation.align": False,
        **MEDIA[cell.medium].changes,
        **PARAMETRISATIONS[cell.parametrisation],
        "training.end_to_end_steps": 0,
        "evaluation.measures": ("prompt_following", "novelty", "learner_costs"),
        "evaluation.shots": (),
        "evaluation.novelty_count": 64,
    }
    if cell.shared_start:  # runs are in one basis then
        found |= {"representation.align": False, "training.permute_units": False}
    if cell.experiment == "cartpole":
        found["training.permute_labels"] = 0.0
    if not cell.follows:
        found |= {"metamodel.probes": 0, "metamodel.support_probes": 0, "metamodel.inner_steps": 0}
    if cell.parametrisation in ("eps", "v", "flow"):
        found |= _SEVERAL
    return found
