"""Continuation schedules, which are functions ``step -> beta`` as in optax.

Beta is passed to jitted functions as a traced scalar, so a new value never triggers recompilation.
To add a schedule, write a function ``(*, total_steps) -> (step -> beta)`` and :func:`register` it.

Reference: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017,
section 3.2 and algorithm 1.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Schedule = Callable[[ArrayLike], Float[Array, ""]]


@runtime_checkable
class ScheduleFactory(Protocol):
    """Builds the schedule for a run of ``total_steps`` steps."""

    def __call__(self, *, total_steps: int) -> Schedule: ...


SCHEDULES: dict[str, ScheduleFactory] = {}


def register(name: str, factory: ScheduleFactory) -> None:
    """Registers a schedule under a name for :class:`hashnet_jax.training.TrainSpec`.

    Args:
      name: the value of ``TrainSpec.beta_schedule`` that selects the schedule.
      factory: takes ``total_steps``, the number of steps in the run, and returns a function
        ``step -> beta`` whose argument may be traced and whose result is a float32 scalar > 0.

    Raises:
      ValueError: if the name is taken.

    Examples:
      >>> def linear(*, total_steps):
      ...     return lambda step: 1.0 + 9.0 * jnp.asarray(step, jnp.float32) / total_steps
      >>> register("sqrt", linear)
      Traceback (most recent call last):
      ...
      ValueError: a schedule named 'sqrt' is already registered. Choose another name.
    """
    if name in SCHEDULES:
        raise ValueError(f"a schedule named {name!r} is already registered. Choose another name.")
    SCHEDULES[name] = factory


def sqrt_schedule(
    *, total_steps: int = 10_000, growth: float = 50.0, refreshes: int = 50
) -> Schedule:
    """The beta schedule of HashNet's authors, scaled to the run length.

    ``beta(step) = sqrt(1 + growth * s / total_steps)``, where s is ``step`` rounded down to a
    multiple of ``total_steps / refreshes``. The defaults match the authors' code: beta is
    ``sqrt(1 + 0.005 * step)``, updated every 200 steps of a 10,000-step run. Beta thus ends near 7,
    not at infinity.

    Args:
      total_steps: number of steps in the run, >= 1.
      growth: total increase in beta squared over the run, finite, >= 0.
      refreshes: number of times beta is updated during the run, >= 1.

    Returns:
      ``step -> beta``, a float32 scalar; steps may be traced.

    Raises:
      ValueError: if an argument is out of range.

    Examples:
      >>> schedule = sqrt_schedule()
      >>> [f"{float(schedule(step)):.4f}" for step in (0, 199, 200, 1000, 6000, 10_000)]
      ['1.0000', '1.0000', '1.4142', '2.4495', '5.5678', '7.1414']

    References:
      Both of the authors' implementations use this schedule, whereas the paper describes
      algorithm 1; see :func:`stage_schedule`.
    """
    if total_steps < 1 or not 0 <= growth < math.inf or refreshes < 1:
        raise ValueError(
            "`total_steps` and `refreshes` must be >= 1, and `growth` finite and >= 0, but got "
            f"total_steps={total_steps}, growth={growth}, refreshes={refreshes}."
        )
    every = max(1, total_steps // refreshes)

    def schedule(step: ArrayLike) -> Float[Array, ""]:
        last_refresh = (jnp.asarray(step) // every * every).astype(jnp.float32)
        return jnp.sqrt(1.0 + growth / total_steps * last_refresh).astype(jnp.float32)

    return schedule


def stage_schedule(
    *, total_steps: int, betas: Sequence[float] = (1.0, 2.0, 4.0, 8.0, 16.0, math.inf)
) -> Schedule:
    """Algorithm 1 of the paper: training in stages with increasing betas, ending with sgn.

    The finite stages share ``total_steps`` equally, and each continues from the weights of the
    previous stage. If the last beta is ``inf``, it applies from ``total_steps`` onwards. Because no
    gradient passes through sgn, the sgn stage takes no steps and only defines the final network.

    Args:
      total_steps: number of steps in the run, at least one per finite stage.
      betas: strictly increasing values, the first of which must be > 0; only the last may be
        ``inf``.

    Returns:
      ``step -> beta``, a float32 scalar; steps may be traced.

    Raises:
      ValueError: if an argument is out of range.

    Examples:
      >>> schedule = stage_schedule(total_steps=90, betas=(1.0, 3.0, 10.0, math.inf))
      >>> [float(schedule(step)) for step in (0, 29, 30, 60, 89, 90)]
      [1.0, 1.0, 3.0, 10.0, 10.0, inf]
    """
    increasing = all(a < b for a, b in itertools.pairwise(betas))
    if not betas or not 0 < betas[0] < math.inf or not increasing:
        raise ValueError(
            "`betas` must be strictly increasing, start with a positive finite value, and contain "
            f"inf only at the end, but got {tuple(betas)}."
        )
    finite = [beta for beta in betas if beta < math.inf]
    if total_steps < len(finite):
        raise ValueError(
            f"`total_steps` must be at least {len(finite)}, one per finite stage, but got "
            f"{total_steps}. Increase `total_steps` or pass fewer `betas`."
        )
    starts = [total_steps * stage // len(finite) for stage in range(len(finite))]
    starts += [total_steps] * (len(betas) - len(finite))

    def schedule(step: ArrayLike) -> Float[Array, ""]:
        stage = jnp.searchsorted(jnp.asarray(starts), jnp.asarray(step), side="right") - 1
        return jnp.asarray(betas, jnp.float32)[jnp.maximum(stage, 0)]

    return schedule


def constant_schedule(*, total_steps: int = 10_000, beta: float = 1.0) -> Schedule:
    """Constant beta (no continuation), as in the paper's HashNet-sgn ablation.

    Args:
      total_steps: ignored; accepted so that all factories share one signature.
      beta: the constant value, > 0.

    Returns:
      ``step -> beta``, a float32 scalar.

    Raises:
      ValueError: if ``beta`` is not positive.

    Examples:
      >>> float(constant_schedule()(9_000))
      1.0
    """
    del total_steps
    if not beta > 0:
        raise ValueError(f"`beta` must be > 0, got {beta}.")

    def schedule(step: ArrayLike) -> Float[Array, ""]:
        del step
        return jnp.asarray(beta, jnp.float32)

    return schedule


register("sqrt", sqrt_schedule)
register("stages", stage_schedule)
register("constant", constant_schedule)
