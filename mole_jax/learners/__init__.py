"""Learners: what turns a support set, a start and a prompt into networks. One file a learner.

The seam is `training.learner.Learner`. To add one: a file here with `build`, and a line in
`registry.py`. Those that need no zoo are in `ancestors/`, each with a section in
`learners_config.py`.
"""
