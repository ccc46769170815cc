"""Implements `hashnet train`, from resolving the options to writing the report."""

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
from hashnet_jax.cli._checks import check_run, split_arrays, write_names
from hashnet_jax.cli._data_record import write_data_record
from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._messages import Flag, flags_of, translate
from hashnet_jax.cli._options import config_of, execution_of
from hashnet_jax.cli._overlaps import check_overlaps
from hashnet_jax.cli._places import run_identity, with_places
from hashnet_jax.cli._rate import with_found_rate
from hashnet_jax.cli._resolve import resolve, resume_command, run_folder_of
from hashnet_jax.cli._results import add_report, validator, write_result
from hashnet_jax.cli._run import Run, describe_run
from hashnet_jax.cli._start import start_state
from hashnet_jax.cli._validation import describe_validation, validation_cutoff
from hashnet_jax.configs import Config
from hashnet_jax.data import DATASETS
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.distributed.printing import printable
from hashnet_jax.model import HashNetParams, with_hash_layer
from hashnet_jax.report import UNVERIFIED, has_result, is_bound, read_result, why_outdated
from hashnet_jax.training import (
    Checkpoints,
    FeatureScale,
    HashLayer,
    Interrupted,
    RunFolder,
    TrainState,
    feature_batches,
    fit,
    hash_layer_state,
    lda_itq_layer,
    load_or_compute_features,
)
from hashnet_jax.training.loggers import LOGGERS, Logger

INTERRUPTED = 130

Say = Callable[[str], object]


class Trained(NamedTuple):
    """The outcome of training.

    Attributes:
      run: the run, including cached features if the backbone is frozen.
      encoder: the trained network, or only its hash layer if the backbone is frozen.
      network: the whole network.
      step: the training step that produced the network's parameters.
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
      The exit status: 0 on success, or 128 + n if signal n interrupted the run.
    """
    execution, path = _settings(args)
    command = resume_command(args.parser.prog, path, execution)

    def remedy() -> str:
        is_first = execution.process in (None, 0)  # the only process that accesses the folder
        has_started = not is_first or (path / "config.json").is_file()
        return f"Continue with: {command}" if has_started else "The run had not started yet."

    places = (execution.coordinator, execution.processes, execution.process)
    try:
        with processes.connected(*places, remedy=remedy):
            return _run_together(args, execution, command)
    except KeyboardInterrupt:
        print(f"interrupted. {remedy()}", file=sys.stderr)
        return INTERRUPTED


def _settings(args: argparse.Namespace) -> tuple[Execution, Path]:
    """Returns the execution settings and run folder; a single error lists all invalid options."""
    problems = []
    for check in (execution_of, run_folder_of, *(() if args.resume else (config_of,))):
        try:
            check(args)
        except ValueError as error:
            problems += str(error).splitlines()
    if problems:
        raise ValueError("\n".join(dict.fromkeys(problems)))
    return execution_of(args), run_folder_of(args)


def _run_together(args: argparse.Namespace, execution: Execution, command: str) -> int:
    """Trains, waits for the other processes to finish, and returns the exit status."""
    try:
        with contextlib.redirect_stdout(sys.stdout if processes.is_first() else None):
            _run(args, execution)
    except Interrupted as stopped:
        processes.wait_for_all()
        print(f"{stopped} Continue with: {command}", file=sys.stderr)
        return 128 + stopped.signal_number
    processes.wait_for_all()
    return 0


def _run(args: argparse.Namespace, execution: Execution) -> None:
    config, folder = resolve(args)
    devices = tuple(local_devices(execution.devices))
    with _entered(folder):
        saved = folder.read_json("config.json")
        if processes.from_first(lambda: has_result(folder.path)):
            processes.together(lambda: _show_finished(config, folder, execution))
            return
        started = time.monotonic()
        dataset = processes.together(lambda: DATASETS[config.dataset](config.data))
        content = config.to_json() if saved is None else with_places(saved, config)
        logger = processes.together(lambda: _logger(execution, folder.path, content))
        run = Run(config, folder, dataset, devices, execution, content, logger=logger)
        with logger or contextlib.nullcontext():
            trained = _begin_and_train(run, flags_of(args.parser))
        if processes.is_first():
            hashnet_jax.save(folder.path, trained.network)
        write_result(trained.run, trained.encoder, step=trained.step, started=started)
        if execution.report and processes.is_first():
            add_report(folder.path, dataset, trained.network)


def _logger(execution: Execution, path: Path, content: Mapping[str, Any]) -> Logger | None:
    """Returns the requested logger in the first process; fails if its library is missing."""
    if execution.logger is None or not processes.is_first():
        return None
    return LOGGERS[execution.logger](path, content)


@contextlib.contextmanager
def _entered(folder: RunFolder) -> Iterator[None]:
    """Locks the folder.

    If an error occurs before anything is written, a newly created folder is removed.
    """
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


def _show_finished(config: Config, folder: RunFolder, execution: Execution) -> None:
    """Prints the result of a finished run, and writes its report if it does not exist yet.

    Raises:
      DamagedFile: if one of the run's files is damaged, or was written by another run.
    """
    if not processes.is_first():
        return
    path = folder.path
    result = read_result(path)
    print(result["summary"])
    print(f"already finished: {path}")
    if not is_bound(result):
        print(f"note: {UNVERIFIED}")
    _show_report(config, path, execution)
    print("To start a new run, choose a different folder with --run-dir.")


def _show_report(config: Config, path: Path, execution: Execution) -> None:
    """Prints the path if the report is up to date, otherwise writes the report, unless disabled."""
    report, problem = path / "report.html", why_outdated(path)
    if problem is None:
        print(f"report: {printable(report)}")
        return
    if report.is_file():
        print(printable(f"note: {report} does not match this result. {problem}"))
    if execution.report:
        add_report(path, DATASETS[config.dataset](config.data), hashnet_jax.load(path))


def _begin_and_train(run: Run, flags: Mapping[str, Flag]) -> Trained:
    for note in run.dataset.notes:  # printed first, because omitted pictures may make a check fail
        print(printable(f"note: {note}"))
    check_run(run)
    for line in (*describe_run(run), *describe_validation(run)):
        print(printable(translate(line, flags)))
    state = start_state(run.config, run.folder)
    # All checks have passed. From here on, the run can be resumed.
    run.folder.write_json("config.json", run.content)
    run.folder.write_arrays("split.npz", split_arrays(run.dataset))
    write_names(run.dataset, run.folder)
    write_data_record(run.dataset, run.folder)
    print(check_overlaps(run.dataset, run.folder, run.execution.check_overlap))

    def say(line: str) -> None:
        print(printable(translate(line, flags)), file=sys.stderr)

    if run.config.freeze_backbone:
        return _train_hash_layer(run, state, say)
    trained, step = _fit(run, state, say)
    return Trained(run, trained, trained, step)


def _train_hash_layer(run: Run, state: TrainState, say: Say) -> Trained:
    """Trains only the hash layer, on cached features from the frozen backbone."""
    config, network = run.config, state.params
    features = load_or_compute_features(
        run.execution.feature_dir or run.folder.path,
        network,
        run.dataset,
        devices=run.devices,
        workers=run.execution.workers,
    )
    run = dataclasses.replace(run, features=features)
    if config.train.learning_rate is None:
        run = with_found_rate(run)
        config, state = run.config, dataclasses.replace(state, spec=run.config.train)
    if config.train.standardize:
        scale = FeatureScale.of(features.take(run.dataset.split.train))
        features = dataclasses.replace(features, scale=scale)
    batches = partial(
        feature_batches,
        features,
        run.dataset,
        batch_size=config.batch_size,
        stop=config.train.total_steps,
        seed=config.seed,
    )
    # Validation encodes the same features as training.
    validated = dataclasses.replace(run, features=features)
    start = hash_layer_state(state, _computed_layer(validated))
    layer, step = _fit(validated, start, say, batches)
    if features.scale is not None:
        layer = features.scale.folded(layer)
    return Trained(run, layer, with_hash_layer(network, layer), step)


def _computed_layer(run: Run) -> HashLayer | None:
    """Returns the initial hash layer if it is computed from the features, otherwise None."""
    assert run.features is not None
    if run.config.train.hash_init != "lda-itq":
        return None
    train = run.dataset.split.train
    return lda_itq_layer(
        run.features.take(train),
        run.dataset.labels[train],
        run.config.model.bits,
        seed=run.config.seed,
    )


def _fit(
    run: Run, state: TrainState, say: Say, batches: Callable[[int], Iterator[Any]] | None = None
) -> tuple[HashNetParams, int]:
    """Trains to the last step; returns the parameters of the selected checkpoint and its step."""
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
        validation_cutoff=validation_cutoff(run),
        workers=run.execution.workers,
        batches=batches,
        run=run_identity(run.content),
        say=say,
        callbacks=() if run.logger is None else (run.logger,),
        profile_steps=run.execution.profile,
    )
    if config.select == "best" and best_step is not None:
        state = _restore_best(run, state, say)
    return state.params, int(state.step)


def _restore_best(run: Run, template: TrainState, say: Say) -> TrainState:
    checkpoints = Checkpoints(
        run.folder.path / "checkpoints",
        keep_best=1,
        read_only=True,
        run=run_identity(run.content),
        say=say,
    )
    with contextlib.closing(checkpoints):
        state, _ = checkpoints.restore_best(template)
    return state
