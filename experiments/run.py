"""Trains HashNet on a data set, encodes queries and database, and reports their MAP.

python experiments/run.py                                       digits, no download
python experiments/run.py --dataset imagenet100 --data-dir DIR
python experiments/run.py --run-dir runs/digits-... --resume    continue an interrupted run
"""

import argparse
import dataclasses
import platform
import sys
import time
from pathlib import Path

import jax
import numpy as np
from presets import PRESETS, Config

import hashnet_jax
from hashnet_jax import parallel
from hashnet_jax.backbones import BACKBONES
from hashnet_jax.checkpoint import Checkpoints
from hashnet_jax.code_statistics import code_statistics
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.evaluation import encode_all
from hashnet_jax.metrics import evaluate
from hashnet_jax.optim import BETA_SCHEDULES
from hashnet_jax.progress import Progress
from hashnet_jax.run_folder import RunFolder
from hashnet_jax.state import init_state
from hashnet_jax.trainer import Interrupted, fit

# Options that change a part of the config, and where they go: (part or None, field).
FIELDS = {
    "bits": ("model", "bits"),
    "backbone": ("model", "backbone"),
    "image_size": ("model", "image_size"),
    "dtype": ("model", "dtype"),
    "steps": ("train", "total_steps"),
    "learning_rate": ("train", "learning_rate"),
    "beta_schedule": ("train", "beta_schedule"),
    "train_per_class": ("data", "train_per_class"),
    "queries_per_class": ("data", "queries_per_class"),
    "validation_per_class": ("data", "validation_per_class"),
    "split_seed": ("data", "split_seed"),
    "data_dir": ("data", "data_dir"),
    "manual_dir": ("data", "manual_dir"),
    "batch_size": (None, "batch_size"),
    "seed": (None, "seed"),
    "checkpoint_every": (None, "checkpoint_every"),
    "validate_every": (None, "validate_every"),
    "select": (None, "select"),
}

# What may differ between a run and its continuation: where the data is, not what it is.
FREE_ON_RESUME = ("data_dir", "manual_dir")


def parser():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--dataset", choices=DATASETS, help="default: digits")
    p.add_argument("--bits", type=int, help="length of a code, K (default: 48)")
    p.add_argument("--backbone", choices=BACKBONES, metavar="NAME", help=", ".join(BACKBONES))
    p.add_argument("--steps", type=int, help="steps of training; schedules stretch with them")
    p.add_argument("--batch-size", type=int, help="images a step, over all devices")
    p.add_argument("--learning-rate", type=float, help="of the backbone at the start")
    p.add_argument("--seed", type=int, help="of weights and order of the data (default: 0)")
    folder = p.add_argument_group("the run")
    folder.add_argument(
        "--run-dir", type=Path, help="default: runs/DATASET-BACKBONE-BITSbits-seedSEED"
    )
    folder.add_argument("--resume", action="store_true", help="continue the run in --run-dir")
    folder.add_argument("--checkpoint-every", type=int, metavar="STEPS")
    folder.add_argument(
        "--validate-every", type=int, metavar="STEPS", help="0 (default) never validates"
    )
    folder.add_argument(
        "--select",
        choices=("last", "best"),
        help="evaluate the last checkpoint (default) or the best on validation",
    )
    folder.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="leave out report.html and figures/, which need matplotlib and scikit-learn",
    )
    data = p.add_argument_group("data")
    data.add_argument("--data-dir", help="TFDS's folder (default: ~/tensorflow_datasets)")
    data.add_argument(
        "--manual-dir", help="folder of the ILSVRC2012 archives, to prepare imagenet100 from"
    )
    data.add_argument("--train-per-class", type=int, metavar="N", help="training images a class")
    data.add_argument("--queries-per-class", type=int, metavar="N", help="queries a class")
    data.add_argument(
        "--validation-per-class", type=int, metavar="N", help="validation images a class"
    )
    data.add_argument("--split-seed", type=int, help="of the draw of the split (default: 0)")
    method = p.add_argument_group("method")
    method.add_argument("--beta-schedule", choices=BETA_SCHEDULES)
    method.add_argument("--image-size", type=int, help="side the backbone sees, pixels")
    method.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the computation")
    machine = p.add_argument_group("machine")
    machine.add_argument("--devices", type=int, help="how many to use (default: all)")
    machine.add_argument("--workers", type=int, default=0, help="processes that load images")
    return p


def overrides(args):
    """The config fields that were given on the command line: {option: value}."""
    return {name: getattr(args, name) for name in FIELDS if getattr(args, name) is not None}


def with_overrides(config, given):
    """``config`` with the given options in place; image sizes follow the backbone."""
    changes = {"model": {}, "train": {}, "data": {}, None: {}}
    for name, value in given.items():
        part, field = FIELDS[name]
        changes[part][field] = value
    model = changes["model"]
    smallest = BACKBONES[model.get("backbone", config.model.backbone)].smallest
    size = model.get("image_size", config.model.image_size)
    if size < smallest and "image_size" not in given:
        size = BACKBONES[model["backbone"]].image_size
    # The margin around the centre crop keeps its proportion.
    margin = config.model.resize / config.model.image_size
    model |= {"image_size": size, "resize": round(size * margin)}
    parts = {
        part: dataclasses.replace(getattr(config, part), **changes[part])
        for part in ("model", "train", "data")
    }
    return dataclasses.replace(config, **parts, **changes[None])


def resolve(args):
    """The config of the run and its folder; a continued run has the config it began with."""
    given = overrides(args)
    fresh = with_overrides(PRESETS[args.dataset or "digits"], given)
    # Kept in args, so that an interruption can name it.
    args.run_dir = args.run_dir or default_folder(fresh)
    folder = RunFolder(args.run_dir, resume=args.resume)
    if not args.resume:
        return fresh, folder
    saved = Config.from_json(folder.read_json("config.json"))
    config = with_overrides(
        saved, {name: value for name, value in given.items() if name in FREE_ON_RESUME}
    )
    differing = [
        f"--{name.replace('_', '-')} {value}"
        for name, value in given.items()
        if with_overrides(config, {name: value}) != config
    ]
    if args.dataset not in (None, saved.dataset):
        differing.insert(0, f"--dataset {args.dataset}")
    if differing:
        raise ValueError(
            f"a resumed run must keep its config, got {', '.join(differing)} for the run in "
            f"{args.run_dir}: leave these options out, or start another run without --resume."
        )
    return config, folder


def default_folder(config):
    model = config.model
    return Path("runs") / (f"{config.dataset}-{model.backbone}-{model.bits}bits-seed{config.seed}")


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


def describe(devices):
    return f"{len(devices)} x {devices[0].device_kind}"


def validator(config, dataset, devices, workers):
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
            encode(params, config, dataset, indices, devices, workers)
            for indices in (split.validation, split.train)
        ]
        labels = dataset.labels[split.validation], dataset.labels[split.train]
        result = evaluate(*codes, *labels, bits=config.model.bits)
        return float(result.mean_average_precision.expected)

    return validate


def encode(params, config, dataset, indices, devices, workers, what=None):
    """Packed codes of the images at ``indices``."""
    batch_size = -(-config.batch_size // len(devices)) * len(devices)
    kwargs = {"devices": devices, "batch_size": batch_size, "workers": workers}
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
            return
        started = time.monotonic()
        dataset = DATASETS[config.dataset](config.data)
        show(config, dataset, devices)
        folder.write_json("config.json", config.to_json())
        folder.write_arrays("split.npz", **dataclasses.asdict(dataset.split))
        state = init_state(jax.random.key(config.seed), config.model, config.train)
        state, best_step = fit(
            state,
            dataset,
            folder,
            augmentation=config.augmentation,
            batch_size=config.batch_size,
            seed=config.seed,
            devices=devices,
            checkpoint_every=config.checkpoint_every,
            validate=validator(config, dataset, devices, args.workers),
            validate_every=config.validate_every,
            workers=args.workers,
        )
        step, params = int(state.step), state.params
        if config.select == "best":
            checkpoints = Checkpoints(folder.path / "checkpoints", keep_best=1)
            state, _ = checkpoints.restore(state, best_step)
            checkpoints.close()
            step, params = best_step, state.params
        hashnet_jax.save(folder.path, params)
        report(config, dataset, folder, params, step, devices, args.workers, started)
        if args.report:
            add_report(folder.path, dataset, params)


def report(config, dataset, folder, params, step, devices, workers, started):
    """Encodes queries and database, and writes codes and result."""
    split, bits = dataset.split, config.model.bits
    codes = {
        name: encode(params, config, dataset, indices, devices, workers, f"encoding {name}")
        for name, indices in (("query", split.query), ("database", split.database))
    }
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
            "map": dataclasses.asdict(mean),
            "codes": dataclasses.asdict(statistics) | {"ones": statistics.ones.tolist()},
            "step": step,
            "sizes": split.sizes(),
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
    try:
        run(args)
    except Interrupted as stopped:
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
    return f"python experiments/run.py --run-dir {args.run_dir} --resume"


if __name__ == "__main__":
    sys.exit(main())
