"""The continuation: relaxed codes tanh(beta z), schedules of beta, and binary codes sgn(z).

A schedule is a function of hyper-parameters that returns ``step -> beta``, as in optax; beta
enters every jitted function as a traced scalar, so that it never causes a second compilation.

Reference: Cao, Long, Wang, Yu, "HashNet: Deep Learning to Hash by Continuation", ICCV 2017,
section 3.2 and algorithm 1.
"""

import itertools
import math

import jax.numpy as jnp


def relax(logits, beta):
    """Relaxed codes h = tanh(beta z).

    Args:
      logits: float, any shape (``[B, K]``): z, the output of the hash layer.
      beta: scalar > 0, may be traced. At ``inf`` the relaxed codes are sgn(z), with
        sgn(0) = +1 and gradient zero.

    Returns:
      The shape and dtype of ``logits``, in [-1, 1].

    Examples:
      >>> z = jnp.array([-1.0, 0.0, 0.5])
      >>> [f"{h:.3f}" for h in relax(z, 2.0)]
      ['-0.964', '0.000', '0.762']
      >>> relax(z, jnp.inf)
      Array([-1.,  1.,  1.], dtype=float32)
    """
    at_limit = jnp.isinf(beta)
    # inf * 0 is nan, in the value and in the gradient, even in the branch not taken.
    finite = jnp.where(at_limit, 1.0, beta).astype(logits.dtype)
    return jnp.where(at_limit, binarize(logits).astype(logits.dtype), jnp.tanh(finite * logits))


def binarize(logits):
    """Binary codes h = sgn(z), with sgn(0) = +1, so that every code is exactly binary.

    Args:
      logits: float, any shape (``[B, K]``).

    Returns:
      int8 of the same shape, each entry -1 or +1. A NaN gives -1.

    Examples:
      >>> binarize(jnp.array([-0.3, 0.0, 2.0]))
      Array([-1,  1,  1], dtype=int8)

    References:
      The authors' code uses sign, whose 0 at z = 0 is not a binary code.
    """
    return jnp.where(jnp.asarray(logits) >= 0, 1, -1).astype(jnp.int8)


def quantization_gap(codes):
    """How far relaxed codes are from binary: the mean of |1 - |h||.

    Args:
      codes: float, any shape, relaxed codes in [-1, 1].

    Returns:
      A float32 scalar in [0, 1]; 0 for binary codes.

    Examples:
      >>> quantization_gap(jnp.array([[1.0, -0.5]]))
      Array(0.25, dtype=float32)
    """
    return jnp.mean(jnp.abs(1.0 - jnp.abs(jnp.asarray(codes, jnp.float32))))


def sqrt_schedule(*, total_steps=10_000, growth=50.0, refreshes=50):
    """The authors' beta schedule, stretched over a run.

    ``beta(step) = sqrt(1 + growth * s / total_steps)``, where s is ``step`` rounded down to a
    multiple of ``total_steps / refreshes``. The defaults are the authors' own: sqrt(1 + 0.005 it),
    refreshed every 200 of 10,000 iterations. It ends near 7, not at infinity.

    Args:
      total_steps: steps of the run, >= 1.
      growth: how much beta squared grows over the run, >= 0.
      refreshes: how many times beta changes in a run, >= 1.

    Returns:
      ``step -> beta``, a float32 scalar; steps may be traced.

    Raises:
      ValueError: for values out of these ranges.

    Examples:
      >>> schedule = sqrt_schedule()
      >>> [f"{float(schedule(step)):.4f}" for step in (0, 199, 200, 1000, 6000, 10_000)]
      ['1.0000', '1.0000', '1.4142', '2.4495', '5.5678', '7.1414']

    References:
      Both of the authors' codes. The paper states algorithm 1 instead: :func:`stage_schedule`.
    """
    if total_steps < 1 or growth < 0 or refreshes < 1:
        raise ValueError(
            "total_steps and refreshes must be >= 1 and growth >= 0, got "
            f"total_steps={total_steps}, growth={growth}, refreshes={refreshes}."
        )
    every = max(1, total_steps // refreshes)

    def schedule(step):
        last_refresh = (jnp.asarray(step) // every * every).astype(jnp.float32)
        return jnp.sqrt(1.0 + growth / total_steps * last_refresh).astype(jnp.float32)

    return schedule


def stage_schedule(*, total_steps, betas=(1.0, 2.0, 4.0, 8.0, 16.0, math.inf)):
    """The paper's algorithm 1: stages 1 = beta_0 < beta_1 < ... < beta_m, ending at sgn.

    The finite stages share the ``total_steps`` equally, each starting from the weights that the
    one before it left. If the last beta is ``inf``, it holds from ``total_steps`` on: no gradient
    passes through sgn, so the stage has no steps of its own and is the network that comes out.

    Args:
      total_steps: steps of the run, at least one for each finite stage.
      betas: strictly increasing, the first > 0; only the last may be ``inf``.

    Returns:
      ``step -> beta``, a float32 scalar; steps may be traced.

    Raises:
      ValueError: for values out of these ranges.

    Examples:
      >>> schedule = stage_schedule(total_steps=90, betas=(1.0, 3.0, 10.0, math.inf))
      >>> [float(schedule(step)) for step in (0, 29, 30, 60, 89, 90)]
      [1.0, 1.0, 3.0, 10.0, 10.0, inf]
    """
    increasing = all(a < b for a, b in itertools.pairwise(betas))
    if not betas or not 0 < betas[0] < math.inf or not increasing:
        raise ValueError(
            "betas must increase strictly from a positive finite first value, and only the last "
            f"may be inf, got {tuple(betas)}."
        )
    finite = [beta for beta in betas if beta < math.inf]
    if total_steps < len(finite):
        raise ValueError(
            f"total_steps must be at least {len(finite)}, one for each finite stage, got "
            f"{total_steps}: lengthen the run or give fewer betas."
        )
    starts = [total_steps * stage // len(finite) for stage in range(len(finite))]
    starts += [total_steps] * (len(betas) - len(finite))

    def schedule(step):
        stage = jnp.searchsorted(jnp.asarray(starts), jnp.asarray(step), side="right") - 1
        return jnp.asarray(betas, jnp.float32)[jnp.maximum(stage, 0)]

    return schedule
