"""Prediction, the public interface: from a trained model and a support set to networks.

`mole_jax.load` is `load.py`; `Model.predict` in `model.py` is what users call, and `Networks` in
`networks.py` what they get. Everything that callers give is checked here, before anything compiles.

    load.py, model_file.py    a model from a workdir, or from one file
    model.py, writing.py      predict: checks, then one compiled call
    networks.py, tuning.py    predicted networks: apply, average, train further
    estimator.py              the same as a classifier of scikit-learn
    asked.py, asked_network.py, starts.py, support.py, inputs.py    what callers may give
    shipped/                  the models that come with the package

`python -m mole_jax.predict` is the command on top of it.
"""
