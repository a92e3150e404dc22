"""The rival without a zoo: the same transformer, trained on the loss of the networks it writes.

It never sees a trained network. Its gradient comes from the query examples of each episode, through
the network that it writes from the support set. HyperTransformer (Zhmoginov et al. 2022) and
MotherNet (Müller et al. 2023) are trained like this.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Self

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax.learners import polish, query_loss, regression
from mole_jax.learners.diffusion import Diffusion
from mole_jax.learners.polish import Polish
from mole_jax.metamodel.networks.transformer import Transformer
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes, Label, Request, Uses

# Steps that are too long make units of the network die. When step sizes learned as fast as the
# rest, all networks answered at random after 500 steps.
STEP_SCALE = 0.03
LABEL = Label(
    "End to end",
    "The same transformer trained on the loss of the networks that it writes, without a zoo.",
)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["writer"],
    meta_fields=["mesh", "parts", "polish"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class EndToEnd:
    """A noiseless meta-model that is trained on what its networks do."""

    writer: Diffusion
    mesh: Mesh | None = None  # for computing gradients
    parts: int = 1  # of a batch, one after another
    polish: Polish = polish.NONE  # of what it writes; its training does without

    name = "end_to_end"
    label = LABEL
    source = "episodes"
    writes_networks = True
    # Another start gives another network.
    uses = Uses(target_metric=False, samples=False)

    @property
    def network(self) -> Network:
        return self.writer.network

    @property
    def n_tokens(self) -> int:
        return self.writer.n_tokens

    def init(self, key: jax.Array) -> Any:
        """Return initial parameters of the module."""
        return self.writer.init(key)

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the networks' cross-entropy on the query sets."""

        def loss(theta: Any, episodes: Episodes) -> tuple[jax.Array, dict[str, jax.Array]]:
            flat = self._written(theta, episodes._replace(query=None))
            return query_loss.of_networks(self.network, flat, episodes.query)

        return query_loss.gradient(loss, theta, batch, self.mesh, self.parts)

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Write a network for every episode: [B, D]."""
        flat = self._written(theta, episodes, request.use)
        return polish.polished(self.polish, self.network, flat, episodes.support)

    def _written(
        self, theta: Any, episodes: Episodes, use: dict[str, jax.Array] | None = None
    ) -> jax.Array:
        # No metric is asked for, and that of a random start is unknown.
        some = jnp.ones(episodes.start.shape[:1])
        given = jnp.ones(some.shape, bool) if use is None else use["support"]
        start = jnp.ones(some.shape, bool) if use is None else use["start"]
        use = {"support": given, "start": start, "target_metric": jnp.zeros(some.shape, bool)}
        plain = episodes._replace(start_metric=some)
        request = Request(some, use, jnp.zeros(some.shape, bool))
        return self.writer.adapt(theta, plain, request, jax.random.key(0))

    def ready(self, fitted: Fitted, plan: Plan) -> Self:
        """Return the learner with its fitted representation; it is not sampled from."""
        return dataclasses.replace(self, writer=self.writer.ready(fitted, plan))

    @property
    def setting(self) -> dict[str, Any]:
        return {}

    def choices(self) -> tuple[Self, ...]:
        return ()

    def polished(self, steps: int) -> Self | None:
        own = self.writer.polished(steps)
        return None if own is None else dataclasses.replace(self, polish=own.polish)

    def on(self, mesh: Mesh, parts: int) -> Self:
        return dataclasses.replace(self, writer=self.writer.on(mesh, 1), mesh=mesh, parts=parts)

    def check_mesh(self, mesh: Mesh) -> None:
        self.writer.check_mesh(mesh)

    def without_remat(self) -> Self | None:
        writer = self.writer.without_remat()
        return None if writer is None else dataclasses.replace(self, writer=writer)


def of(main: Diffusion) -> EndToEnd:
    """Return the rival of a diffusion learner."""
    writer = regression.of(main)
    module = writer.model.module
    assert isinstance(module, Transformer)  # G.pt, which sees no support set, is refused
    shape = dataclasses.replace(module.shape, step_scale=STEP_SCALE * module.shape.step_scale)
    model = dataclasses.replace(writer.model, module=module.clone(shape=shape))
    return EndToEnd(dataclasses.replace(writer, model=model, uses=writer.uses._replace(best=False)))
