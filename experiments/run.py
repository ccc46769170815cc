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
from presets import PRESETS, VARIANTS, Config

import hashnet_jax
from hashnet_jax import parallel
from hashnet_jax.backbones import BACKBONES
from hashnet_jax.checkpoint import Checkpoints
from hashnet_jax.code_statistics import code_statistics
from hashnet_jax.data import overlap
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.data.pipeline import check_batch_size
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
    "queries": ("data", "queries"),
    "train_images": ("data", "train_images"),
    "validation_images": ("data", "validation_images"),
    "database": ("data", "train_in_database"),
    "allow_overlap": ("data", "allow_overlap"),
    "split_seed": ("data", "split_seed"),
    "data_dir": ("data", "data_dir"),
    "manual_dir": ("data", "manual_dir"),
    "lists": ("data", "lists"),
    "image_root": ("data", "image_root"),
    "cutoff": (None, "cutoff"),
    "batch_size": (None, "batch_size"),
    "seed": (None, "seed"),
    "checkpoint_every": (None, "checkpoint_every"),
    "validate_every": (None, "validate_every"),
    "select": (None, "select"),
}

# What the words of the command line stand for in the config.
WORDS = {
    "database": {"rest": True, "rest-without-train": False},
    "cutoff": {"all": None},
}

# What may differ between a run and its continuation: where the data is, not what it is.
FREE_ON_RESUME = ("data_dir", "manual_dir", "image_root")


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
    data.add_argument(
        "--lists", metavar="DIR", help="folder of train.txt, test.txt and database.txt, for lists"
    )
    data.add_argument(
        "--image-root", metavar="DIR", help="where the lists' paths start (default: with the lists)"
    )
    protocol = p.add_argument_group("protocol (coco has numbers in all, lists their own)")
    protocol.add_argument("--train-per-class", type=int, metavar="N", help="training images")
    protocol.add_argument("--queries-per-class", type=int, metavar="N")
    protocol.add_argument("--validation-per-class", type=int, metavar="N")
    protocol.add_argument("--train-images", type=int, metavar="N", help="in all, for coco")
    protocol.add_argument("--queries", type=int, metavar="N", help="in all, for coco")
    protocol.add_argument("--validation-images", type=int, metavar="N", help="for coco and lists")
    protocol.add_argument(
        "--database",
        choices=WORDS["database"],
        help="what is searched in: all but the queries, with or without the training images",
    )
    protocol.add_argument("--split-seed", type=int, help="of the draw of the split (default: 0)")
    protocol.add_argument("--cutoff", type=cutoff, metavar="R", help="of MAP@R; or: all")
    protocol.add_argument(
        "--allow-overlap",
        action="store_true",
        default=None,
        help="accept lists with queries in the database or in train",
    )
    protocol.add_argument(
        "--check-overlap",
        choices=("auto", "always", "never"),
        default="auto",
        help="look for copies of pictures under other names; auto (default): where data is in "
        f"memory, or at most {overlap.SMALL:,} images must be decoded",
    )
    method = p.add_argument_group("method")
    method.add_argument("--variant", choices=VARIANTS, help="of the paper (default: hashnet)")
    method.add_argument("--beta-schedule", choices=BETA_SCHEDULES)
    method.add_argument("--image-size", type=int, help="side the backbone sees, pixels")
    method.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the computation")
    machine = p.add_argument_group("machine")
    machine.add_argument("--devices", type=int, help="how many to use (default: all)")
    machine.add_argument("--workers", type=int, default=0, help="processes that load images")
    return p


def cutoff(text):
    if text != "all" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"R must be a number >= 1 or all, got {text!r}.")
    return text if text == "all" else int(text)


def overrides(args):
    """The options that were given on the command line and change the config: {option: value}."""
    names = ("variant", *FIELDS)
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def with_overrides(config, given):
    """``config`` with the given options in place; image sizes follow the backbone."""
    given = dict(given)
    changes = {"model": {}, "train": {}, "data": {}, None: {}}
    changes["train"] |= VARIANTS.get(given.pop("variant", None), {})
    schedule = given.get("beta_schedule", "constant")
    if changes["train"].get("beta_schedule") == "constant" and schedule != "constant":
        raise ValueError(
            f"--variant hashnet-sgn has no continuation, got --beta-schedule {schedule}: leave one "
            "of the two out."
        )
    for name, value in given.items():
        part, field = FIELDS[name]
        changes[part][field] = WORDS.get(name, {}).get(value, value)
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
    differing = []
    if with_overrides(config, given) != config:
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
    model, lists = config.model, config.data.lists
    dataset = config.dataset if lists is None else Path(lists).expanduser().resolve().name
    variant = "" if config.variant == "hashnet" else f"-{config.variant}"
    name = f"{dataset}{variant}-{model.backbone}-{model.bits}bits-seed{config.seed}"
    return Path("runs") / name


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
    return f"{len(devices)} x {devices[0].device_kind}"


def check_overlaps(dataset, folder, when):
    """Writes `overlaps.json`, and says what is in it; copies are looked for once in a run."""
    by_content = when == "always" or (when == "auto" and overlap.is_cheap(dataset))
    found = folder.read_json("overlaps.json")
    if found is None or (by_content and not overlap.has_content(found)):
        if by_content:
            count = overlap.n_compared(dataset)
            with Progress(count, "comparing pictures", "image") as progress:
                found = overlap.overlaps(dataset, progress=progress)
        else:
            found = overlap.overlaps(dataset, by_content=False)
        folder.write_json("overlaps.json", found)
    print(overlap.describe(found))


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
            return
        started = time.monotonic()
        dataset = DATASETS[config.dataset](config.data)
        # What can be refused is refused before anything is written.
        parallel.check_splits(config.batch_size, len(devices))
        check_batch_size(config.batch_size, n_train=len(dataset.split.train))
        validate = validator(config, dataset, devices, args.workers)
        show(config, dataset, devices)
        folder.write_json("config.json", config.to_json())
        folder.write_arrays("split.npz", **dataclasses.asdict(dataset.split))
        check_overlaps(dataset, folder, args.check_overlap)
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
            validate=validate,
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
            "overlaps": folder.read_json("overlaps.json"),
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
