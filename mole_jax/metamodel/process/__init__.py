"""The diffusion process, its conditioning and its samplers."""
