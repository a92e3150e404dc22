"""Judging learners on held-out tasks.

From the ground floor up: `harness/` is what measures run in, `baselines/` make networks without
meta-training, `measures/` own what they compute, record and draw, and the files here run them.
`harness/measure.py` says what a measure is and how to add one.
"""
