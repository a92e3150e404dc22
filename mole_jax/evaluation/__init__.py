"""Judging learners on held-out tasks.

In floors: `harness/` is what measures run in, `baselines/` are ways of making networks without
meta-training, `measures/` own what they compute, record and draw, and the files here run them. What
a measure is, and how to add one: `harness/measure.py`.
"""
