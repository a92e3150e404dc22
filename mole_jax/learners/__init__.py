"""Learners: what turns a support set, a start and a prompt into networks. One file a learner.

The seam is `training.learner.Learner`. To add one: a file here with `build`, and a line in
`registry.py`.
"""
