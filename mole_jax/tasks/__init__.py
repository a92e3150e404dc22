"""Tasks: data sources, image pools, data subsets, and the networks trained on them.

Start with `family.py`, which is all that the other floors know of an experiment's tasks; it has two
kinds, `images.py` (classify some classes of a data set) and `control.py` (act in an environment).

    sources/         where images come from; to add one: a file and a line in its __init__.py
    networks/        target networks and their symmetries; the same
    environments/    control problems; the same
    subsets.py       which classes form a task, and which tasks are held out (S1, S2, S3)
    pools.py         four disjoint pools of images: train, support, validation, test
    transform*.py    further tasks of the same classes: images that are turned, inverted, permuted
    examples.py      labelled examples as arrays: what networks train on, and support sets
    parameters.py    a network's parameters as a vector of D numbers, and back

The keys are the sections `data` and `network` of a config: `task_config.py`.
"""
