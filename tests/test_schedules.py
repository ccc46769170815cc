"""Tests the beta schedules, including one added from outside the package."""

import math

import jax
import jax.numpy as jnp
import pytest

from hashnet_jax import schedules
from hashnet_jax.schedules import constant_schedule, sqrt_schedule, stage_schedule
from hashnet_jax.training import TrainSpec, init_state
from tests.support.tiny import TINY


def toy_schedule(*, total_steps):
    """Increases beta linearly from 1 to 3."""
    return lambda step: 1.0 + 2.0 * jnp.asarray(step, jnp.float32) / total_steps


schedules.register("toy_schedule", toy_schedule)


def test_sqrt_schedule_stretches_with_the_run():
    authors, stretched = sqrt_schedule(), sqrt_schedule(total_steps=500)
    for step in range(0, 500, 7):
        assert float(stretched(step)) == pytest.approx(float(authors(step * 20)), rel=1e-6)


def test_stages_follow_in_order_and_end_at_sgn():
    schedule = stage_schedule(total_steps=10, betas=(1.0, 2.0, 4.0, math.inf))
    betas = [float(schedule(step)) for step in range(12)]
    assert betas == [1, 1, 1, 2, 2, 2, 4, 4, 4, 4, math.inf, math.inf]


def test_the_default_stages_double_beta_and_end_at_sgn():
    schedule = stage_schedule(total_steps=5)
    betas = [float(schedule(step)) for step in range(-1, 7)]
    assert betas == [1, 1, 2, 4, 8, 16, math.inf, math.inf]


def test_a_run_shorter_than_the_number_of_refreshes_refreshes_at_every_step():
    schedule = sqrt_schedule(total_steps=10)
    assert [float(schedule(step)) for step in (0, 3, 7)] == [1, 4, 6]


def test_hyper_parameters_at_the_edge_of_their_range_are_accepted():
    assert float(sqrt_schedule(total_steps=1, refreshes=1)(1)) == pytest.approx(math.sqrt(51))
    assert float(sqrt_schedule(total_steps=7, refreshes=1)(6)) == 1
    assert float(sqrt_schedule(growth=0.0)(9_000)) == 1
    assert float(stage_schedule(total_steps=2, betas=(0.5, 2.0))(1)) == 2
    assert float(constant_schedule(beta=0.5)(0)) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sqrt_schedule(total_steps=0), "`total_steps`"),
        (lambda: sqrt_schedule(growth=-1.0), "`growth` finite and >= 0"),
        (lambda: sqrt_schedule(growth=math.inf), "`growth` finite and >= 0"),
        (lambda: sqrt_schedule(growth=math.nan), "`growth` finite and >= 0"),
        (lambda: sqrt_schedule(refreshes=0), "`refreshes` must be >= 1"),
        (lambda: stage_schedule(total_steps=9, betas=()), "strictly increasing"),
        (lambda: stage_schedule(total_steps=9, betas=(1.0, math.nan)), "strictly increasing"),
        (lambda: constant_schedule(beta=math.nan), "`beta` must be > 0, got nan"),
        (lambda: stage_schedule(total_steps=9, betas=(1.0, 1.0)), "strictly increasing"),
        (lambda: stage_schedule(total_steps=9, betas=(0.0, 1.0)), "positive"),
        (lambda: stage_schedule(total_steps=9, betas=(math.inf,)), "positive finite"),
        (lambda: stage_schedule(total_steps=1, betas=(1.0, 2.0)), "at least 2"),
        (lambda: constant_schedule(beta=0.0), "`beta` must be > 0, got 0.0"),
    ],
)
def test_hyper_parameters_out_of_range_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_schedule_registered_under_a_name_sets_beta_of_the_train_state():
    train = TrainSpec(total_steps=10, beta_schedule="toy_schedule")
    assert float(init_state(jax.random.key(0), TINY, train).beta) == 1.0
    schedule = schedules.SCHEDULES[train.beta_schedule](total_steps=10)
    assert float(jax.jit(schedule)(5)) == 2.0


def test_a_registered_name_cannot_be_reused():
    with pytest.raises(ValueError, match="'sqrt' is already registered"):
        schedules.register("sqrt", toy_schedule)
