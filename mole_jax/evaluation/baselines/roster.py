"""All baselines, in the order in which they are recorded."""

from __future__ import annotations

from mole_jax.evaluation.baselines import adam_support, noise, retrieval, soup

BASELINES = (adam_support.BASELINE, retrieval.BASELINE, soup.BASELINE, noise.BASELINE)
