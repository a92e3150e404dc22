"""Learners: what turns a support set, a start and a prompt into networks. One file a learner.

The interface is `training.learner.Learner`. To add one: a file here with `build`, and a line in
`registry.py`. Learners that need no zoo are in `ancestors/`, each with a section in
`learners_config.py`.
"""
