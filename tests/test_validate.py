"""Values of a config that cannot work are refused at once, in one line that names the key."""

from __future__ import annotations

import pytest

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.validate import validate
from tests import tiny

# Keys of the tiny config that nothing reads.
OF_OTHERS = {f"zoo.live_{name}" for name in ("runs", "every", "refresh")}
# Sections whose keys have defaults where they are read.
WITH_DEFAULTS = ("network", "data.max_per_class")
# What has all sections that there are, between them.
KINDS: dict[str, dict[str, object]] = {
    "a classifier": {},
    "a policy": {"data__source": "env:cartpole", "network__name": "gaussian_policy"},
    "G.pt": {"metamodel__name": "gpt"},
}


def test_the_demo_and_the_tiny_config_are_fine() -> None:
    validate(tiny.tiny_config())
    for variant in ("", ":full"):
        validate(configs.load(f"{tiny.DEMO}{variant}"))


def test_a_shared_start_goes_with_unscaled_starts_only() -> None:
    validate(tiny.tiny_config(population__shared_start=True))
    with pytest.raises(UserError, match=r"population\.init_scale"):
        validate(tiny.tiny_config(population__shared_start=True, population__init_scale=(0.5, 1.0)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 10**30),
        ("data.source", "minst"),
        ("data.source", "idx:/nowhere"),
        ("data.pools", {"train": 0.5, "support": 0.5, "validation": 0.5, "test": 0.5}),
        ("data.max_per_class", {"train": -1}),
        ("data.classes_per_subset", 1),
        ("data.classes_per_subset", 11),
        ("data.train_subsets", 119),  # and 2 held out, of 120
        ("data.train_subsets", 1),  # leaves classes that are never seen
        ("data.support_per_class", 500),
        ("network.name", "resnet"),
        ("network.hidden", ()),
        ("network.hidden", (0,)),
        ("network.activation", "step"),
        ("population.members", 0),
        ("population.held_out_members", -1),
        ("population.held_out_members", 3),  # all of them
        ("population.steps", 0),
        ("population.snapshots", 1),
        ("population.snapshot_power", 0.0),
        ("population.batch_size", 0),
        ("population.optimizers", ("rmsprop",)),
        ("population.optimizers", ()),
        ("population.schedule", "step"),
        ("population.learning_rate", (1e-2, 1e-3)),
        ("population.learning_rate", (0.0, 1e-3)),
        ("population.learning_rate", (1e-3, 1e39)),
        ("population.learning_rate", (1e-3, float("nan"))),
        ("population.steps", 2**40),
        ("population.weight_decay", (-1.0, 0.0)),
        ("population.init_scale", (0.0, 1.0)),
        ("zoo.subsets_per_group", 0),
        ("zoo.runs_per_chunk", 0),
        ("zoo.runs_per_shard", 12),  # chunks of 8
        ("zoo.dtype", "float8"),
        ("zoo.placement", "disk"),
        ("zoo.memory_gb", -1.0),
        ("representation.name", "layer"),
        ("representation.normaliser", "layer"),
        ("metamodel.name", "unet"),
        ("metamodel.name", "gpt"),  # of neuron tokens
        ("metamodel.heads", 0),
        ("metamodel.heads", 5),
        ("metamodel.width", 0),
        ("metamodel.layers", 0),
        ("metamodel.feature_width", 0),
        ("metamodel.support_queries", -1),
        ("metamodel.conditioning", "film"),
        ("metamodel.dtype", "float16"),
        ("diffusion.schedule", "quadratic"),
        ("diffusion.steps", 1),
        ("diffusion.prediction", "score"),
        ("training.steps", 0),
        ("training.regression_steps", -1),
        ("training.batch_size", 0),
        ("training.learning_rate", 0.0),
        ("training.learning_rate", 1e39),
        ("training.warmup_steps", 21),
        ("training.weight_decay", -0.1),
        ("training.beta2", 1.0),
        ("training.gradient_clip", 0.0),
        ("training.ema_decay", 1.0),
        ("training.function_weight", -1.0),
        ("training.function_images", 0),
        ("training.time_power", 0.0),
        ("training.first_start", 1.1),
        ("training.spacing", "random"),
        ("training.spacing", "spacing_first"),  # first_start is not 0
        ("training.support_min_per_class", 5),  # of 4
        ("metamodel.support_probes", 5),  # of 4
        ("metamodel.support_warps", -1.0),
        ("learners.maml.warps", -1.0),
        ("metamodel.step_scale", 0.0),
        ("metamodel.mixing", -1),
        ("training.support_sizes", "some"),
        ("training.queries", 0),
        ("evaluation.shots", (1, 5)),  # of 4
        ("evaluation.few_shot_networks", 0),
        ("evaluation.warped_copies", -1),
        ("training.permute_labels", 2.0),
        ("training.drop", {"support": 1.0, "target_metric": 0.0, "start": 0.0}),
        ("training.steps_per_dispatch", 0),
        ("training.checkpoint_every", 0),
        ("sampling.name", "euler"),
        ("sampling.steps", 51),
        ("sampling.eta", -0.1),
        ("evaluation.starts", 0),
        ("evaluation.candidates", ()),
    ],
)
def test_a_bad_value_is_refused(key: str, value: object) -> None:
    config = tiny.tiny_config(**{key.replace(".", "__"): value})
    with pytest.raises(UserError) as refused:
        validate(config)
    line = str(refused.value)
    assert "\n" not in line
    assert key.rsplit(".", 1)[-1] in line or key.split(".")[0] in line
    assert len(line) < 300


@pytest.mark.parametrize(
    ("mesh_shape", "changes", "problem"),
    [
        ({"data": 3}, {}, "needs 3 devices, but there are 8"),
        ({"tensor": 8}, {}, "tensor=8 must divide metamodel.heads=2"),
        ({"fsdp": 8}, {"training__batch_size": 12}, "leaves 12 pairs for 8 devices"),
        ({}, {"training__accumulate": 2}, "leaves 4 pairs for 8 devices"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused_before_the_zoo(
    mesh_shape: dict[str, int], changes: dict[str, int], problem: str
) -> None:
    config = tiny.tiny_config(**changes)
    with pytest.raises(UserError, match=problem):
        validate(config, mesh_shape)
    validate(tiny.tiny_config(), {"data": 2, "fsdp": 2, "tensor": 2})


@pytest.mark.parametrize("seed", [2**32, 0.0, True, None, "0"])
def test_a_config_file_may_have_any_seed_and_most_are_refused(seed: object) -> None:
    with pytest.raises(UserError, match=r"seed=.* must be a whole number in 0\.\.4294967295"):
        validate(tiny.tiny_config().to_dict() | {"seed": seed})


def without(key: str, kind: str = "a classifier") -> dict[str, object]:
    config = tiny.tiny_config(**KINDS[kind]).to_dict()
    *sections, last = key.split(".")
    inner = config
    for section in sections:
        inner = inner[section]
    del inner[last]
    return config


def needed() -> list[str]:
    """Every section and key of the tiny config that a stage reads."""
    found = set(configs.flatten(tiny.tiny_config()))
    found |= {name.rpartition(".")[0] for name in found} - {""}
    return sorted(
        name
        for name in found - OF_OTHERS - set(compat.DEFAULTS)
        if not name.startswith(WITH_DEFAULTS) or name in ("data.max_per_class", "network.name")
    )


def test_what_a_config_lacks_is_named_before_anything_runs() -> None:
    """Any key that a stage reads, without a list of them: keys are missed where they are read."""
    names = needed()
    assert len(names) > 100
    for name in names:
        with pytest.raises(UserError) as refused:
            validate(without(name))
        section = name.rpartition(".")[0]
        said = str(refused.value)
        assert f"no key {name}" in said or (section == "data.pools" and section in said), name


def sections(kind: str) -> list[str]:
    keys = configs.flatten(tiny.tiny_config(**KINDS[kind]))
    return sorted({key.rpartition(".")[0] for key in keys} - {""})


@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in KINDS for name in sections(k)])
def test_a_section_that_is_none_is_refused(kind: str, name: str) -> None:
    config = without(name, kind)
    *sections, last = name.split(".")
    inner: dict = config
    for section in sections:
        inner = inner[section]
    inner[last] = 3
    with pytest.raises(UserError, match=rf"config\.{name}=3 is not a section"):
        validate(config)
