# %% [markdown]
# # Predict classifiers from a few examples
# `glyphs-8` comes with MOLE, meta-trained on characters and on no digit. Shown a few images of five
# digits, it writes a convolutional network in one pass. Classical learners get the same images.

# %%
import os
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import scale
from sklearn.svm import SVC

import mole_jax
from mole_jax.core.program import compiled
from mole_jax.report import style

OUT = Path("runs/examples")
SMALL = bool(os.environ.get("MOLE_EXAMPLES_SMALL"))
SHOTS, DRAWS, TESTED = ((1, 2), 3, 200) if SMALL else ((1, 2, 5, 10), 20, 500)
OUT.mkdir(parents=True, exist_ok=True)
plt.rcParams.update(style.RC)
model = mole_jax.load("glyphs-8")
images, digits = load_digits(return_X_y=True)
images = images * 255 / 16  # the model expects pixels from 0 to 255


def draw(x, y, seed, shots, ways):
    """Draw `ways` classes, `shots` labelled examples of each, and others to test on."""
    rng = np.random.default_rng([seed, shots])
    classes = np.sort(rng.permutation(np.unique(y))[:ways])
    rows = rng.permutation(np.flatnonzero(np.isin(y, classes)))
    shown = np.concatenate([rows[y[rows] == c][:shots] for c in classes])
    others = rows[~np.isin(rows, shown)][:TESTED]
    return x[shown], y[shown], x[others], y[others]


# %% [markdown]
# ## One task
# `predict` returns networks; `confidence` is the largest of their mean class probabilities.

# %%
x, y, others, truth = draw(images, digits, seed=1, shots=2, ways=5)
classes, labels = np.unique(y, return_inverse=True)
with compiled.kept():  # compiling takes ten seconds, and the next run finds the program
    nets = model.predict(x, labels, n=8, key=jax.random.key(0))
guess, sure = classes[nets.mean(others).argmax(-1)], np.asarray(nets.confidence(others))
print(f"{nets}\naccuracy of the mean of the 8 networks: {np.mean(guess == truth):.3f}")

figure = plt.figure(figsize=(7.5, 3.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=(2, 6))
figure.suptitle("support set; least confident images: predicted (true) and confidence")
for axes, image in zip(left.subplots(5, 2).flat, x):
    axes.imshow(image.reshape(8, 8), cmap="gray_r")
    axes.set_axis_off()
for axes, i in zip(right.subplots(3, 6).flat, np.argsort(sure)):
    axes.imshow(others[i].reshape(8, 8), cmap="gray_r")
    colour = style.SECOND if guess[i] == truth[i] else style.BASELINE
    axes.set_title(f"{guess[i]} ({truth[i]}) {sure[i]:.2f}", color=colour)
    axes.set_axis_off()
figure.savefig(OUT / "predict_task.png", dpi=150)

# %% [markdown]
# ## Many tasks
# `OnePassClassifier` is the model as an estimator of scikit-learn.

# %%
RIVALS = KNeighborsClassifier(1), LogisticRegression(max_iter=1000), SVC(C=10)
NAMES = "MOLE", "1-NN", "logistic regression", "SVM"
accuracy = np.zeros((len(NAMES), len(SHOTS), DRAWS))
sure, right = np.zeros((2, len(SHOTS), DRAWS, TESTED))
for i, j in np.ndindex(len(SHOTS), DRAWS):
    x, y, others, truth = draw(images, digits, j, SHOTS[i], ways=5)
    with compiled.kept():
        classifier = mole_jax.OnePassClassifier(model, random_state=j).fit(x, y)
    sure[i, j] = classifier.networks_.confidence(others)
    right[i, j] = classifier.predict(others) == truth
    rivals = (rival.fit(x / 255, y).score(others / 255, truth) for rival in RIVALS)
    accuracy[:, i, j] = right[i, j].mean(), *rivals

figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
for name, colour, values in zip(NAMES, ("#0072b2", "#68707a", "#009e73", "#d55e00"), accuracy):
    mean, error = values.mean(-1), values.std(-1, ddof=1) / DRAWS**0.5
    print(f"{name:20} {np.round(100 * mean, 1)} ± {np.round(100 * error, 1)} %")
    axes[0].errorbar(SHOTS, mean, error, color=colour, capsize=3, marker=".", label=name)
axes[0].set(xscale="log", xlabel="examples of each digit", ylabel="accuracy on five digits")
axes[0].set_xticks(SHOTS, map(str, SHOTS))
for i, colour in ((0, "#56b4e9"), (-1, "#0072b2")):
    n, order = np.arange(1, sure[i].size + 1), np.argsort(-sure[i], axis=None)
    share, mean = calibration_curve(right[i].ravel(), sure[i].ravel())
    axes[1].plot(mean, share, color=colour, marker=".", label=f"{SHOTS[i]} of each digit")
    axes[2].plot(n / n[-1], right[i].ravel()[order].cumsum() / n, color=colour)
axes[1].plot((0.2, 1), (0.2, 1), color=style.MUTED, ls="--", label="calibrated")
axes[1].set(xlabel="confidence of the networks", ylabel="share that is right")
axes[2].set(xlabel="share of images, most confident first", ylabel="accuracy on these")
for one in axes[:2]:
    one.legend()
figure.savefig(OUT / "predict_accuracy.png", dpi=150)

# %% [markdown]
# MOLE is 4 to 5 points ahead of the best rival at one or two examples, and less than one at ten.
# Confidence is close to the share that is right, and says which answers to trust: from one example
# of each digit, the more confident half of the answers is 96 % right.
# ## Where an SVM wins
# On tables, whose columns become pixels here: 2 points on wines. And where there are many examples:
# these networks get no better from more than ten of each class (docs/models.md), an SVM does.

# %%
data, found = (scale(load_wine().data), load_wine().target), []
for j in range(DRAWS):
    x, y, others, truth = draw(*data, j, 2 if SMALL else 10, ways=3)
    both = mole_jax.OnePassClassifier(model, inputs="features", random_state=j), SVC()
    found.append([estimator.fit(x, y).score(others, truth) for estimator in both])
print(f"three wines, {len(y) // 3} of each: MOLE and SVM {np.round(100 * np.mean(found, 0), 1)} %")
