"""A trained meta-model, ready to predict networks."""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mole_jax import representation
from mole_jax.core import compat, given
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.devices import precision
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.learners import answers, registry
from mole_jax.learners import polish as polishing
from mole_jax.learners.ancestors.l2l import L2L
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.fitted import Fitted
from mole_jax.sampling import asked_network, problem, starts, support, tuning, writing
from mole_jax.sampling.asked import Asked
from mole_jax.sampling.inputs import Inputs
from mole_jax.sampling.networks import Networks, built, title
from mole_jax.sampling.support import Support
from mole_jax.sampling.tuning import TuningRecipe
from mole_jax.sampling.writing import Written
from mole_jax.tasks import control, subset_sizes
from mole_jax.tasks.environments import Environment
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.training.learner import Classifier, Episodes, Learner
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.prompt_metric import PromptMetric

# Most numbers in all networks of one call: what a 32-bit index can count.
_MOST = 2**31 - 1


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained meta-model, ready to predict.

    It pickles: the fields are plain data and arrays, from which the rest is built.
    """

    config: dict[str, Any]  # that it was trained with
    description: dict[str, Any]  # of the network that it writes, for `tasks.networks.from_json`
    objective: str  # the learner's name in `registry.NAMES`
    params: Any
    fitted: Fitted
    plan: Plan
    inputs: Inputs
    start_loss: float  # median prompt metric of the zoo's starts
    about: Any = None  # of a model file: where it comes from, in JSON

    @functools.cached_property
    def learner(self) -> Learner:
        """The learner; equal configs have the same static parts, so it compiles once."""
        config = compat.renamed(self.config)  # a pickle may be older than the names
        found = _learner(_text(config), _text(self.description), self.objective)
        return found.ready(self.fitted, self.plan)

    @functools.cached_property
    def metric(self) -> PromptMetric:
        """The prompt metric."""
        return prompt_metric.of(self.config)

    @functools.cached_property
    def environment(self) -> Environment | None:
        """The environment of policies; None for images."""
        return control.environment(self.config)

    @functools.cached_property
    def sizes(self) -> range:
        """How many outputs networks may have: one for each class of a task."""
        most = self.learner.network.n_outputs
        return range(compat.get(self.config, "data.fewest_classes") or most, most + 1)

    @property
    def passes(self) -> str:
        """How many passes it takes to write a network, in words."""
        plan, learner = self.plan, self.learner
        sampled = learner.uses.samples and learner.writes_networks and not learner.uses.pool
        steps = "one step" if plan.steps == 1 else f"{plan.steps} steps"
        return f"{steps} of {plan.name}" if sampled else "one pass"

    def network(self, y_support: Any = None, network: str | None = None) -> Network:
        """Return the network that is predicted for a support set with these labels.

        `network` is as in `predict`.
        """
        return built(self._asked(y_support, network)[1])

    def _asked(self, labels: Any, network: str | None, start: Any = None) -> tuple[str, str]:
        """Return the frame's name for a network, and its description in JSON."""
        n = self.sizes[-1] if labels is None else support.count(self.sizes, labels)
        whole = self.learner.network
        known = start.network if isinstance(start, Networks) else None
        name = asked_network.name(whole, self.description, network, known, n)
        return name, _text(asked_network.described(whole, self.description, name, n))

    @property
    def standardise(self) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Scale and shift, one number or [F]: networks are given pixels * scale + shift."""
        scale, shift = (
            s[0] if len(s) == 1 else np.asarray(s, np.float32)
            for s in (self.inputs.scale, self.inputs.shift)
        )
        return scale, shift

    def resized(self, x: Any) -> np.ndarray:
        """Resize images to [m, *input_shape].

        Args:
            x: [m, H, W] or [m, H, W, channels], or flat ones of square images; pixels on the scale
                of training, which they keep. Other proportions are stretched.

        Raises:
            UserError: for anything but such images.
        """
        if self.environment is not None or len(self.inputs.shape) != 3:
            raise UserError("resized: this model's networks do not take images")
        return self.inputs.resized("resized: x", x)

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
        start_loss: Any = None,
        rounds: int = 1,
        parameters: Any = None,
        network: str | None = None,
        polish: int = 0,
    ) -> Networks:
        """Predict networks for a task, given some of its examples.

        Call it outside of jit, vmap and grad. Only `key` may be traced, and then the numbers of the
        networks are not checked.

        Args:
            x_support: images [m, F] or [m, *input_shape] (a single channel may be left out), pixels
                on the source's own scale, any m >= 1, in any order; of each class, at most five
                times as many as in training are used. Gradient steps follow the first
                `metamodel.support_probes` of each class, in a fixed order by content. For an
                environment, transitions [m, O + A + O]: observation, action, next observation.
            y_support: labels [m], integers in 0..K-1; none for an environment. If the model was
                trained with several numbers of classes, K is the largest of them, and the largest
                label gives the task's number of classes, which is that of the networks' outputs.
            target_loss: the loss asked for, in nats, on unseen examples of the subset; if the
                model was trained with another `training.metric`, that metric, such as percent.
                Without it the model gives the best networks that it can. A model trained with
                `training.best_prompts=0` needs it, and one that takes no target refuses it.
            target_return: for policies, the mean return asked for, instead of `target_loss`.
            n: how many networks.
            key: PRNG key; draws the starts and the noise.
            start: parameters to update from (leaves [*shape], or [n, *shape]): nested as
                `Networks.params`, flat as `import-network` writes them, a state_dict with PyTorch's
                names, or Networks. None: fresh random initialisations.
            start_loss: the start's loss, if you know it: one number, or [n]. By default that on the
                support set; for policies, that of a fresh one.
            rounds: recursive prompting: each further round starts from the last one's networks.
            parameters: [P] of the environment, for a learner that practises in it, such as "maml".
            network: the sizes of the network, such as "mlp:64,24,12,5", for a model trained on
                several sizes; by default those of the start, if it is Networks, or the largest in
                training.
            polish: gradient steps more on all support examples, seen through the same small warps
                as in training, once the networks are written. From ten examples of each new class
                400 gain about a point; from one or two they lose, as where classes are known. A
                target is no longer met.

        Returns:
            n networks. `predicted_metric` is their loss on the support set, where it has labels.

        Raises:
            UserError: for inputs that do not fit the model, and where a network would hold NaN.

        Warns:
            MoleWarning: where pixels are on another scale than in training, classes have no
                example, or networks are far from the target.
        """
        asked = (
            *(x_support, y_support, target_loss, target_return),
            *(n, start, start_loss, rounds, parameters, polish),
        )
        if given.is_traced(asked):
            raise UserError(
                "predict: its inputs are traced: call it outside of jit, vmap and grad; only "
                "its key may be traced"
            )
        with precision.single():
            key = given.prng_key("key", key)
            if not self.learner.writes_networks:
                raise UserError(
                    f"the {self.objective} model answers with classes and writes no network: use "
                    "model.classify, in Python"
                )
            if not self.learner.uses.start and not (start is start_loss is None and rounds == 1):
                raise UserError(
                    f"the {self.objective} model has a start of its own: leave start, start_loss "
                    "and rounds out"
                )
            asked_for = Asked(self.metric, self.environment)
            target = asked_for.target(self.learner, self.objective, target_loss, target_return)
            learner = self._polishing(polish)
            n = given.whole("n", n, 1)
            if n * self.learner.network.spec.size > _MOST:
                raise UserError(f"n={n} networks are too many for one call: predict in parts")
            rounds = given.whole("rounds", rounds, 1)
            labelled = self.environment is None
            if rounds > 1 and not labelled:
                raise UserError(
                    f"rounds={rounds}: a policy's return has to be measured between rounds; "
                    "predict again with its params as start and 1 - return / horizon as start_loss"
                )
            world = problem.of_caller(self.learner, self.objective, self.environment, parameters)
            support_set = self._support(x_support, y_support)
            for line in support_set.remarks:
                warnings.warn(line, MoleWarning, stacklevel=2)
            if n > 1 and not (self.learner.uses.start or self.learner.uses.samples):
                warnings.warn(
                    f"predict: all {n} networks are the same: this model draws nothing, and has "
                    "one start for all tasks",
                    MoleWarning,
                    stacklevel=2,
                )
            place = mesh_lib.whole_copies(jax.tree.leaves(self.params)[0])
            key = key if given.is_traced(key) else jax.device_put(key, place)
            name, described = self._asked(y_support, network, start)
            whole, own = self.learner.network, built(described)
            k, frame = own.n_outputs, whole.frame
            if frame is not None and (line := frame.outside(name)):
                warnings.warn(f"predict: {line}", MoleWarning, stacklevel=2)
            metric = self.metric if labelled else None
            known = start_loss is not None or not labelled
            flat: Any = None
            loss: Any = asked_for.of_starts(start_loss, n, self.start_loss) if known else None
            if start is not None:
                try:
                    given_starts = starts.of_caller(own, start, n)
                except UserError as wrong:
                    more = "" if frame is None or network else "; for other sizes give network=..."
                    raise UserError(f"{wrong}{more}") from None
                if (
                    n > 1
                    and not self.learner.uses.samples
                    and np.ptp(given_starts, axis=0).max() == 0
                ):
                    warnings.warn(
                        f"predict: all {n} networks are the same: one start is given, and this "
                        "model draws nothing else; give n starts, or none",
                        MoleWarning,
                        stacklevel=2,
                    )
                flat = fewer_outputs.widened(whole, given_starts, own)
                asked_network.check_start(whole, own, flat)
                flat = jnp.asarray(representation.in_basis(self.config, whole, self.fitted, flat))
                if loss is None:
                    loss = writing.measured(whole, flat, support_set.examples, metric)
                # Uncommitted to a device, they would cause another compilation.
                flat, loss = jax.device_put((flat, loss), place)
            for i in range(rounds):
                written = [
                    writing.write(
                        learner if i == rounds - 1 else self.learner,
                        self.params,
                        support_set.examples,
                        writing.part_of(flat, rows),
                        writing.part_of(loss, rows),
                        np.float32(target or 0.0),
                        own_key,
                        np.int32(i),
                        world,
                        None if frame is None else np.array(frame.sizes(name)),
                        n=len(rows),
                        metric=metric,
                        best=target is None,
                    )
                    for rows, own_key in writing.parts(whole, n, key)
                ]
                found = writing.joined(written, n)
                self._check(found)
                flat, loss = found.flat, found.metric
            # The loss on the support set says nothing about classes without an example.
            if (
                found.metric is not None
                and support_set.complete
                and not polish
                and (line := asked_for.miss(target, found.metric, k))
            ):
                warnings.warn(line, MoleWarning, stacklevel=2)
            params = writing.tensors(found.flat, network=whole, own=own)
            recipe = TuningRecipe.of(self.config) if labelled else tuning.DEFAULT
            return Networks(params, found.metric, described, self.inputs, recipe)

    def classify(
        self, x_support: Any, y_support: Any, x: Any, *, key: jax.Array, n: int = 1
    ) -> jax.Array:
        """Classify with a learner that reads examples and writes no network, such as "recurrent".

        Args:
            x_support: images, as in `predict`.
            y_support: labels [m].
            x: inputs to classify, [q, F] or [q, *input_shape], each by itself.
            key: PRNG key; draws the order in which the examples are read.
            n: number of orders; their probabilities are averaged.

        Returns:
            Probabilities [q, k]; k is the number of classes of the task.

        Raises:
            UserError: for a model that writes networks, and for inputs that do not fit.

        Warns:
            MoleWarning: as `predict` does.
        """
        if given.is_traced((x_support, y_support, x, n)):
            raise UserError(
                "classify: its inputs are traced: call it outside of jit, vmap and grad; only "
                "its key may be traced"
            )
        if self.learner.writes_networks:
            raise UserError(
                f"the {self.objective} model writes networks: use predict, and `mean` of its result"
            )
        with precision.single():
            key, n = given.prng_key("key", key), given.whole("n", n, 1)
            support_set = self._support(x_support, y_support)
            rows = self.inputs.flat("classify: x", x)
            said = self.inputs.strangeness("classify: x", rows)
            for line in (*support_set.remarks, *filter(None, (said,))):
                warnings.warn(line, MoleWarning, stacklevel=2)
            learner = cast(Classifier, self.learner)
            k = self.network(y_support).n_outputs
            if not len(rows):
                return jnp.zeros((0, k), jnp.float32)
            inputs = jnp.broadcast_to(self.inputs.standardised(rows)[None], (n, *rows.shape))
            nothing = jnp.zeros((n, learner.network.spec.size))
            episodes = Episodes(
                task=jnp.zeros(n, jnp.int32),
                support=jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], support_set.examples),
                start=nothing,
                start_metric=jnp.zeros(n),
            )
            logits = answers.classify(learner, self.params, episodes, inputs, key)
            if not given.is_traced(logits) and not np.isfinite(logits[..., :k]).all():
                raise UserError(
                    "classify: its answers would be NaN: the numbers in x_support or x are too "
                    "large; bring them nearer to what the model was trained with"
                )
            return jnp.mean(jax.nn.softmax(logits[..., :k]), axis=0)

    def optimizer(self) -> optax.GradientTransformation:
        """Return the learned optimizer of an "l2l" model, which trains parameters of any shape.

        Raises:
            UserError: for other models, which have learned none.
        """
        if not isinstance(self.learner, L2L):
            raise UserError(f"the {self.objective} model has learned no optimizer: load l2l")
        return self.learner.optimizer(self.params)

    def _polishing(self, steps: Any) -> Learner:
        """Return the learner that polishes what it writes."""
        steps = given.whole("polish", steps, 0, polishing.MOST)
        found = self.learner.polished(steps) if steps else self.learner
        if found is None:
            raise UserError(
                f"polish={steps}: the {self.objective} model has no such steps: leave it out"
            )
        return found

    def _support(self, x: Any, y: Any) -> Support:
        # They have values even where jit traces the caller.
        with jax.ensure_compile_time_eval():
            if self.environment is None:
                most = self.config["data"]["support_per_class"]
                return support.labelled(self.inputs, self.sizes, x, y, trained_with=most)
            size = self.learner.network.example_size
            return support.transitions(self.environment, size, x, y)

    def _check(self, found: Written) -> None:
        """Raise UserError where parameters or losses of networks are NaN or infinite."""
        if given.is_traced(found):  # there are no values to check
            return
        start_is_finite, is_finite = jax.device_get((found.start_is_finite, found.is_finite))
        if not start_is_finite:
            raise UserError(
                "start: its loss on the support set is not finite: its weights or the numbers in "
                "x_support are too large; give start_loss, or other ones"
            )
        if not is_finite:
            raise UserError(
                f"predict: the networks would hold NaN or infinity: bring the target, the start, "
                f"x_support and guidance={self.plan.guidance:g} nearer to what the model was "
                "trained with, or load another checkpoint"
            )

    def __repr__(self) -> str:
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        if not self.learner.writes_networks:
            return (
                f"<Model ({self.objective}, {count:,} parameters) that reads examples and answers "
                "with classes>"
            )
        several = f" of {subset_sizes.words(self.sizes)} classes" if len(self.sizes) > 1 else ""
        return (
            f"<Model ({self.objective}, {count:,} parameters) of networks\n"
            f"  {title(built(_text(self.description)))}{several}\n"
            f"  in {self.passes}, {self.plan.guided}>"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields: what was built from them holds functions, which do not pickle."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Put parameters where `load` puts them: elsewhere everything would compile again."""
        self.__dict__.update(state, params=on_all_devices(state["params"]))


def on_all_devices(params: Any) -> Any:
    """Return a model's parameters with a whole copy on each device."""
    return jax.device_put(params, mesh_lib.replicated(mesh_lib.make_mesh()))


@functools.lru_cache(maxsize=16)
def _learner(config: str, description: str, objective: str) -> Learner:
    """Build the learner of a config and a network, both in JSON; works inside jit."""
    with jax.ensure_compile_time_eval():
        network, plain = built(description), json.loads(config)
        none = representation.shapes(plain, network)
        return registry.build(plain, network, objective, none)


def _text(plain: dict[str, Any]) -> str:
    return json.dumps(plain, sort_keys=True)
