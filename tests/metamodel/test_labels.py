"""Every learner has a label, which is what a report calls it."""

from __future__ import annotations

from mole_jax.metamodel.labels import LABELS

from mole_jax.metamodel.meta_model import OBJECTIVES


def test_every_learner_has_a_label_and_a_sentence() -> None:
    assert set(LABELS) == set(OBJECTIVES)
    assert all(label.label and label.sentence.endswith(".") for label in LABELS.values())
