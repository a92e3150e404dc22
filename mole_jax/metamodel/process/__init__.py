"""The diffusion process, what it is conditioned on, and its samplers."""
