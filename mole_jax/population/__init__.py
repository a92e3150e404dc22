"""Populations: many networks trained at once on device.

Start with `member.py`: the training of one network as a pure function of keys, task and
hyperparameters. `engine.py` vmaps it over members, runs blocks of them side by side and shares them
between devices; results do not depend on how.

    member.py, ppo.py      one member: supervised, and a policy by PPO; both have one signature
    recipes.py             which of them an experiment uses, and its snapshots
    subset_runs.py         which runs a config asks for: data subsets x members
    hyperparameters.py     what may differ between members, and how it is drawn
    optimizer.py           update rules whose hyperparameters are arrays
    autotune.py            how many members at once are fastest here: measured once, and kept

The keys are the section `population` of a config: `population_config.py`.
"""
