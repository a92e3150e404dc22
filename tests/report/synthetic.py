"""An evaluation that never happened: plausible numbers in the formats that the evaluate stage
writes.
"""

from pathlib import Path

import numpy as np

from mole_jax.core.storage.files import write_json, write_npz


def quality(mean, spread=0.01, failure=0.0, loss=0.2):
    return {
        "mean": mean,
        "median": mean + spread / 4,
        "p10": mean - 3 * spread,
        "failure_rate": failure,
        "ci95": [mean - spread, mean + spread],
        "loss_mean": loss,
    }


def result(shift=0.0):
    alignment = {"r2_mean": 0.957, "r2_median": 0.97, "spearman_mean": 0.996, "mae_mean": 0.043}
    return {
        "n_tasks": 52,
        "n_networks": 416,
        "metric": "accuracy",
        "generated": quality(0.972 + shift, 0.004, 0.0, 0.094),
        "adam": quality(0.985, 0.003, 0.0, 0.051),
        "regret_mean": 0.013 - shift,
        "regret_ci95": [0.010 - shift, 0.016 - shift],
        "prompt_alignment": alignment,
        "alignment_to_guessing": alignment,
        "alignment_outside": {**alignment, "r2_mean": -0.4},
        "achieved_by_prompt": {
            f"{asked:g}": {"test_loss": asked + 0.04, "test_accuracy": 1 - asked / 2}
            for asked in (1.0, 0.5, 0.2, 0.1, 0.05)
        },
        "fixed_prompt": 0.05,
        "condition_use_gap": {"support": 0.763, "target_metric": 0.171, "start": 0.002},
        "equivalent_adam_steps": {"median": 130.0, "p10": 64.0, "censored": 0.02},
        "cost": {
            "networks_per_call": 64,
            "seconds_per_network": 0.0021,
            "seconds_alone": 0.0042,
            "flops_per_network": 5.9e7,
            "adam": {
                "steps": 130.0,
                "share_that_never_gets_there": 0.02,
                "seconds_per_step": 1e-4,
                "seconds_per_network": 0.013,
                "seconds_alone": None,
                "flops": 1.2e8,
            },
            "adam_support": {
                "steps": None,
                "share_that_never_gets_there": 0.6,
                "seconds_per_step": 1e-4,
                "seconds_per_network": None,
                "seconds_alone": None,
                "flops": None,
            },
            "tasks_until_paid_back": {"adam": 23456.7, "adam_support": None},
        },
        "novelty": {
            "rho": 0.91,
            "z_u": -1.3,
            "diversity": 0.87,
            "iou_mean": 0.27,
            "iou_expected": 0.14,
        },
        "methods": {
            "generated": {"label": "Diffusion", "sentence": "A model.", "steps": 4000},
            "adam_support": {"label": "Adam, support set only", "sentence": "Few examples."},
            "regression": {"label": "Regression", "sentence": "No noise.", "steps": 1000},
        },
        "baselines": {
            "adam_support": quality(0.941, 0.006, 0.0, 0.21),
            "retrieval": quality(0.612, 0.03, 0.1, 2.1),
            "soup": quality(0.243, 0.02, 0.93, 1.6),
            "noise": quality(0.568, 0.03, 0.2, 2.3),
            "regression": quality(0.931, 0.008, 0.0, 0.24),
        },
    }


def few_shot():
    """As `measures/few_shot.py` records it: the numbers of the arrays."""
    names = {"diffusion": "Diffusion", "adam_support": "Adam, support set only", "svm": "SVM"}
    shots = {}
    accuracy = [[0.7, 0.66, 0.72], [0.8, 0.77, 0.81], [0.91, 0.88, 0.9], [0.95, 0.92, 0.94]]
    for n, row in zip((1, 2, 5, 10), accuracy, strict=True):
        shots[str(n)] = {}
        for m, name in enumerate(names):
            mean = {"accuracy": float(row[m]), "nll": 0.3, "ece": 0.04, "gain_mean": 0.01}
            one = {**mean, "accuracy": float(row[m]) - (0.02 if name != "svm" else 0.0)}
            shots[str(n)][name] = {"one": one, "mean": mean}
    return {"networks": 8, "labels": names, "shots": shots}


def measured():
    """A split in which everything was measured."""
    return {**result(), "few_shot": few_shot()}


def evaluation():
    return {
        "config": {"seed": 0, "population": {"members": 8}},
        "hardware": {"cpu": "AMD EPYC", "cores": 2, "devices": {"cpu": 1}},
        "seconds": {"zoo": 48.2, "train": 151.0, "evaluate": 41.9},
        "splits": {"S0": result(0.004), "S1": measured()},
        "targets": [
            {"name": "regret (points)", "value": 1.3, "target": "<= 1.0", "met": False},
            {"name": "R² of prompts", "value": 0.957, "target": ">= 0.95", "met": True},
        ],
    }


def one_task(rng):
    """Make a task of three classes: MOLE takes an image of class 2 for class 0, Adam none."""
    truth = np.arange(12) % 3
    ours = np.where(np.arange(12) == 2, 0, truth)
    mistaken = np.array([[1, 0, 0], [0, 1, 0], [0.25, 0, 0.75]])
    return {
        "one_task_split": np.array("S1"),
        "one_task_support": rng.random((3, 2, 8, 8, 1)),
        "one_task_images": rng.random((12, 8, 8, 1)),
        "one_task_truth": truth,
        "one_task_answers": np.stack([ours, truth]),
        "one_task_confusions": np.stack([mistaken, np.eye(3)]),
    }


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    steps = np.array([0, 5, 10, 20, 40, 60, 80, 120, 160, 240, 320, 460])
    rate = rng.lognormal(-3.4, 0.35, size=(240, 1))
    curve = 0.05 + 1.6 / (1 + rate * steps) ** 1.6 * rng.lognormal(0, 0.08, size=(240, 12))
    prompts = np.geomspace(0.03, 1.6, 20)
    slope = prompts + 0.05 * np.exp(-prompts)
    adam = np.clip(0.985 + 0.006 * rng.normal(size=52), 0, 1)
    ends = rng.normal(size=(12, 2)) * 0.5 + np.array([3.0, 1.0])
    along = np.linspace(0, 1, 20)[None, :, None] ** 0.7
    begins = rng.normal(size=(12, 2)) * 0.6 - np.array([2.0, 0.5])
    bend = np.sin(np.pi * along) * rng.normal(size=(12, 1, 2)) * 0.4
    paths = begins[:, None] * (1 - along) + ends[:, None] * along + bend
    reach = np.array([0.25, 0.6, 0.95])[:, None, None]
    goal = ends[:5] + rng.normal(size=(5, 2)) * 0.2
    return {
        **one_task(rng),
        "zoo_steps": steps,
        "zoo_loss": curve,
        "zoo_split": np.array(["train"] * 180 + ["S0"] * 20 + ["S1"] * 40),
        "prompts": prompts,
        "achieved_loss": slope * rng.lognormal(0, 0.18, size=(416, 20)),
        "zoo_loss_range": np.array([0.045, 1.65]),
        "task_ids": np.array([f"digits-5of10-{i}" for i in range(52)]),
        "generated_score": np.clip(adam - rng.gamma(2, 0.006, size=52), 0, 1),
        "adam_score": adam,
        "baseline_names": np.array(["retrieval", "soup", "noise", "regression", "adam_support"]),
        "baseline_score": np.stack(
            [
                adam - gap + 0.03 * rng.normal(size=52) * gap
                for gap in (0.37, 0.74, 0.42, 0.054, 0.04)
            ]
        ),
        "pca_trajectories": paths,
        "pca_loss": 1.6 * np.exp(-3.4 * np.linspace(0, 1, 20))[None] * np.ones((12, 1)),
        "pca_start": begins[:5],
        "pca_predicted": begins[None, :5] * (1 - reach) + goal[None] * reach,
        "pca_prompts": np.array([1.0, 0.3, 0.06]),
        "novelty_generated": rng.normal(5.4, 0.4, size=208),
        "novelty_heldout": rng.normal(5.9, 0.5, size=200),
        "support_sizes": np.array([5, 10, 20, 50, 100]),
        "support_score": np.array([0.80, 0.90, 0.94, 0.965, 0.972])[:, None]
        - rng.gamma(2, 0.008, size=(5, 52)),
        "adam_curve_steps": np.arange(0, 461, 10),
        "adam_curve_loss": 0.05 + 1.55 / (1 + np.arange(0, 461, 10) / 25) ** 1.9,
        "generated_loss_median": np.array(0.09),
    }


def write(workdir: Path, evaluation_record=None, figure_arrays=None) -> Path:
    """Put both files where the evaluate stage puts them; returns the workdir."""
    write_json(workdir / "report" / "evaluation.json", evaluation_record or evaluation())
    if figure_arrays is None:
        figure_arrays = arrays()
    if figure_arrays:
        write_npz(workdir / "evaluate" / "figures.npz", **figure_arrays)
    return workdir
