"""The stored training histories of many networks: `[run, snapshot, D]` on Zarr v3."""

from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import Problem, verify

__all__ = ["Problem", "RunBatch", "Zoo", "ZooSchema", "ZooWriter", "open_zoo", "verify"]
