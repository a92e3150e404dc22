"""G.pt's own code, trained on a zoo of MOLE's, against MOLE's G.pt on the same zoo.

    git clone https://github.com/wpeebles/G.pt runs/G.pt
    python -m mole_jax.zoo export-gpt runs/one_task/zoo --out=runs/one_task_lmdb
    python -m benchmarks.gpt_reference --reference=runs/G.pt --data=runs/one_task_lmdb \
      --like=runs/gpt_one_long/G_pt --folder=runs/gpt_reference

`--like` is the workdir of a variant that `gpt_variants` has trained. Its sizes, its batches, its
steps and the learning rate of each step are the reference's, too; model, diffusion, data set with
its pairs and permutations, loss, optimizer and moving average are the reference's code. What it has
trained is imported as anybody's checkpoint is, and evaluated as the variant was: the same starts,
prompts and sampling steps. Needs PyTorch; the checkpoint stays in the folder, and is not trained
again.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import itertools
import json
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import gpt_variants, machine, on_zoo
from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.harness.context import load_context
from mole_jax.interop.gpt import export_gpt, gpt_settings, import_gpt
from mole_jax.interop.gpt.gpt_settings import Settings
from mole_jax.learners import stored
from mole_jax.sampling import load
from mole_jax.training.adamw import learning_rate
from mole_jax.training.train_config import TrainConfig

TASK = "zoo"  # what the reference calls ours
EVERY = 50  # steps between two lines of the log
# Arguments of the reference's model, which are settings by the same names.
MODEL = (
    "predict_xstart",
    "absolute_loss_conditioning",
    "chunk_size",
    "split_policy",
    "max_freq_log2",
    "num_frequencies",
    "n_embd",
    "encoder_depth",
    "decoder_depth",
    "n_layer",
    "n_head",
)


def main() -> None:
    """Train, import, evaluate, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reference", type=user_path, required=True, help="a checkout of G.pt")
    parser.add_argument("--data", type=user_path, required=True, help="the zoo, by export-gpt")
    parser.add_argument(
        "--like", type=user_path, required=True, help="workdir of a trained variant"
    )
    parser.add_argument("--folder", type=user_path, required=True, help="for what is trained")
    parser.add_argument("--held_out_runs", type=int, default=64, help="the last of the data set")
    parser.add_argument("--name", default="gpt_reference", help="of the JSON in results/")
    flags = parser.parse_args()
    torch = machine.torch_or_none()
    if torch is None:
        sys.exit("error: PyTorch is not installed; requirements-bench.txt says how")
    try:
        compare(torch, flags)
    except UserError as error:
        sys.exit(f"error: {error}")


def compare(torch: Any, flags: argparse.Namespace) -> None:
    """Compare the reference's and MOLE's G.pt on the same cases."""
    config = dict(stages.record(flags.like, "train")["config"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "like.pt"
        export_gpt.convert(flags.like, file)
        settings = gpt_settings.read(file.with_suffix(".json"))
    checkpoint, workdir = flags.folder / "reference.pt", flags.folder / "imported"
    if not checkpoint.exists():
        flags.folder.mkdir(parents=True, exist_ok=True)
        with reference(torch, flags.reference, settings) as modules:
            trained = fit(torch, modules, settings, config, flags)
        files.write_json(checkpoint.with_suffix(".json"), trained.pop("log"))
        torch.save(trained, checkpoint)
    if not workdir.exists():
        given = flags.folder / "settings.json"
        files.write_json(given, export_gpt.written(settings))
        import_gpt.convert(checkpoint, given, workdir)

    ours = gpt_variants.configured(flags.like, gpt_variants.GPT, ("ancestral_large", 1000))
    ours.training.update({k: config["training"][k] for k in ("steps", "warmup_steps")})
    context = load_context(ours, flags.like)
    mine = context.learners[context.learner]
    plan = on_zoo.diffusion(mine).plan
    imported = stored.load(workdir, *load.described(workdir), "diffusion", plan=plan)
    theirs = dataclasses.replace(mine, trained=imported)
    found, rows = {}, []
    for name, predictor in (("the reference", theirs), ("MOLE's", mine)):
        tried = dataclasses.replace(context, learners={context.learner: predictor})
        found[name] = gpt_variants.evaluated(tried, flags.folder / "adam")
        for split, q in found[name].items():
            low, high = q["ci95"]
            score = f"{q['score']:.1%} ({low:.1%} - {high:.1%})"
            rows.append([name, split, score, q["r2"], q["rho"], q["z_u"], q["diversity"]])
    print(machine.table(("G.pt", "split", "score (95 %)", "R2", "rho", "Z_U", "diversity"), rows))
    lines = (flags.like / "train" / "diffusion" / "metrics.jsonl").read_text().splitlines()
    machine.write(
        flags.name,
        like=str(flags.like),
        training={
            "the reference": json.loads(checkpoint.with_suffix(".json").read_text()),
            "MOLE's": [json.loads(line) for line in lines],
        },
        splits=found,
    )


@contextlib.contextmanager
def reference(torch: Any, folder: Path, settings: Settings) -> Iterator[types.SimpleNamespace]:
    """Import the reference's modules but those that need a GPU, a simulator or the internet."""
    if not (folder / "Gpt" / "models" / "transformer.py").exists():
        raise UserError(f"--reference={folder} is no checkout of G.pt: it has no Gpt/models")
    package, tasks, download = (types.ModuleType(f"Gpt{x}") for x in ("", ".tasks", ".download"))
    package.__path__ = [str(folder / "Gpt")]
    # What a task has to have: see the head of its tasks.py.
    tasks.TASK_METADATA = {  # type: ignore[attr-defined]
        TASK: {
            "constructor": lambda: architecture(torch, settings),
            "minimize": True,
            "aug_fn": permuted(torch),
        }
    }
    download.find_checkpoints = lambda _: None  # type: ignore[attr-defined]
    sys.modules |= {m.__name__: m for m in (package, tasks, download)}
    move = torch.Tensor.to
    if not torch.cuda.is_available():  # the scalars' embedding goes to a GPU, come what may
        torch.Tensor.to = lambda self, *to, **more: move(
            self, *("cpu" if x == "cuda" else x for x in to), **more
        )
    try:
        from Gpt.data.dataset_lmdb import ParameterDataset  # type: ignore[import-not-found]
        from Gpt.diffusion import create_diffusion  # type: ignore[import-not-found]
        from Gpt.diffusion.timestep_sampler import (  # type: ignore[import-not-found]
            UniformSampler,
        )
        from Gpt.models.transformer import Gpt  # type: ignore[import-not-found]

        yield types.SimpleNamespace(
            dataset=ParameterDataset, model=Gpt, diffusion=create_diffusion, times=UniformSampler
        )
    finally:
        torch.Tensor.to = move


def architecture(torch: Any, settings: Settings) -> Any:
    """Return a PyTorch MLP of the zoo's form: tensors of the settings' sizes, in their order."""
    sizes = settings.parameter_sizes
    if len(sizes) % 2 or not all(name.endswith(("weight", "bias")) for name in
                                 settings.parameter_names):  # fmt: skip
        raise UserError("only zoos of MLPs can be compared")
    layers = [
        torch.nn.Linear(weight // bias, bias)
        for weight, bias in zip(sizes[::2], sizes[1::2], strict=True)
    ]
    return torch.nn.Sequential(*layers)


def permuted(torch: Any) -> Any:
    """Return the permutation of hidden units, as a function of the reference's form.

    It is given what permutes a tensor's inputs, outputs or both, and what leaves one as it is, and
    has to name every tensor once, in order.
    """

    def visit(net: Any, generator: Any, inputs: Any, outputs: Any, both: Any, keep: Any) -> None:
        before = torch.randperm(len(net[0].weight), generator=generator)
        outputs((net[0].weight, net[0].bias), before)
        for layer in net[1:-1]:
            order = torch.randperm(len(layer.weight), generator=generator)
            both(layer.weight, before, order)
            outputs(layer.bias, order)
            before = order
        inputs(net[-1].weight, before)
        keep(net[-1].bias)

    return visit


def fit(
    torch: Any,
    modules: types.SimpleNamespace,
    settings: Settings,
    config: dict[str, Any],
    flags: argparse.Namespace,
) -> dict[str, Any]:
    """Train the reference as a variant of ours was trained; its checkpoint, and a "log"."""
    torch.manual_seed(config["seed"])
    np.random.seed(config["seed"])  # noqa: NPY002 - the reference draws diffusion times with it
    hyper = TrainConfig.of(config)
    rates = np.asarray(jax.vmap(learning_rate(hyper))(np.arange(hyper.steps)))
    metric = config["training"]["metric"]
    column = {"test_loss": "avg_test_loss", "test_error": "avg_test_err"}.get(metric)
    if column is None:
        raise UserError(f"{flags.like}: training.metric={metric!r} is none of the reference's")
    dataset = modules.dataset(
        dataset_dir=str(flags.data),
        dataset_name=TASK,
        num_test_runs=flags.held_out_runs,
        train_metric=column,
        target_epoch_size=100_800,
        openai_coeff=settings.scale,
        permute_augment=config["training"]["permute_units"],
    )
    if tuple(dataset.parameter_sizes) != settings.parameter_sizes:
        raise UserError(f"{flags.data} holds other networks than {flags.like}")
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=hyper.batch_size, shuffle=True, drop_last=True
    )
    model = modules.model(
        parameter_sizes=dataset.parameter_sizes,
        parameter_names=dataset.parameter_names,
        **{name: getattr(settings, name) for name in MODEL},
    )
    average = copy.deepcopy(model)
    diffusion = modules.diffusion(
        learn_sigma=False,
        predict_xstart=settings.predict_xstart,
        noise_schedule=settings.noise_schedule,
        steps=settings.diffusion_steps,
    )
    times = modules.times(diffusion)
    optimizer = model.configure_optimizers(
        lr=hyper.learning_rate, wd=hyper.weight_decay, betas=(0.9, hyper.beta2)
    )
    log, losses, began = [], [], time.perf_counter()
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    with Progress("reference", total=hyper.steps, unit="steps") as bar:
        for rate, batch in zip(rates, epochs, strict=False):
            for group in optimizer.param_groups:
                group["lr"] = rate
            t, _ = times.sample(hyper.batch_size, "cpu")
            prompts = {
                "x_prev": batch["parameters_0"],
                "loss_prev": batch[f"{column}_0"],
                "loss_target": batch[f"{column}_1"],
            }
            found = diffusion.training_losses(model, batch["parameters_1"], t, model_kwargs=prompts)
            loss = found["loss"].mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), hyper.gradient_clip)
            optimizer.step()
            with torch.no_grad():
                for kept, new in zip(average.parameters(), model.parameters(), strict=True):
                    kept.mul_(hyper.ema_decay).add_(new, alpha=1 - hyper.ema_decay)
            losses.append(loss.item())
            bar.update(1)
            if len(losses) % EVERY == 0:
                seconds, began = time.perf_counter() - began, time.perf_counter()
                log.append(
                    {
                        "step": len(losses),
                        "loss": float(np.mean(losses[-EVERY:])),
                        "steps_per_second": EVERY / seconds,
                    }
                )
    return {
        "G": model.state_dict(),
        "G_ema": average.state_dict(),
        "optim": optimizer.state_dict(),
        "log": log,
    }


if __name__ == "__main__":
    leave(explained(main))
