"""Normalised tensors have mean 0 and deviation 1, and come back as they were."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.representation import normalise
from mole_jax.tasks import networks
from mole_jax.tasks.networks import OUTPUT, Network


def zoo(network: Network) -> np.ndarray:
    """Runs [20, 4, D] whose tensors have different means and scales."""
    rng = np.random.default_rng(0)
    runs = rng.normal(size=(20, 4, network.spec.size)).astype(np.float32)
    for i, field in enumerate(network.spec.fields):
        runs[..., field.slice] = runs[..., field.slice] * 10.0 ** (i % 7 - 3) + i % 7
    return runs


def test_fitted_tensors_have_mean_zero_and_deviation_one(network: Network) -> None:
    runs = zoo(network)
    fitted = normalise.fit(network.spec, runs)
    normalised = np.asarray(fitted.normalise(runs))
    for field in network.spec.fields:
        values = normalised[..., field.slice].astype(np.float64)
        np.testing.assert_allclose(
            values.mean(), 0, atol=1e-2
        )  # float32: a mean of 1000 deviations
        np.testing.assert_allclose(values.std(), 1, rtol=1e-2)
        assert len(np.unique(fitted.mean[field.slice])) == 1  # one affine map for each tensor
        assert len(np.unique(fitted.scale[field.slice])) == 1


def test_round_trip(network: Network) -> None:
    runs = zoo(network)
    fitted = normalise.fit(network.spec, runs)
    for x in (runs, runs[0, 0]):
        again = jax.jit(lambda x: fitted.denormalise(fitted.normalise(x)))(x)
        assert again.dtype == np.float32
        assert (np.abs(again - x) / np.broadcast_to(fitted.scale, x.shape)).max() < 1e-4


def test_change_is_how_far_tensors_go_from_where_they_began(network: Network) -> None:
    rng = np.random.default_rng(0)
    runs = np.repeat(rng.normal(size=(200, 1, network.spec.size)), 3, axis=1).astype(np.float32)
    last = network.spec.fields[-1]
    runs[:, 1:, last.slice] += 2.0
    fitted = normalise.fit(network.spec, runs)
    np.testing.assert_allclose(fitted.change[last.slice] * fitted.scale[last.slice], 2, rtol=1e-4)
    assert np.all(fitted.change[: last.offset] == 0)


def test_constant_tensors_are_shifted_and_not_scaled(network: Network) -> None:
    runs = zoo(network)
    zero, constant = network.spec.fields[0], network.spec.fields[1]
    runs[..., zero.slice] = 0
    runs[..., constant.slice] = 0.1  # whose deviation is above zero by rounding
    fitted = normalise.fit(network.spec, runs)
    np.testing.assert_array_equal(fitted.scale[zero.slice], 1)
    np.testing.assert_array_equal(fitted.scale[constant.slice], 1)
    np.testing.assert_allclose(fitted.normalise(runs)[..., constant.slice], 0, atol=1e-6)
    np.testing.assert_array_equal(fitted.change[zero.slice], 0)


def test_runs_with_one_start_are_centred_parameter_by_parameter(network: Network) -> None:
    rng = np.random.default_rng(0)
    runs, middle = zoo(network), 5 * rng.normal(size=network.spec.size).astype(np.float32)
    others = rng.normal(size=(50, network.spec.size)).astype(np.float32)
    fitted = normalise.fit_shared(network, runs + middle, others)
    normalised = np.asarray(fitted.normalise(runs + middle))
    for field in network.spec.fields:
        values = normalised[..., field.slice].astype(np.float64)
        np.testing.assert_allclose(np.sqrt(np.mean(values**2)), 1, rtol=1e-2)
        away = np.asarray(fitted.normalise(others))[:, field.slice].astype(np.float64)
        np.testing.assert_allclose(
            np.sqrt(np.mean(away**2)), fitted.change[field.slice][0], rtol=1e-3
        )
        axes = network.axes[field.path]
        if OUTPUT in axes:  # so that renaming labels and normalising may change places
            mean = np.moveaxis(fitted.mean[field.slice].reshape(field.shape), axes.index(OUTPUT), 0)
            np.testing.assert_array_equal(mean, np.broadcast_to(mean[:1], mean.shape))
        else:
            np.testing.assert_allclose(values.mean((0, 1)), 0, atol=1e-2)


def test_one_scale_for_all_and_no_mean(network: Network) -> None:
    runs = zoo(network)
    fitted = normalise.fit_global(network.spec, runs)
    assert not fitted.mean.any() and len(np.unique(fitted.scale)) == 1
    np.testing.assert_allclose(fitted.scale[0], runs.std(dtype=np.float64) / 0.538, rtol=1e-5)
    for field in network.spec.fields:
        moved = (runs[:, 1:] - runs[:, :1])[..., field.slice] / fitted.scale[0]
        expected = np.sqrt(np.mean(moved.astype(np.float64) ** 2))
        np.testing.assert_allclose(fitted.change[field.slice], expected, rtol=1e-3)


def test_networks_that_are_all_one_number_have_no_scale(network: Network) -> None:
    with pytest.raises(UserError, match="the same number"):
        normalise.fit_global(network.spec, np.full((2, 3, network.spec.size), 0.1, np.float32))


def test_what_networks_of_several_sizes_lack_stays_zero_and_does_not_count() -> None:
    section = {"name": "mlps", "hidden": (6,), "widths": (2,), "depths": (1,)}
    network = networks.build(section, (5,), 3)
    runs = zoo(network)
    own = network.spec.unflatten(np.ones(network.spec.size))
    for name in ("kernel", "bias"):
        own["hidden_0"][name][..., 2:] = 0
    own["output_0"]["kernel"][2:] = 0
    there = network.spec.flatten(own) > 0
    runs[::2, :, ~there] = 0  # half of the runs have two units, the others all
    fitted = normalise.fit_sizes(network.spec, runs)
    assert not fitted.mean.any()
    normalised = np.asarray(fitted.normalise(runs))
    assert not normalised[::2][..., ~there].any()
    for field in network.spec.fields:
        values = normalised[..., field.slice].astype(np.float64)
        np.testing.assert_allclose(np.sqrt((values[values != 0] ** 2).mean()), 1, rtol=1e-2)
        moved = (values - values[:, :1])[:, 1:]
        in_them = np.repeat(values[:, -1:] != 0, 3, axis=1)
        spread = np.sqrt((moved[in_them] ** 2).mean())
        np.testing.assert_allclose(fitted.change[field.slice], spread, rtol=1e-3)
    with pytest.raises(UserError, match="all parameters are zero, so they have no scale"):
        normalise.fit_sizes(network.spec, 0 * runs)
