"""Trains HashNet on a data set, encodes queries and database, and reports their MAP."""

import contextlib
import sys
import time
from functools import partial

import jax
import numpy as np
from checks import (
    check_names,
    check_overlaps,
    check_processes,
    check_split,
    split_arrays,
    write_names,
)
from options import parser, resolve
from results import add_report, describe, validator, write_result
from starting import start_state

import hashnet_jax
from hashnet_jax import parallel, processes
from hashnet_jax.checkpoint import Checkpoints
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.data.pictures import ignore_warnings
from hashnet_jax.data.pipeline import check_batch_size
from hashnet_jax.features import cached_features, feature_batches
from hashnet_jax.frozen import hash_layer_state, with_hash_layer
from hashnet_jax.trainer import Interrupted, fit


def show(config, dataset, devices):
    print(f"hashnet_jax {hashnet_jax.__version__}, jax {jax.__version__}, {describe(devices)}")
    for part, content in config.to_json().items():
        if isinstance(content, dict):
            fields = ", ".join(f"{name}={value}" for name, value in content.items())
            print(f"{part}: {fields}")
        else:
            print(f"{part}: {content}")
    sizes = ", ".join(f"{count:,} {name}" for name, count in dataset.split.sizes().items())
    searched = np.isin(dataset.split.train, dataset.split.database).mean()
    print(f"images: {sizes}; {searched:.0%} of the training images are in the database")
    for note in dataset.notes:
        print(f"note: {note}")


def run(args):
    config, folder = resolve(args)
    devices = parallel.local_devices(args.devices)
    with folder:
        finished = folder.read_json("result.json")
        if finished is not None:
            print(finished["summary"])
            print(f"already finished: {folder.path}")
            if args.report and processes.is_first() and not (folder.path / "report.html").is_file():
                dataset = DATASETS[config.dataset](config.data)
                add_report(folder.path, dataset, hashnet_jax.load(folder.path))
            return
        started = time.monotonic()
        dataset = processes.together(lambda: DATASETS[config.dataset](config.data))
        # What can be refused is refused before anything is written.
        parallel.check_splits(config.batch_size, len(devices))
        if config.freeze_backbone and not processes.is_only():
            raise ValueError(
                "--freeze-backbone must run in one process, got several: the hash layer alone is "
                "trained in minutes; leave --coordinator out."
            )
        check_batch_size(config.batch_size, n_train=len(dataset.split.train))
        validate = validator(config, dataset, devices, args.workers)
        check_names(dataset, folder)
        processes.together(lambda: check_split(dataset, folder))
        check_processes(config, dataset)
        show(config, dataset, devices)
        state = start_state(config, folder)
        folder.write_json("config.json", config.to_json())
        folder.write_arrays("split.npz", **split_arrays(dataset))
        write_names(dataset, folder)
        check_overlaps(dataset, folder, args.check_overlap)
        network, features, batches = state.params, None, None
        if config.freeze_backbone:
            state = hash_layer_state(state)
            cache = args.feature_dir or folder.path
            features = cached_features(
                cache, network, dataset, devices=devices, workers=args.workers
            )
            validate = validator(config, dataset, devices, args.workers, features)
            steps = {"batch_size": config.batch_size, "stop": config.train.total_steps}
            batches = partial(feature_batches, features, dataset, **steps, seed=config.seed)
        state, best_step = fit(
            state,
            dataset,
            folder,
            augmentation=config.augmentation,
            batch_size=config.batch_size,
            seed=config.seed,
            devices=devices,
            checkpoint_every=config.checkpoint_every,
            validate=validate,
            validate_every=config.validate_every,
            workers=args.workers,
            batches=batches,
        )
        step, params = int(state.step), state.params
        if config.select == "best":
            checkpoints = Checkpoints(folder.path / "checkpoints", keep_best=1, read_only=True)
            state, _ = checkpoints.restore(state, best_step)
            checkpoints.close()
            step, params = best_step, state.params
        whole = with_hash_layer(network, params) if config.freeze_backbone else params
        if processes.is_first():
            hashnet_jax.save(folder.path, whole)
        encoding = {"devices": devices, "workers": args.workers, "features": features}
        write_result(config, dataset, folder, params, step, started, **encoding)
        if args.report and processes.is_first():
            add_report(folder.path, dataset, whole)


def main(argv=None):
    args = parser().parse_args(argv)
    ignore_warnings()
    try:
        processes.initialize(args.coordinator, args.processes, args.process)
        with contextlib.redirect_stdout(sys.stdout if processes.is_first() else None):
            run(args)
        processes.wait_for_all()
    except Interrupted as stopped:
        processes.wait_for_all()
        print(f"{stopped} Continue with: {resume_command(args)}", file=sys.stderr)
        return 128 + stopped.signal_number
    except KeyboardInterrupt:
        print(f"interrupted. Continue with: {resume_command(args)}", file=sys.stderr)
        return 130
    except (ValueError, FloatingPointError, OSError, ModuleNotFoundError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    return 0


def resume_command(args):
    command = f"python experiments/run.py --run-dir {args.run_dir} --resume"
    places = {name: getattr(args, name) for name in ("coordinator", "processes", "process")}
    given = [f" --{name} {value}" for name, value in places.items() if value is not None]
    return command + "".join(given)


if __name__ == "__main__":
    sys.exit(main())
