"""The public interface: from a trained workdir and a support set to networks.

model = mole_jax.load("runs/digits")
nets = model.predict(x_support, y_support, target_loss=0.1, n=8, key=jax.random.key(0))
logits = nets.apply(x)
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import files, rng, stages
from mole_jax.core.errors import UserError
from mole_jax.metamodel import train
from mole_jax.metamodel.model import MetaModel
from mole_jax.metamodel.prompt import CONDITIONS, Prompt
from mole_jax.population import member
from mole_jax.representation.normalise import Normaliser
from mole_jax.sampling import sampler
from mole_jax.sampling.sampler import Plan
from mole_jax.tasks import control, networks
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.environments import Environment
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.prompt_metric import PromptMetric
from mole_jax.zoo.reader import open_zoo

# Where the network is described in a workdir without a zoo: one whose meta-model was imported.
IMPORTED_NETWORK = Path("train") / "network.json"
# Support sets are padded to a multiple of this, so that a few sizes share one compiled sampler.
SUPPORT_MULTIPLE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Networks:
    """n predicted networks, and what is known of them."""

    params: dict[str, Any]  # leaves [n, *shape]
    # [n] on the support set, in what prompts speak of: mostly the loss in nats. None of policies.
    predicted_metric: jax.Array | None
    network: Network
    description: dict[str, Any]  # of that network, as `tasks.networks.from_json` takes it
    _standardise: tuple[float | np.ndarray, float | np.ndarray]

    def apply(self, x: Any) -> jax.Array:
        """Outputs of every network: inputs [m, ...] on the source's own scale -> [n, m, K].

        Logits of images; of a policy what `mole_jax.tasks.networks.policy` says, of observations.
        """
        scale, shift = (jnp.asarray(s).reshape(1, -1) for s in self._standardise)
        inputs = jnp.asarray(x, jnp.float32).reshape(len(x), -1) * scale + shift
        return jax.vmap(self.network.apply, in_axes=(0, None))(self.params, inputs)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A trained meta-model, ready to predict."""

    metamodel: MetaModel
    params: Any
    normaliser: Normaliser
    plan: Plan
    standardise: tuple[float | np.ndarray, float | np.ndarray]  # pixels * scale + shift
    start_loss: float  # median of the zoo's starts, in what prompts speak of
    metric: PromptMetric  # what that is
    environment: Environment | None  # of policies
    description: dict[str, Any]  # of the network that it writes, for `tasks.networks.from_json`

    def predict(
        self,
        x_support: Any,
        y_support: Any = None,
        *,
        target_loss: float | None = None,
        target_return: float | None = None,
        n: int = 1,
        key: jax.Array,
        start: Any = None,
        start_loss: float | None = None,
        rounds: int = 1,
    ) -> Networks:
        """Predict networks for a task, given some of its examples.

        Args:
            x_support: images [m, ...], pixels on the source's own scale, any m >= 1. Of an
                environment transitions [m, O + A + O]: observation, action, next observation.
            y_support: labels [m], integers in 0..K-1; none of an environment.
            target_loss: the loss asked for, in nats, on unseen examples of the subset; where the
                model was trained with another `training.metric`, that metric, such as percent.
            target_return: for policies, the mean return asked for, in its place.
            n: how many networks.
            key: PRNG key; draws the starts and the noise.
            start: parameters to update from (leaves [*shape], or [n, *shape]); fresh random
                initialisations where it is None.
            start_loss: the start's loss, where you know it. By default that on the support set; of
                policies that of a fresh one.
            rounds: recursive prompting - each further round starts from the last one's networks.

        Returns:
            n networks. `predicted_metric` is their loss on the support set, where it has labels.

        Raises:
            UserError: for inputs that do not fit the model.
        """
        target_loss = self._target(target_loss, target_return)
        labelled = self.environment is None
        support = self._support(x_support, y_support) if labelled else self._seen(x_support)
        if n < 1 or rounds < 1:
            raise UserError(f"n={n} and rounds={rounds} must be 1 or more")
        if rounds > 1 and not labelled:
            raise UserError(
                f"rounds={rounds}: a policy's return has to be measured between rounds; predict "
                "again with its params as start and 1 - return / horizon as start_loss"
            )
        flat = self._starts(start, n, rng.named(key, "starts"))
        if start_loss is not None or not labelled:
            given = self.start_loss if start_loss is None else start_loss
            loss = jnp.full((n,), given, jnp.float32)
        else:
            loss = self._measured(flat, support)
        target = jnp.full((n,), target_loss, jnp.float32)
        for i in range(rounds):
            flat = generate(
                self.metamodel,
                self.plan,
                self.params,
                self.normaliser,
                starts=flat,
                start_metric=loss,
                target_metric=target,
                support=jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), support),
                key=rng.at(key, "noise", i),
            )
            if labelled:
                loss = self._measured(flat, support)
        network = self.metamodel.network
        metric = loss if labelled else None
        params = network.spec.unflatten(flat)
        return Networks(params, metric, network, self.description, self.standardise)

    def _target(self, loss: float | None, reward: float | None) -> float:
        if (loss is None) == (reward is None):
            raise UserError("give one of target_loss and target_return")
        if reward is None:
            assert loss is not None
            if not 0 <= loss < np.inf:
                what = "nats" if self.metric.kind == "loss" else self.metric.words
                raise UserError(f"target_loss={loss} must be a number of {what}, 0 or more")
            return loss
        if self.environment is None:
            raise UserError("target_return is for policies: give target_loss")
        horizon = self.environment.horizon
        if not 0 <= reward <= horizon:
            raise UserError(f"target_return={reward} must lie in 0..{horizon}")
        return reward if self.metric.kind == "return" else 1 - reward / horizon

    def _measured(self, flat: jax.Array, support: Examples) -> jax.Array:
        """What prompts speak of, of networks [n, D] on a support set: [n]."""
        loss, accuracy = _quality(self.metamodel.network, flat, support)
        return self.metric.of_measured(loss, accuracy, 1.0)

    def _seen(self, x: Any) -> Examples:
        """A support set of transitions."""
        assert self.environment is not None
        size = self.metamodel.network.example_size
        try:
            x = np.asarray(x, np.float32)
        except (TypeError, ValueError) as error:
            raise UserError(f"support set: it cannot be read as an array: {error}") from error
        if x.ndim != 2 or not len(x) or x.shape[1] != size:
            raise UserError(
                f"support set: transitions {x.shape} do not fit; expected m of {size} numbers: "
                "observation, action, next observation"
            )
        if not np.isfinite(x).all():
            raise UserError("support set: a transition holds NaN or infinity")
        seen = np.asarray(control.features(self.environment, x))
        return _padded(seen, np.zeros(len(x), np.int32))

    def _support(self, x: Any, y: Any) -> Examples:
        try:
            x, y = np.asarray(x, np.float32), np.asarray(y)
        except (TypeError, ValueError) as error:
            raise UserError(f"support set: it cannot be read as arrays: {error}") from error
        n_inputs, n_classes = self.metamodel.network.n_inputs, self.metamodel.network.n_outputs
        fits = x.ndim > 1 and y.ndim == 1 and len(x) == len(y) > 0 and x[0].size == n_inputs
        if not fits:
            raise UserError(
                f"support set: images {x.shape} and labels {y.shape} do not fit; expected m images "
                f"of {n_inputs} pixels and m labels"
            )
        if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= n_classes:
            raise UserError(f"support set: labels must be integers in 0..{n_classes - 1}")
        if not np.isfinite(x).all():
            raise UserError("support set: an image holds NaN or infinity")
        scale, shift = self.standardise
        return _padded(x.reshape(len(x), -1) * scale + shift, y)

    def _starts(self, start: Any, n: int, key: jax.Array) -> jax.Array:
        network = self.metamodel.network
        if start is None:
            init = jax.vmap(
                lambda k: network.spec.flatten(member.initial(network, k, jnp.float32(1.0)))
            )
            return init(jax.random.split(key, n))
        try:
            flat = network.spec.flatten(jax.tree.map(jnp.asarray, start))
            flat = jnp.broadcast_to(flat, (n, network.spec.size))
        except (ValueError, AttributeError, TypeError) as error:
            raise UserError(f"start: {error}") from error
        if not np.isfinite(flat).all():
            raise UserError("start: a parameter is NaN or infinity")
        return flat


def _padded(inputs: np.ndarray, labels: np.ndarray) -> Examples:
    """Examples [m, F] filled up to the next multiple of SUPPORT_MULTIPLE."""
    m = len(inputs)
    more = -m % SUPPORT_MULTIPLE
    return Examples(
        jnp.pad(jnp.asarray(inputs, jnp.float32), ((0, more), (0, 0))),
        jnp.pad(jnp.asarray(labels, jnp.int32), (0, more)),
        jnp.arange(m + more) < m,
    )


def generate(
    metamodel: MetaModel,
    plan: Plan,
    params: Any,
    normaliser: Normaliser,
    *,
    starts: jax.Array,
    start_metric: jax.Array,
    target_metric: jax.Array,
    support: Examples,
    key: jax.Array,
    use: dict[str, jax.Array] | None = None,
) -> jax.Array:
    """Sample the parameters of B networks.

    Args:
        metamodel: the meta-model, with its `params` and `normaliser`.
        plan: how to sample.
        params: trained parameters.
        normaliser: of the zoo.
        starts: [B, D] parameters to update from.
        start_metric: [B] their loss.
        target_metric: [B] the loss asked for.
        support: leaves [B, m, ...].
        key: PRNG key.
        use: which conditions are present; all by default.

    Returns:
        [B, D] parameters.
    """
    if use is None:
        use = {name: jnp.ones((len(starts),), bool) for name in CONDITIONS}
    return _generate(
        metamodel,
        plan,
        params,
        normaliser,
        starts,
        Prompt(starts, start_metric, target_metric, support, use),
        key,
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generate(
    metamodel: MetaModel,
    plan: Plan,
    params: Any,
    normaliser: Normaliser,
    starts: jax.Array,
    prompt: Prompt,
    key: jax.Array,
) -> jax.Array:
    tokens = metamodel.codec.encode(normaliser.normalise(starts))
    prompt = prompt._replace(start=tokens)
    return metamodel.networks(
        normaliser, sampler.sample(metamodel, plan, params, normaliser, prompt, key)
    )


@functools.partial(jax.jit, static_argnums=0)
def _quality(network: Network, flat: jax.Array, support: Examples) -> tuple[jax.Array, jax.Array]:
    """Loss and accuracy of networks [n, D] on a support set, each [n]."""
    logits = jax.vmap(network.apply, in_axes=(0, None))(
        network.spec.unflatten(flat), support.inputs
    )
    return loss_and_accuracy(logits, support.labels, support.mask)


def load(
    workdir: Any,
    *,
    objective: str = "diffusion",
    checkpoint: str | int = "last",
    weights: str | None = None,
    **sampling: Any,
) -> Model:
    """Load what the train stage left in a workdir.

    Args:
        workdir: as given to `python -m mole_jax.main`.
        objective: "diffusion", or "regression" for the deterministic baseline.
        checkpoint: "last"; "best", the one with the lowest training loss of those that
            `training.checkpoint_every` kept; or the step of another one that is kept.
        weights: "average", the moving average of the steps' weights, or "last", those of the
            checkpoint's step. None is the average, or what a model was imported with.
        **sampling: other values for keys of `config.sampling`, such as steps=25; those of the
            evaluate stage hold for the rest, and `sampler.DEFAULT` where it has not run.

    Raises:
        UserError: when the workdir holds no finished training or no such checkpoint, or for
            unknown options.
    """
    workdir = Path(workdir)
    config, network = described(workdir)
    trained = train.load(workdir, config, network, objective, checkpoint)
    unknown = set(sampling) - {field.name for field in dataclasses.fields(Plan)}
    if unknown:
        raise UserError(f"load: unknown options {sorted(unknown)}; see sampler.Plan")
    evaluated = stages.is_begun(workdir, "evaluate")
    settings = stages.record(workdir, "evaluate")["config"]["sampling"] if evaluated else {}
    # A meta-model that was imported knows how it is meant to be sampled from.
    own = dict(config.get("sampling", {}))
    kept = own.pop("weights", "average")
    weights = kept if weights is None else weights
    if weights not in ("average", "last"):
        raise UserError(f"load: weights={weights!r} must be 'average' or 'last'")
    settings = {**dataclasses.asdict(sampler.DEFAULT), **own, **settings, **sampling}
    return Model(
        trained.model,
        trained.params if weights == "average" else trained.last,
        trained.normaliser,
        sampler.plan(settings, trained.model.process.n_steps),
        (trained.input_scale, trained.input_shift),
        trained.start_loss,
        prompt_metric.of(config),
        control.environment(config),
        description(workdir),
    )


def described(workdir: Path) -> tuple[dict[str, Any], Network]:
    """The config that a workdir's meta-model was trained with, and the network that it writes.

    Raises:
        UserError: when the train stage has not run there.
    """
    config = stages.record(workdir, "train")["config"]
    return config, networks.from_json(description(workdir))


def description(workdir: Path) -> dict[str, Any]:
    """What `tasks.networks.from_json` builds the network from that a workdir's meta-model writes.

    It is JSON: a card of `interop.network_files` takes it, too.
    """
    imported = workdir / IMPORTED_NETWORK
    found = files.read_json(imported) if imported.exists() else None
    return dict(open_zoo(workdir / "zoo").schema.network if found is None else found)
