"""The zoo: stored training histories of many networks, `[run, snapshot, D]` on Zarr v3.

Start with `storage/schema.py`, what a zoo holds, and docs/reference/zoo_format.md, how it lies on
disk. A zoo says everything about itself: any of its runs can be trained again.

    storage/            schema, writing, reading and verifying; one atomic file is the commit
    making/             the zoo stage: populations, group by group; growing a finished zoo
    importing/          zoos of others: PyTorch checkpoints, matrices of weights
    prompt_metric.py    the metric that a prompt's target is a value of
    rebuild.py          the tasks that a zoo was made from, built again

`python -m mole_jax.zoo` has its commands. The keys are the section `zoo` of a config:
`zoo_config.py`.
"""

from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import Problem, verify

__all__ = ["Problem", "RunBatch", "Zoo", "ZooSchema", "ZooWriter", "open_zoo", "verify"]
