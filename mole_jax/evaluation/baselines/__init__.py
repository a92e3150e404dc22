"""What a meta-model must beat: ordinary training, and clever ways of copying from the zoo.

Deterministic regression, the same transformer without noise, needs no file: it is predicted by the
same code as the diffusion model.
"""
