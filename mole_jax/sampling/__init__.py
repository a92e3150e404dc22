"""Sampling: from prompts to networks."""
