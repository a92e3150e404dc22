"""Judging generated networks: statistics, novelty and baselines on held-out tasks."""
