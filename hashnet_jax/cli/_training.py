"""Runs `hashnet train`, from options to report."""

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import hashnet_jax
from hashnet_jax.cli._checks import check_overlaps, check_run, split_arrays, write_names
from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._messages import Flag, flags_of, translate
from hashnet_jax.cli._options import execution_of
from hashnet_jax.cli._resolve import resolve, resume_command, run_folder_of
from hashnet_jax.cli._results import add_report, validator, write_result
from hashnet_jax.cli._run import Run, describe_run
from hashnet_jax.cli._start import start_state
from hashnet_jax.configs import Config
from hashnet_jax.data import DATASETS
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.model import HashNetParams, with_hash_layer
from hashnet_jax.training import (
    Checkpoints,
    Interrupted,
    RunFolder,
    TrainState,
    feature_batches,
    fit,
    hash_layer_state,
    load_or_compute_features,
)

INTERRUPTED = 130


class Trained(NamedTuple):
    """Outcome of training.

    Attributes:
      run: the run, with the features it was trained on if the backbone is frozen.
      encoder: the trained network, or only its hash layer if the backbone is frozen.
      network: the whole network.
      step: training step of these parameters.
    """

    run: Run
    encoder: HashNetParams
    network: HashNetParams
    step: int


def train_and_report(args: argparse.Namespace) -> int:
    """Runs `hashnet train`.

    Args:
      args: the parsed arguments; ``args.parser`` is the command's parser.

    Returns:
      The exit status: 0, or 128 + n if signal n interrupted the run.
    """
    execution, path = execution_of(args), run_folder_of(args)
    command = resume_command(args.parser.prog, path, execution)
    try:
        processes.initialize(execution.coordinator, execution.processes, execution.process)
        with contextlib.redirect_stdout(sys.stdout if processes.is_first() else None):
            _run(args, execution)
        processes.wait_for_all()
    except Interrupted as stopped:
        processes.wait_for_all()
        print(f"{stopped} Continue with: {command}", file=sys.stderr)
        return 128 + stopped.signal_number
    except KeyboardInterrupt:
        has_started = (path / "config.json").is_file()
        remedy = f"Continue with: {command}" if has_started else "The run had not started yet."
        print(f"interrupted. {remedy}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _run(args: argparse.Namespace, execution: Execution) -> None:
    config, folder = resolve(args)
    devices = tuple(local_devices(execution.devices))
    with _entered(folder):
        finished = folder.read_json("result.json")
        if finished is not None:
            _show_finished(finished["summary"], config, folder.path, execution)
            return
        started = time.monotonic()
        dataset = processes.together(lambda: DATASETS[config.dataset](config.data))
        run = Run(config, folder, dataset, devices, execution)
        trained = _begin_and_train(run, flags_of(args.parser))
        if processes.is_first():
            hashnet_jax.save(folder.path, trained.network)
        write_result(trained.run, trained.encoder, step=trained.step, started=started)
        if execution.report and processes.is_first():
            add_report(folder.path, dataset, trained.network)


@contextlib.contextmanager
def _entered(folder: RunFolder) -> Iterator[None]:
    """Locks the folder. If the run fails its checks, removes the folder again if it is new."""
    existed = folder.path.exists()
    with folder:
        try:
            yield
        except BaseException:
            if not existed and processes.is_first():
                _remove_if_unused(folder.path)
            raise


def _remove_if_unused(path: Path) -> None:
    if [file.name for file in path.iterdir()] == [".lock"]:
        (path / ".lock").unlink()
        path.rmdir()


def _show_finished(summary: str, config: Config, path: Path, execution: Execution) -> None:
    """Prints the result of an already finished run, and writes its report if missing."""
    print(summary)
    print(f"already finished: {path}")
    report = path / "report.html"
    if processes.is_first() and report.is_file():
        print(f"report: {report}")
    elif processes.is_first() and execution.report:
        add_report(path, DATASETS[config.dataset](config.data), hashnet_jax.load(path))
    print("To start another run, name a new folder with --run-dir.")


def _begin_and_train(run: Run, flags: Mapping[str, Flag]) -> Trained:
    check_run(run)
    for line in describe_run(run):
        print(translate(line, flags))
    state = start_state(run.config, run.folder)
    # All checks have passed: from here on, the run can be resumed.
    run.folder.write_json("config.json", run.config.to_json())
    run.folder.write_arrays("split.npz", split_arrays(run.dataset))
    write_names(run.dataset, run.folder)
    print(check_overlaps(run.dataset, run.folder, run.execution.check_overlap))
    if run.config.freeze_backbone:
        return _train_hash_layer(run, state)
    trained, step = _fit(run, state)
    return Trained(run, trained, trained, step)


def _train_hash_layer(run: Run, state: TrainState) -> Trained:
    """Trains only the hash layer, on the features of the frozen backbone."""
    config, network = run.config, state.params
    features = load_or_compute_features(
        run.execution.feature_dir or run.folder.path,
        network,
        run.dataset,
        devices=run.devices,
        workers=run.execution.workers,
    )
    run = dataclasses.replace(run, features=features)
    batches = partial(
        feature_batches,
        features,
        run.dataset,
        batch_size=config.batch_size,
        stop=config.train.total_steps,
        seed=config.seed,
    )
    layer, step = _fit(run, hash_layer_state(state), batches)
    return Trained(run, layer, with_hash_layer(network, layer), step)


def _fit(
    run: Run, state: TrainState, batches: Callable[[int], Iterator[Any]] | None = None
) -> tuple[HashNetParams, int]:
    """Trains to the last step, and returns the selected parameters and their step."""
    config = run.config
    state, best_step = fit(
        state,
        run.dataset,
        run.folder,
        augmentation=config.augmentation,
        batch_size=config.batch_size,
        seed=config.seed,
        devices=run.devices,
        checkpoint_every=config.checkpoint_every,
        validate=validator(run),
        validate_every=config.validate_every,
        workers=run.execution.workers,
        batches=batches,
    )
    if config.select == "best" and best_step is not None:
        state = _restore(run, state, best_step)
    return state.params, int(state.step)


def _restore(run: Run, template: TrainState, step: int) -> TrainState:
    path = run.folder.path / "checkpoints"
    with contextlib.closing(Checkpoints(path, keep_best=1, read_only=True)) as checkpoints:
        state, _ = checkpoints.restore(template, step)
    return state
