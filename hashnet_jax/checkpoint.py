"""Checkpoints of the train state and of the data position. The only file that imports orbax."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

from hashnet_jax import processes
from hashnet_jax.state import TrainState

METRIC = "validation_map"
NOT_MEASURED = -1.0  # below any MAP, so that a measured checkpoint always counts as better


class Checkpoints:
    """The checkpoints of one run: the last few, and the best on validation where it is measured.

    A checkpoint appears whole or not at all (orbax writes to a temporary folder and renames). With
    several processes all make the same calls; the first alone reads and writes, as all have the
    same state, and tells the others what it read.

    Args:
      folder: where they are; made if it is not there.
      keep_last: how many of the latest to keep, >= 1.
      keep_best: how many of the best on validation to keep besides; 0 without validation.
      read_only: only look. Otherwise what a killed run left half-written is removed, in the
        background; two that remove at once trip over each other.
    """

    def __init__(self, folder, *, keep_last=2, keep_best=0, read_only=False):
        keep = [policy.LatestN(keep_last)]
        if keep_best:
            keep.append(policy.BestN(get_metric_fn=_validation_map, n=keep_best))
        self._keep_best = keep_best
        self._manager = None
        if not processes.is_first():
            return
        folder = Path(folder).resolve()
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy.AnyPreservationPolicy(keep),
                best_fn=_validation_map if keep_best else None,
                cleanup_tmp_directories=not read_only,
                read_only=read_only,
                # orbax makes no folder for some of the processes.
                create=False,
                multiprocessing_options=ocp.options.MultiprocessingOptions(active_processes={0}),
            ),
            item_names=("state", "data"),
        )

    def save(self, state, *, position, validation_map=None):
        """Saves ``state`` under its step, in the background.

        Args:
          state: :class:`TrainState`.
          position: JSON-able dict: where the data pipeline stands.
          validation_map: MAP on the validation queries in 0..1, if measured.
        """
        if self._manager is None:
            return
        # A copy: the next step is free to reuse the buffers while this is being written.
        arrays = jax.tree.map(np.array, _arrays(state))
        metrics = None
        if self._keep_best:
            metrics = {METRIC: NOT_MEASURED if validation_map is None else validation_map}
        self._manager.save(
            int(state.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays), data=ocp.args.JsonSave(position)
            ),
            metrics=metrics,
        )

    def latest_step(self):
        """The step of the latest whole checkpoint, or None."""
        return processes.from_first(lambda: self._manager.latest_step())

    def best_step(self):
        """The step of the best checkpoint on validation, or None if none was measured."""
        return processes.from_first(self._best_step)

    def _best_step(self):
        # Metrics are read from disk, where a checkpoint saved just now may still be on its way.
        self._manager.wait_until_finished()
        step = self._manager.best_step() if self._keep_best else None
        if step is None or self._manager.metrics(step)[METRIC] == NOT_MEASURED:
            return None
        return step

    def restore(self, template, step):
        """The state and data position saved under ``step``.

        Args:
          template: a :class:`TrainState` of the same run, e.g. a fresh one.
          step: see :meth:`latest_step`.

        Returns:
          ``(state, position)``.
        """
        arrays = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), _arrays(template))

        def read():
            nonlocal arrays
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(arrays), data=ocp.args.JsonRestore()
                ),
            )
            arrays = restored.state
            return restored.data

        position = processes.from_first(read)
        return _state(template, processes.arrays_from_first(arrays)), position

    def close(self):
        """Waits until what was saved is on disk."""
        if self._manager is not None:
            self._manager.wait_until_finished()
            self._manager.close()


def _validation_map(metrics):
    return metrics[METRIC]


def _arrays(state):
    """The state as a dict of arrays: a PRNG key is saved as its data."""
    return {
        "step": state.step,
        "beta": state.beta,
        "variables": state.params.variables,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key),
    }


def _state(template: TrainState, arrays) -> TrainState:
    arrays = jax.tree.map(jnp.array, arrays)
    return dataclasses.replace(
        template,
        step=arrays["step"],
        beta=arrays["beta"],
        params=dataclasses.replace(template.params, variables=arrays["variables"]),
        opt_state=arrays["opt_state"],
        key=jax.random.wrap_key_data(arrays["key"], impl=jax.random.key_impl(template.key)),
    )
