"""The stored training histories of many networks: `[run, snapshot, D]` on Zarr v3."""

from mole_jax.zoo.reader import Zoo, open_zoo
from mole_jax.zoo.schema import RunBatch, ZooSchema
from mole_jax.zoo.store import ZooWriter
from mole_jax.zoo.verify import Problem, verify

__all__ = ["Problem", "RunBatch", "Zoo", "ZooSchema", "ZooWriter", "open_zoo", "verify"]
