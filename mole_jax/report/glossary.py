"""The words of the report, each in a sentence or two for someone who has not read the code.

Baselines and other learners are not here: an evaluation records a sentence on each.
"""

from __future__ import annotations

GLOSSARY = {
    "task": "A data subset to classify, or an environment with its own parameters to act in.",
    "data subset": (
        "Some of the classes of a data set, relabelled 0, 1, 2 … in a fixed order. Each subset "
        "is a task of its own: a network trained for one is useless for another."
    ),
    "support set": (
        "The labelled examples of a subset that the model is shown; for an environment, what "
        "random actions did in it. None of its images are among those that the zoo was trained on, "
        "or among the test images."
    ),
    "prompt": (
        "All that a prediction is conditioned on: the support set, the loss asked for (or no "
        "number: as good as you can), and the start."
    ),
    "start": "The weights that the prediction sets out from; here a random initialisation.",
    "zoo": (
        "The stored training histories that MOLE learns from: many networks on many subsets, "
        "each with snapshots of its weights from the first step to the last."
    ),
    "run, snapshot": (
        "A run is one network's training history; a snapshot is its weights at one step, with "
        "its measured loss."
    ),
    "S0": (
        "Held-out runs of subsets that other runs in the zoo were trained on: easy, and by "
        "itself no proof of anything."
    ),
    "S1": "Data subsets that no run in the zoo was trained on: what the headline is about.",
    "S2, S3": "Data subsets with classes, or of data sets, that no run in the zoo was trained on.",
    "S4": (
        "Data subsets of S1, and networks of sizes that no run in the zoo has; the name says the "
        "widths of their hidden layers."
    ),
    "regret": (
        "The accuracy (or return) of Adam-trained networks minus that of generated ones, from the "
        "same starts, in points."
    ),
    "failure": ("A network worse than a quarter of the way from guessing to a trained network."),
    "p10": "The tenth percentile over networks: nine in ten are better.",
    "95 % interval": (
        "Where the mean would fall if other subsets of the same kind had been drawn (bootstrap "
        "over subsets)."
    ),
    "loss": (
        "Cross-entropy on test images in nats; lower is better. Guessing among K classes has a "
        "loss of log K. For a policy: the share of the largest return that it misses."
    ),
    "R²": (
        "1 means that a network has exactly the loss asked for, at every prompt; 0 is no better "
        "than always having the average of the losses asked for; it can be negative."
    ),
    "Spearman": (
        "Whether networks asked for lower losses have lower losses, whatever the values: 1 "
        "always, 0 no relation."
    ),
    "condition-use gap": (
        "The score with the right condition minus the score with another network's. Near "
        "zero, the model ignores that condition."
    ),
    "rho": (
        "The median distance from generated networks to their nearest training network, divided "
        "by the same for independently trained networks. Hidden units are matched first, since "
        "their order means nothing."
    ),
    "Z_U": (
        "A rank test of those distances; below about −2 the generated networks are closer to "
        "training networks than independent ones are, which is a sign of copying."
    ),
    "diversity": (
        "The median distance from generated networks to the nearest other one of the same task, "
        "divided by the same for as many independently trained networks. Near 0, the model always "
        "gives the same network."
    ),
    "IoU of mistakes": (
        "How much the set of wrongly classified images overlaps with that of the most similar "
        "training network: 1 means the same mistakes. “Expected” is what the numbers of mistakes "
        "alone would give by chance."
    ),
    "Adam (trained)": (
        "Ordinary training from the same starts on the images of the zoo's training pool."
    ),
}
