"""The diffusion learner: a transformer over a network's tokens that denoises weights.

Peebles et al. 2022 (G.pt) train the same objective on pairs of a run: from a start to a later
snapshot, conditioned on the metric that was reached.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax.learners import denoising
from mole_jax.metamodel import meta_model
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.networks import sharding
from mole_jax.metamodel.process import sampler
from mole_jax.metamodel.process.prompt import Prompt, everything
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network
from mole_jax.training import microbatch
from mole_jax.training.learner import EVERYTHING, Episodes, Label, Request, Uses
from mole_jax.training.pairs import Pairs
from mole_jax.training.train_config import TrainConfig


class Objective(NamedTuple):
    """What is minimised: choices of `config.training`."""

    function_weight: float  # of the networks' outputs beside their weights
    time_power: float  # below 1: more of the training at high noise


LABEL = Label(
    "Diffusion",
    "A transformer over the network's weights, trained as a diffusion model on the training "
    "histories of other networks.",
)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["normaliser"],
    meta_fields=["model", "objective", "plan", "shots", "name", "label", "uses", "mesh", "parts"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Diffusion:
    """A meta-model, what it is trained for, and how it is sampled from."""

    normaliser: Normaliser
    model: MetaModel
    objective: Objective
    plan: Plan
    shots: int  # support examples of each class, at most
    name: str = "diffusion"
    label: Label = LABEL
    uses: Uses = EVERYTHING
    mesh: Mesh | None = None  # that gradients are computed on
    parts: int = 1  # of a batch, one after another

    source = "pairs"

    @property
    def network(self) -> Network:
        return self.model.network

    @property
    def n_tokens(self) -> int:
        return self.model.n_tokens

    def init(self, key: jax.Array) -> Any:
        """Initial parameters of the module."""
        network, (length, channels) = self.model.network, self.model.codec.table.shape
        n = network.n_classes * self.shots
        support = Examples(
            jnp.zeros((1, n, network.example_size)),
            jnp.zeros((1, n), jnp.int32),
            jnp.zeros((1, n), bool),
        )
        one, start = jnp.zeros((1,)), jnp.zeros((1, length, channels))
        prompt = Prompt(start, one, one, support, everything(1))
        normaliser = Normaliser(*3 * (jnp.ones(network.spec.size),))
        frame = self.model.frame(normaliser, start, jnp.zeros((1,), jnp.int32), prompt)
        return self.model.module.init(key, frame, prompt)["params"]

    def gradient(
        self, theta: Any, batch: Pairs, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """The gradient of the denoising loss at random times, and the parts of the loss."""
        pairs = denoising.encoded(self.model, batch)
        noise = denoising.draw_noise(self.model, len(batch.target), key, self.objective.time_power)
        pairs, noise = sharding.split_batch((pairs, noise), self.mesh)

        def of(part: tuple[Pairs, denoising.Noise]) -> tuple[Any, dict[str, jax.Array]]:
            def loss(theta: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
                if self.mesh is not None:
                    theta = sharding.gathered(theta, self.mesh)
                weight = self.objective.function_weight
                return denoising.loss(self.model, self.normaliser, theta, *part, weight)

            (_, parts), grads = jax.value_and_grad(loss, has_aux=True)(theta)
            return grads, parts

        found: tuple[Any, dict[str, jax.Array]] = microbatch.mean(
            of, (pairs, noise), self.parts, self.mesh
        )
        return found

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Sample a network for every episode: [B, D]."""
        tokens = self.model.codec.encode(self.normaliser.normalise(episodes.start))
        prompt = Prompt(tokens, episodes.start_metric, request.target_metric, episodes.support,
                        request.use)  # fmt: skip
        found = sampler.sample(self.model, self.plan, theta, self.normaliser, prompt, key)
        return self.model.networks(self.normaliser, found)

    def on(self, mesh: Mesh, parts: int) -> Self:
        return dataclasses.replace(self, model=self.model.on(mesh), mesh=mesh, parts=parts)

    def check_mesh(self, mesh: Mesh) -> None:
        self.model.module.shape.check_tensor(mesh.shape["tensor"])

    def without_remat(self) -> Self | None:
        module = self.model.module
        if not module.shape.remat:
            return None
        plain = module.clone(shape=dataclasses.replace(module.shape, remat=False))
        return dataclasses.replace(self, model=dataclasses.replace(self.model, module=plain))


def build(
    config: Mapping[str, Any], network: Network, normaliser: Normaliser, plan: Plan
) -> Diffusion:
    """Build the learner of a config.

    Raises:
        UserError: for anything in `representation`, `metamodel`, `diffusion` or `training` that
            cannot be.
    """
    model = meta_model.build(config, network)
    shots = config["data"]["support_per_class"]
    train = TrainConfig.of(config)
    objective = Objective(train.function_weight, train.time_power)
    return Diffusion(normaliser, model, objective, plan, shots)
