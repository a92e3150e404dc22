"""The diffusion learner: a transformer over a network's tokens that denoises weights.

Peebles et al. 2022 (G.pt) use the same objective: pairs from one run, a start and a later snapshot,
conditioned on the metric that was reached.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.learners import denoising, guidance, polish
from mole_jax.learners.polish import Polish
from mole_jax.metamodel import meta_model, metamodel_config
from mole_jax.metamodel.layers import features
from mole_jax.metamodel.meta_model import MetaModel, Module
from mole_jax.metamodel.networks import sharding
from mole_jax.metamodel.networks.probing import OnlyShapes
from mole_jax.metamodel.networks.transformer import Transformer
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.prompt import Prompt, everything
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs, sizes
from mole_jax.training import microbatch
from mole_jax.training.learner import EVERYTHING, Episodes, Label, Request, Uses
from mole_jax.training.pairs import Pairs
from mole_jax.training.train_config import TrainConfig


class Objective(NamedTuple):
    """What is minimised: choices of `config.training`."""

    function_weight: float  # weight of the loss on outputs, next to that on weights
    time_power: float  # below 1: more of the training at high noise


MakeModule = Callable[[Process], Module]
LABEL = Label(
    "Diffusion",
    "A transformer over the network's weights, trained as a diffusion model on the training "
    "histories of other networks.",
)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["model"],
    meta_fields=[
        *("objective", "plan", "shots", "name", "label", "uses", "mesh", "parts", "polish"),
    ],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Diffusion:
    """A meta-model, what it is trained for, and how it is sampled from."""

    model: MetaModel
    objective: Objective
    plan: Plan
    shots: int  # support examples of each class, at most
    name: str = "diffusion"
    label: Label = LABEL
    uses: Uses = EVERYTHING
    mesh: Mesh | None = None  # for computing gradients
    parts: int = 1  # of a batch, one after another
    polish: Polish = polish.NONE  # of what it writes

    source = "pairs"
    writes_networks = True

    @property
    def network(self) -> Network:
        return self.model.network

    @property
    def n_tokens(self) -> int:
        return self.model.n_tokens

    def init(self, key: jax.Array) -> Any:
        """Return initial parameters of the module."""
        network, (length, channels) = self.model.network, self.model.shape
        n = network.n_classes * self.shots
        support = Examples(
            jnp.zeros((1, n, network.example_size)),
            jnp.zeros((1, n), jnp.int32),
            jnp.zeros((1, n), bool),
        )
        one, start = jnp.zeros((1,)), jnp.zeros((1, length, channels))
        best = jnp.zeros((1,), bool) if self.uses.best else None
        prompt = Prompt(start, one, one, support, everything(1), best)
        # Only the shapes of the fitted arrays matter, and they may be shapes.
        own = jax.tree.map(lambda x: jnp.ones(x.shape), self.model.representation)
        model = dataclasses.replace(self.model, representation=own)
        of = model.denoising(start, one, prompt)
        gradients = OnlyShapes(model.process, model.network)
        return model.module.init(key, of, prompt, gradients)["params"]

    def gradient(
        self, theta: Any, batch: Pairs, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the denoising loss at random times, and the parts of the loss."""
        pairs = denoising.encoded(self.model, batch)
        noise = denoising.draw_noise(self.model, len(batch.target), key, self.objective.time_power)
        pairs, noise = sharding.shard_batch((pairs, noise), self.mesh)

        def of(part: tuple[Pairs, denoising.Noise]) -> tuple[Any, dict[str, jax.Array]]:
            def loss(theta: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
                if self.mesh is not None:
                    theta = sharding.gathered(theta, self.mesh)
                weight = self.objective.function_weight
                return denoising.loss(self.model, theta, *part, weight)

            (_, parts), grads = jax.value_and_grad(loss, has_aux=True)(theta)
            return grads, parts

        found: tuple[Any, dict[str, jax.Array]] = microbatch.mean(
            of, (pairs, noise), self.parts, self.mesh
        )
        return found

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Sample a network for every episode, [B, D], with zeros for absent classes and units."""
        # One support set may be for all networks; its encoding is computed once for all estimates.
        given = episodes.support, self.model.show(theta, episodes.support)
        batch = episodes.start.shape[:1]
        support, shown = jax.tree.map(lambda x: jnp.broadcast_to(x, batch + x.shape[1:]), given)
        n_classes = support.n_classes
        start = fewer_outputs.emptied(self.network, episodes.start, n_classes)
        start = self.model.representation.tokens(start)
        metrics = episodes.start_metric, request.target_metric
        best = request.best if self.uses.best else None
        prompt = Prompt(start, *metrics, support, request.use, best, shown)
        found = guidance.sample(self.model, self.plan, theta, prompt, key)
        flat = self.model.representation.parameters(found)
        flat = fewer_outputs.emptied(self.network, flat, n_classes)
        if self.network.frame is not None:
            flat = jnp.where(sizes.there(self.network, episodes.start), flat, 0.0)
        return polish.polished(self.polish, self.network, flat, episodes.support)

    def ready(self, fitted: Fitted, plan: Plan) -> Self:
        """Return the learner with its fitted representation and a sampling plan."""
        tokens = self.model.representation.with_fitted(fitted)
        return dataclasses.replace(
            self, model=dataclasses.replace(self.model, representation=tokens), plan=plan
        )

    @property
    def setting(self) -> dict[str, Any]:
        return {}

    def choices(self) -> tuple[Self, ...]:
        return ()  # prompts are chosen elsewhere

    def polished(self, steps: int) -> Self | None:
        module = self.model.module
        if not self.network.classifies or not isinstance(module, Transformer):
            return None
        own = Polish(steps, module.shape.support_warps) if steps else polish.NONE
        return dataclasses.replace(self, polish=own)

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
    config: Mapping[str, Any],
    network: Network,
    fitted: Fitted,
    plan: Plan,
    make: MakeModule | None = None,
) -> Diffusion:
    """Build the learner of a config.

    Args:
        config: the experiment.
        network: the architecture that the learner answers with.
        fitted: what was fitted for its representation.
        plan: how the learner samples.
        make: makes another module than this learner's own.

    Raises:
        UserError: for invalid values in `representation`, `metamodel`, `diffusion` or `training`.
    """
    make = make or functools.partial(_transformer, config, network)
    train = TrainConfig.of(config)
    return Diffusion(
        meta_model.build(config, network, fitted, make),
        Objective(train.function_weight, train.time_power),
        plan,
        config["data"]["support_per_class"],
        uses=EVERYTHING._replace(best=compat.get(config, "training.best_prompts") > 0),
    )


def _transformer(config: Mapping[str, Any], network: Network, process: Process) -> Transformer:
    shape = metamodel_config.shape_of(config)
    shape.check()
    features.check(shape.features, network.input_shape)
    most = config["data"]["support_per_class"]
    if shape.support_probes > most:
        raise UserError(
            f"metamodel.support_probes={shape.support_probes} is more than the "
            f"data.support_per_class={most} examples of each class; lower it"
        )
    if shape.support_probes and not network.classifies:
        raise UserError(
            f"metamodel.support_probes={shape.support_probes} needs labelled examples, but "
            f"network.name={network.name!r} has none; set it to 0"
        )
    if shape.support_warps and len(network.input_shape) != 3:
        raise UserError(
            f"metamodel.support_warps={shape.support_warps} moves images, but "
            f"network.name={network.name!r} sees {network.input_shape}; set it to 0"
        )
    if shape.pairwise and not network.classifies:
        raise UserError(
            f"metamodel.pairwise joins outputs to classes, but network.name={network.name!r} has "
            "no classes; set it to False"
        )
    return Transformer(
        shape,
        process,
        n_classes=network.n_classes,
        input_shape=network.input_shape,
        n_targets=0 if network.classifies else network.n_outputs,
    )
