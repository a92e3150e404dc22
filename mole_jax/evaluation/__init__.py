"""Judging learners on held-out tasks.

Start with `evaluate.py`, the stage, and `harness/measure.py`: what a measure is, and how to add
one. Every learner and every baseline faces the same episodes: tasks, starts and support sets.

    harness/        what measures run in: context, episodes, prediction, scoring, statistics
    baselines/      ways of making networks without meta-training: Adam, retrieval, soup, noise
    measures/       one file each: what it computes, records and gives to figures
    selection.py    all measures, and which of them a config selects
    targets.py      the targets that a config sets, and whether they are reached

Nothing is chosen on a held-out split: what has to be tuned is tuned on training tasks. The keys are
the section `evaluation` of a config: `harness/evaluation_config.py`.
"""
