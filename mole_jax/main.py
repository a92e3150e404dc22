"""The command `python -m mole_jax.main`: from a config to a report, stage by stage."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from mole_jax.core.console import interrupts
from mole_jax.core.devices import distributed, mesh_shape
from mole_jax.core.errors import UserError
from mole_jax.core.program import command, compiled, stages
from mole_jax.core.program import config as configs
from mole_jax.core.program.sections import Schema
from mole_jax.core.storage.paths import user_path

HELP = """\
MOLE learns from the training histories of many networks, then predicts the weights of new ones.

usage
  python -m mole_jax.main --config=FILE --workdir=FOLDER [--stages=NAMES] [--config.KEY=VALUE ...]

flags
  --config=FILE         the experiment; FILE:ARGUMENT chooses a variant of it
  --config.KEY=VALUE    change one key of it, such as --config.population.members=16
  --print_config        print all keys with their values and meanings, and run nothing
  --workdir=FOLDER      where everything is kept; the same command resumes an interrupted run
  --stages=NAMES        some of the stages, separated by commas; all when left out
  --mesh=AXIS:SIZE,...  how training arranges the devices: `data` copies the model, `fsdp` divides
                        it, both divide the batch, `tensor` divides layers; left out, all are data
  --dry_run             compile a training step of each learner for --mesh on virtual devices, and
                        print what it takes: memory, communication, time on accelerators
  --distributed=WHERE   work as one with other processes that have the same command: auto on TPU
                        pods, Slurm and Open MPI; elsewhere HOST:PORT,PROCESSES,INDEX, the address
                        of process 0, how many there are, and which this one is
  --compilation_cache=FOLDER  where compiled programs are kept for the next run, or off; left out,
                        what MOLE_COMPILATION_CACHE says, or else ~/.cache/mole/compiled
  --help                this page; with --config=FILE also that experiment's keys

stages
  zoo        train many networks and store their histories
  train      train the meta-model on them
  evaluate   predict networks for unseen data, and compare with baselines
  report     write figures, tables and FOLDER/report/index.html

examples
  python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/digits
  python -m mole_jax.main --config=configs/digits_mlp.py:full --workdir=runs/digits_full
  python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/seed1 --config.seed=1
  python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/digits --stages=zoo,train
  python -m mole_jax.main --config=configs/paper_mnist.py --dry_run --mesh=data:32,fsdp:8
  launch/local.sh 2 --config=configs/digits_mlp.py --workdir=runs/digits; see also docs/clusters.md

keys
  A file in configs/ says what differs from the defaults, which configs/default.py has. Which keys
  there are depends on network.name, metamodel.name and data.source: --print_config shows them.
"""


def _stage(function: str) -> Callable[..., None]:
    """Import `package.module.function` only when it runs: a refused command need not wait."""

    def call(config: ConfigDict, workdir: Path, **options: Any) -> None:
        module, name = function.rsplit(".", 1)
        run = getattr(importlib.import_module(module), name)
        interrupts.check()
        run(config, workdir, **options)

    return call


FOR_ZOO = ("seed", "data", "network", "population", "zoo")
FOR_TRAIN = (*FOR_ZOO, "representation", "metamodel", "diffusion", "training", "learners")
FOR_EVALUATE = (*FOR_TRAIN, "sampling", "evaluation")
FOR_REPORT = (*FOR_EVALUATE, "report")

# Such as where a training keeps the zoo: a machine with less memory may resume another's run.
RESULTS_DO_NOT_DEPEND_ON = (
    *("population.at_once", "zoo.placement", "zoo.memory_gb"),
    "zoo.members_per_group",
)

STAGES = (
    stages.Stage("zoo", FOR_ZOO, _stage("mole_jax.zoo.making.generation.generate")),
    stages.Stage(
        "train", FOR_TRAIN, _stage("mole_jax.learners.meta_training.train"), parts="learners"
    ),
    stages.Stage("evaluate", FOR_EVALUATE, _stage("mole_jax.evaluation.evaluate.evaluate")),
    stages.Stage("report", FOR_REPORT, _stage("mole_jax.report.build.build"), alone=True),
)


def check(workdir: Path, config: ConfigDict) -> None:
    """Raise UserError unless every stage begun in `workdir` ran with what `config` says now."""
    stages.check(workdir, STAGES, config, RESULTS_DO_NOT_DEPEND_ON, _before(), _schema())


def run(arguments: Sequence[str]) -> None:
    """Do what the command line says; raise UserError for what the user can fix."""
    given = parse(arguments)
    if given.help:
        print(HELP + _keys(given))
        return

    # What can be refused is refused here, before a folder is made or JAX starts.
    if not given.config:
        raise UserError("--config is missing: add --config=FILE (--help shows more)")
    if given.print_config:
        print(_described(given))
        return
    if given.dry_run:
        from mole_jax.training import dry_run

        pieces = functools.partial(_pieces, given)
        dry_run.dry_run(pieces, given.mesh, str(given.workdir or ""))
        return
    if not given.workdir:
        raise UserError("--workdir is missing: add --workdir=FOLDER (--help shows more)")
    selected = stages.select(STAGES, given.stages)
    cluster = distributed.parse(given.distributed)
    config = _config(given)
    with compiled.kept(given.compilation_cache) as programs:
        if cluster is not None:
            distributed.start(cluster)  # before values are checked, which starts JAX
        distributed.agree(validate, config, given.mesh)
        with stages.open_workdir(given.workdir) as workdir:
            check(workdir, config)
            _say(f"config   {' '.join([given.config, *given.overrides])}")
            _say(f"workdir  {workdir}")
            _say(f"devices  {_devices()}")
            _say(f"programs {programs}")
            if distributed.count() > 1:
                _say(f"processes {distributed.count()}")
            stages.run(workdir, _arranged(STAGES, given.mesh), selected, config)

            page = workdir / "report" / "index.html"
            if distributed.is_first() and "report" in selected and page.exists():
                _say(f"report   {page}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0, 3 when another process was lost, or those of `command.explained`.
    """
    code = 1  # for a bug, which is raised again
    try:
        code = _explained(sys.argv[1:] if arguments is None else arguments)
        return code
    finally:
        distributed.end(code)


def _explained(arguments: Sequence[str]) -> int:
    try:
        return command.explained(
            functools.partial(run, arguments), "; the same command resumes the run"
        )
    except Exception as problem:
        if distributed.is_loss(problem):
            reason = " ".join(str(problem).split())[:300]
            _explain(
                f"error: another process is gone; its own log may say why ({reason}); the same "
                "command resumes all"
            )
            return 3
        raise


class Command(NamedTuple):
    """A parsed command line; `overrides` are the `--config.KEY=VALUE` arguments as given."""

    config: str
    workdir: Path | None
    stages: tuple[str, ...]
    overrides: tuple[str, ...]
    mesh: dict[str, int]
    dry_run: bool
    print_config: bool
    help: bool
    distributed: str
    compilation_cache: str


def parse(arguments: Sequence[str]) -> Command:
    """Split the command line; raise UserError for flags and arguments that do not exist."""
    values = flags.FlagValues()  # our own: libraries add theirs to the global ones
    config = flags.DEFINE_string("config", "", "", flag_values=values)
    workdir = flags.DEFINE_string("workdir", "", "", flag_values=values)
    every = [stage.name for stage in STAGES]
    chosen = flags.DEFINE_list("stages", every, "", flag_values=values)
    mesh = flags.DEFINE_string("mesh", "", "", flag_values=values)
    dry_run = flags.DEFINE_bool("dry_run", False, "", flag_values=values)
    cluster = flags.DEFINE_string("distributed", "", "", flag_values=values)
    cache = flags.DEFINE_string("compilation_cache", "", "", flag_values=values)
    print_config = flags.DEFINE_bool("print_config", False, "", flag_values=values)
    wants_help = flags.DEFINE_bool("help", False, "", short_name="h", flag_values=values)
    overrides, others = _parted(arguments)
    try:
        rest = values(["main", *others])[1:]
    except flags.UnrecognizedFlagError as problem:
        known = tuple(values)
        close = configs.nearest(problem.flagname, known)
        remedy = f"did you mean --{close}?" if close else "--help shows the flags"
        raise UserError(f"flag --{problem.flagname} is unknown: {remedy}") from None
    except flags.Error as problem:
        raise UserError(f"{' '.join(str(problem).split())}: --help shows how") from None
    if rest:
        raise UserError(f"argument {rest[0]!r} is unexpected: --help shows the flags")
    names = tuple(name.strip() for name in chosen.value if name.strip())
    shape = mesh_shape.parse(mesh.value)
    return Command(
        config.value,
        folder(workdir.value),
        names,
        overrides,
        shape,
        dry_run.value,
        print_config.value,
        wants_help.value,
        cluster.value,
        cache.value,
    )


def folder(workdir: str, name: str = "--workdir") -> Path | None:
    """Return the folder that a text names, None of an empty one; raise UserError for an address."""
    if "://" in workdir:
        raise UserError(
            f"{name}={workdir} is not a folder: mount what it names, and give the folder where "
            "it is mounted"
        )
    return user_path(workdir) if workdir else None


def _arranged(every: Sequence[stages.Stage], mesh: dict[str, int]) -> list[stages.Stage]:
    """Return the stages, with the mesh for training, which is not part of the config."""

    def arranged(stage: stages.Stage) -> stages.Stage:
        run: Callable[..., None] = stage.run
        return dataclasses.replace(stage, run=functools.partial(run, mesh_shape=mesh))

    return [arranged(s) if s.name == "train" and mesh else s for s in every]


def _parted(arguments: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Separate --config.KEY=VALUE (or --config.KEY VALUE, which gets its =) from the others."""
    overrides: list[str] = []
    others: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.lstrip("-").startswith(("config.", "noconfig.")):
            others.append(argument)
        elif "=" in argument or not waiting or waiting[0].startswith("--"):
            overrides.append(argument)
        else:
            overrides.append(f"{argument}={waiting.pop(0)}")
    return tuple(overrides), others


def validate(config: ConfigDict, mesh_shape: dict[str, int]) -> None:
    """Check the values of a config, and a mesh; see `mole_jax.validate`."""
    from mole_jax.validate import validate as check_values

    check_values(config, mesh_shape)


def _pieces(command: Command) -> Any:
    """Return what the train stage would train, as shapes; imports late, since this starts JAX."""
    config = _config(command)
    from mole_jax.learners import in_shapes

    return in_shapes.pieces(configs.Strict(config))


def _config(command: Command) -> ConfigDict:
    config = configs.load(command.config)
    return configs.override(config, command.overrides, _schema())


def _before() -> dict[str, Any]:
    from mole_jax import experiment  # imports JAX

    return experiment.before()


def _schema() -> Schema:
    from mole_jax.experiment import SECTIONS  # imports JAX

    return SECTIONS


def _keys(command: Command) -> str:
    if not command.config:
        return ""
    flat = configs.flatten(_config(command))
    width = max(map(len, flat), default=0)
    lines = [f"  {key:{width}}  {value!r}" for key, value in flat.items()]
    return "\n".join([f"\nkeys of {command.config}", *lines])


def _described(command: Command) -> str:
    config = _config(command)
    from mole_jax.experiment import describe

    return f"# {' '.join([command.config, *command.overrides])}\n{describe(config)}"


def _devices() -> str:
    from mole_jax.core.storage.provenance import devices_line

    return devices_line()


def _say(line: str) -> None:
    if distributed.is_first():
        _explain(line)


def _explain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    command.leave(main())
