"""What learners are called in a report, and a sentence on each."""

from __future__ import annotations

from typing import NamedTuple


class Label(NamedTuple):
    """A learner's name and what it is, for a reader."""

    label: str
    sentence: str


LABELS = {
    "diffusion": Label(
        "Diffusion",
        "A transformer over the network's weights, trained as a diffusion model on the training "
        "histories of other networks.",
    ),
    "regression": Label(
        "Regression",
        "The same transformer trained to predict the weights directly, without diffusion.",
    ),
}
