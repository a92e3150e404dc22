"""The meta-model: a conditional diffusion transformer over the tokens of a network."""
