"""Trains HashNet on a data set, encodes queries and database, and reports their MAP."""

import contextlib
import dataclasses
import platform
import sys
import time
from functools import partial

import jax
import numpy as np
from options import FREE_ON_RESUME, parser, resolve

import hashnet_jax
from hashnet_jax import parallel, processes
from hashnet_jax.checkpoint import Checkpoints
from hashnet_jax.code_statistics import code_statistics
from hashnet_jax.data import overlap
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.data.pictures import ignore_warnings
from hashnet_jax.data.pipeline import check_batch_size
from hashnet_jax.evaluation import encode_all
from hashnet_jax.features import cached_features, encode_features, feature_batches
from hashnet_jax.frozen import hash_layer_state, with_hash_layer
from hashnet_jax.metrics import evaluate
from hashnet_jax.pretrained import find_weights, load_backbone
from hashnet_jax.progress import Progress
from hashnet_jax.state import init_state
from hashnet_jax.trainer import Interrupted, fit
from hashnet_jax.weight_files import sha256


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


def describe(devices):
    count = jax.process_count()
    each = f"{len(devices)} x {devices[0].device_kind}"
    return each if count == 1 else f"{count} processes of {each}"


def check_processes(config, dataset):
    """Raises ValueError if several processes would train on other data or with other options."""
    content = config.to_json()
    content["data"] |= dict.fromkeys(FREE_ON_RESUME)  # where it is may differ
    processes.check_same("config", content | {"version": hashnet_jax.__version__})
    for name, array in split_arrays(dataset).items():
        processes.check_same(f"{name} of the data", array)


def check_names(dataset, folder):
    """Raises ValueError if a continued run would see other pictures than it began with."""
    saved = folder.read_json("pictures.json")
    if saved is not None and saved["names"] != list(dataset.names):
        new, old = set(dataset.names), set(saved["names"])
        raise ValueError(
            "a resumed run must have the pictures that it began with, got "
            f"{len(new - old):,} others and {len(old - new):,} gone (names are in "
            f"{folder.path / 'pictures.json'}): put them back, or start another run."
        )


def split_arrays(dataset):
    """What `split.npz` holds: the indices of each part, and the labels they stand for."""
    parts = {name: getattr(dataset.split, name) for name in dataset.split.sizes()}
    return parts | {"labels": dataset.labels}


def check_split(dataset, folder):
    """Raises ValueError if the data is not that with which the run began."""
    saved = folder.read_arrays("split.npz") or {}
    for name, array in split_arrays(dataset).items():
        if name in saved and not np.array_equal(saved[name], array):
            raise ValueError(
                f"a resumed run must find the data it began with, got other {name} than in "
                f"{folder.path / 'split.npz'}: put the data back, or start another run."
            )


def write_names(dataset, folder):
    """`pictures.json`: what the indices of `split.npz` and `codes.npz` stand for."""
    if dataset.names:
        skipped = [{"name": name, "reason": reason} for name, reason in dataset.skipped]
        content = {"names": dataset.names, "classes": dataset.classes, "skipped": skipped}
        folder.write_json("pictures.json", content)


def check_overlaps(dataset, folder, when):
    """Writes `overlaps.json`, and says what is in it; copies are looked for once in a run."""
    by_content = when == "always" or (when == "auto" and overlap.is_cheap(dataset))
    found = folder.read_json("overlaps.json")
    if not processes.is_first():
        return
    if found is None or (by_content and not overlap.has_content(found)):
        if by_content:
            count = overlap.n_compared(dataset)
            with Progress(count, "comparing pictures", "image") as progress:
                found = overlap.overlaps(dataset, progress=progress)
        else:
            found = overlap.overlaps(dataset, by_content=False)
        folder.write_json("overlaps.json", found)
    print(overlap.describe(found))


def validator(config, dataset, devices, workers, features=None):
    """``params -> MAP@all`` of the validation images among the training images."""
    if not config.validate_every:
        return None
    split = dataset.split
    if not len(split.validation):
        raise ValueError(
            "--validate-every needs validation images, got none: give --validation-per-class N."
        )

    def validate(params):
        codes = [
            encode(params, config, dataset, indices, devices, workers, features=features)
            for indices in (split.validation, split.train)
        ]
        labels = dataset.labels[split.validation], dataset.labels[split.train]
        result = evaluate(*codes, *labels, bits=config.model.bits)
        return float(result.mean_average_precision.expected)

    return validate


def encode(params, config, dataset, indices, devices, workers, what=None, features=None):
    """Packed codes of the images at ``indices``; ``params`` is a hash layer, given features."""
    if features is not None:
        return encode_features(params, features, indices)
    kwargs = {"devices": devices, "batch_size": config.batch_size, "workers": workers}
    if what is None:
        return encode_all(params, dataset.source, indices, **kwargs)
    with Progress(len(indices), what, "image") as progress:
        return encode_all(params, dataset.source, indices, **kwargs, progress=progress)


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
        report(config, dataset, folder, params, step, devices, args.workers, started, features)
        if args.report and processes.is_first():
            add_report(folder.path, dataset, whole)


def initial_state(config):
    """The state before the first step, its backbone's weights random or pretrained."""
    state = init_state(jax.random.key(config.seed), config.model, config.train)
    if config.pretrained == "none":
        return state
    file = find_weights(config.model.backbone, config.pretrained)
    if config.pretrained_sha256 not in (None, sha256(file)):
        raise ValueError(
            f"{file} must be the file that the run began with (SHA-256 "
            f"{config.pretrained_sha256}), got another content: put it back, or start another run."
        )
    if file.name == "model.npz":
        return dataclasses.replace(state, params=trained_network(file.parent, config.model))
    return dataclasses.replace(state, params=load_backbone(state.params, file))


def trained_network(run_dir, spec):
    """The network of a finished run, its hash layer included, to train further."""
    params = hashnet_jax.load(run_dir)
    # The size of images and the dtype of the computation may be others.
    free = {name: getattr(spec, name) for name in ("image_size", "resize", "dtype")}
    if dataclasses.replace(params.spec, **free) != spec:
        raise ValueError(
            f"a run that starts from another must be of its backbone, bits, mean and std, got "
            f"{spec} for the {params.spec} in {run_dir}: give --backbone and --bits accordingly."
        )
    return dataclasses.replace(params, spec=spec)


def start_state(config, folder):
    """The state to train from; a run that has checkpoints takes its weights from them.

    The checkpoints of a run with a frozen backbone hold its hash layer only.
    """
    if has_checkpoint(folder) and not config.freeze_backbone:
        return init_state(jax.random.key(config.seed), config.model, config.train)
    return processes.together(lambda: initial_state(config))


def has_checkpoint(folder):
    path = folder.path / "checkpoints"
    if not processes.from_first(path.is_dir):
        return False
    with contextlib.closing(Checkpoints(path, read_only=True)) as checkpoints:
        return checkpoints.latest_step() is not None


def report(config, dataset, folder, params, step, devices, workers, started, features=None):
    """Encodes queries and database, and writes codes and result."""
    split, bits = dataset.split, config.model.bits
    codes = {
        name: encode(
            params, config, dataset, indices, devices, workers, f"encoding {name}", features
        )
        for name, indices in (("query", split.query), ("database", split.database))
    }
    overlaps = folder.read_json("overlaps.json")
    if not processes.is_first():
        return
    labels = {name: dataset.labels[getattr(split, name)] for name in codes}
    folder.write_arrays(
        "codes.npz",
        **{f"{name}_codes": packed for name, packed in codes.items()},
        **{f"{name}_labels": of for name, of in labels.items()},
        **{f"{name}_indices": getattr(split, name) for name in codes},
        bits=bits,
    )
    evaluation = evaluate(
        codes["query"],
        codes["database"],
        labels["query"],
        labels["database"],
        bits=bits,
        cutoff=config.cutoff,
    )
    mean = evaluation.mean_average_precision
    statistics = code_statistics(codes["database"], bits=bits, classes=len(dataset.classes))
    folder.write_json(
        "result.json",
        {
            "summary": str(mean),
            "convention": mean.convention,
            "map": dataclasses.asdict(mean),
            "codes": dataclasses.asdict(statistics) | {"ones": statistics.ones.tolist()},
            "step": step,
            "sizes": split.sizes(),
            "overlaps": overlaps,
            "notes": dataset.notes,
            "variant": config.variant,
            "devices": describe(devices),
            "seconds": round(time.monotonic() - started, 1),
            "versions": {
                "hashnet_jax": hashnet_jax.__version__,
                "jax": jax.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        },
    )
    print(statistics)
    print(
        f"{config.dataset}, {bits} bits, {len(split.query):,} queries in "
        f"{len(split.database):,} images: {mean}"
    )
    print(f"in {time.monotonic() - started:.0f} s; everything is in {folder.path}")


def add_report(run_dir, dataset, params):
    """Writes `report.html`; where that fails, says so: the run is finished without it."""
    try:
        from report import write_report  # matplotlib and scikit-learn, which no run needs

        print(f"report: {write_report(run_dir, dataset, params)}")
    except Exception as error:
        print(
            f"the result is written, but not its report ({type(error).__name__}: {error}): once "
            f"that is mended, `python experiments/report.py {run_dir}` writes it.",
            file=sys.stderr,
        )


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
