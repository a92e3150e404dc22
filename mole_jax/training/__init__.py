"""Meta-training: a loop for any learner, and where its batches come from.

Start with `learner.py`, the seam: all that training, prediction and evaluation know of a learner.
Then `loop.py` and `step.py`. State and step number alone decide what comes next, so that a resumed
training has the bits of an uninterrupted one.

    state.py, step.py, loop.py      the state, one step as a pure function, the loop
    pairs.py, pair_source.py        pairs of a zoo: a start, a later target, a support set
    episode_source.py               episodes: new tasks with support and query sets
    data.py, feeding.py             a zoo on the device, on the host, or streamed from its files
    live.py                         a zoo whose runs are replaced during meta-training
    programs.py, estimate.py        compiled steps, and what they take, before the first one
    dry_run.py                      the same for devices that are not there

The keys are the section `training` of a config: `train_config.py`.
"""
