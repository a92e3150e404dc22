"""Learners: what turns a support set, a start and a prompt into networks. One file a learner.

The seam is `training.learner.Learner`: `init`, `gradient`, `adapt`, and what a learner uses. Start
with `end_to_end.py`, the shortest; `diffusion.py` is the main one.

    diffusion.py, denoising.py    the diffusion transformer over weights, and its loss
    regression.py                 the same without noise: the ablation
    end_to_end.py                 the same transformer without a zoo
    gpt.py                        G.pt as published
    ancestors/                    MAML, Reptile, L2L, readers, evolved rules: no zoo needed
    registry.py                   which there are, and which of them a config trains
    meta_training.py              the train stage
    stored.py, answers.py         trained learners, read and asked

To add one: a file here with `build`, and a line in `registry.py`. Those that need no zoo are in
`ancestors/`, each with a section in `learners_config.py`.
"""
