"""What `run.py` is told on the command line, and the config that follows from it."""

import argparse
import dataclasses
from pathlib import Path

from presets import PRESETS, VARIANTS, Config

from hashnet_jax.backbones import BACKBONES
from hashnet_jax.data import overlap
from hashnet_jax.data.augment import AUGMENTATIONS
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.model import ModelSpec
from hashnet_jax.optim import BACKBONE_MODES, BETA_SCHEDULES, TrainSpec
from hashnet_jax.pretrained import find_weights
from hashnet_jax.run_folder import RunFolder
from hashnet_jax.weight_files import sha256

DESCRIPTION = """Trains HashNet on a data set, encodes queries and database, and reports their MAP.

  python experiments/run.py                                       digits, no download
  python experiments/run.py --dataset imagenet100 --data-dir DIR
  python experiments/run.py --dataset folder --image-root DIR     a subfolder a class
  python experiments/run.py --run-dir runs/digits-... --resume    continue an interrupted run
"""

# Options that change a part of the config, and where they go: (part or None, field).
FIELDS = {
    "bits": ("model", "bits"),
    "backbone": ("model", "backbone"),
    "image_size": ("model", "image_size"),
    "dtype": ("model", "dtype"),
    "steps": ("train", "total_steps"),
    "learning_rate": ("train", "learning_rate"),
    "beta_schedule": ("train", "beta_schedule"),
    "backbone_mode": ("train", "backbone_mode"),
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
    "csv": ("data", "csv"),
    "cutoff": (None, "cutoff"),
    "batch_size": (None, "batch_size"),
    "augmentation": (None, "augmentation"),
    "seed": (None, "seed"),
    "checkpoint_every": (None, "checkpoint_every"),
    "validate_every": (None, "validate_every"),
    "select": (None, "select"),
    "pretrained": (None, "pretrained"),
    "freeze_backbone": (None, "freeze_backbone"),
}

# What the words of the command line stand for in the config.
WORDS = {
    "database": {"rest": True, "rest-without-train": False},
    "cutoff": {"all": None},
}

# Rates of the authors' code for a pretrained backbone, where no other is given.
FINE_TUNING = {name: getattr(TrainSpec(), name) for name in ("learning_rate", "hash_multiplier")}

# Of the hash layer alone, on features of a frozen backbone, where no other is given: chosen for
# EfficientNet-Lite0 on a miniature of ImageNet-100 (12 pictures of clip art a class to train on) by
# the MAP of three more of each class, never by that of its queries.
FROZEN = {
    "total_steps": 3_000,
    "learning_rate": 4e-3,
    "hash_multiplier": 10.0,
    "weight_decay": 5e-3,
    "backbone_mode": "inference",
}
FROZEN_BATCHES = {"batch_size": 128, "augmentation": "none"}

# What may differ between a run and its continuation: where the data is, not what it is.
FREE_ON_RESUME = ("data_dir", "manual_dir", "image_root")


def parser():
    p = argparse.ArgumentParser(
        prog="run.py",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--dataset", choices=DATASETS, help="default: digits")
    p.add_argument("--bits", type=int, help="length of a code, K (default: 48)")
    p.add_argument("--backbone", choices=BACKBONES, metavar="NAME", help=", ".join(BACKBONES))
    p.add_argument(
        "--pretrained",
        metavar="auto|none|FILE|RUN",
        help="weights of the backbone: of an installed package (auto), random (none, the default), "
        "or of a .pth or .safetensors file; they bring their image size, mean and std; or the "
        "folder of a finished run, whose hash layer is taken as well",
    )
    p.add_argument(
        "--freeze-backbone",
        action="store_true",
        default=None,
        help="keep the pretrained backbone as it is, compute its features once, and train the hash "
        "layer alone on them: minutes where fine-tuning takes hours",
    )
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
        "--image-root",
        metavar="DIR",
        help="for folder: a subfolder a class; or where paths start (default: with lists or CSV)",
    )
    data.add_argument(
        "--csv", metavar="FILE", help="for folder: a line `path,label1;label2` a picture"
    )
    protocol = p.add_argument_group(
        "protocol (multi-label data has numbers in all, lists their own)"
    )
    protocol.add_argument("--train-per-class", type=int, metavar="N", help="training images")
    protocol.add_argument("--queries-per-class", type=int, metavar="N")
    protocol.add_argument("--validation-per-class", type=int, metavar="N")
    protocol.add_argument(
        "--train-images", type=int, metavar="N", help="in all, of multi-label data"
    )
    protocol.add_argument("--queries", type=int, metavar="N", help="in all, of multi-label data")
    protocol.add_argument(
        "--validation-images", type=int, metavar="N", help="of multi-label data and lists"
    )
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
    method.add_argument(
        "--backbone-mode",
        choices=BACKBONE_MODES,
        help="in training: train (statistics of the batch, dropout), the default; with pretrained "
        "weights also inference (running statistics, which stay as they are, and no dropout)",
    )
    method.add_argument("--augmentation", choices=AUGMENTATIONS, help="of training images")
    method.add_argument("--image-size", type=int, help="side the backbone sees, pixels")
    method.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the computation")
    machine = p.add_argument_group("machine")
    machine.add_argument(
        "--feature-dir",
        type=Path,
        metavar="DIR",
        help="of the features of a frozen backbone, shared by runs on the same pictures (default: "
        "the run's folder)",
    )
    machine.add_argument(
        "--devices", type=int, help="how many to use, in each process (default: all)"
    )
    machine.add_argument(
        "--workers", type=count, default=0, help="processes that load images (default: 0)"
    )
    machine.add_argument(
        "--coordinator",
        metavar="HOST:PORT|auto",
        help="train in several processes, this command given to each: where the first one is "
        "reached; auto finds it, --processes and --process on TPU pods and under Slurm",
    )
    machine.add_argument("--processes", type=count, metavar="N", help="how many, with HOST:PORT")
    machine.add_argument("--process", type=count, metavar="I", help="which one, 0 .. N-1")
    return p


def count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a number >= 0, got {text!r}.")
    return int(text)


def cutoff(text):
    if text != "all" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"R must be a number >= 1 or all, got {text!r}.")
    return text if text == "all" else int(text)


def overrides(args):
    """The options that were given on the command line and change the config: {option: value}."""
    names = ("variant", *FIELDS)
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def with_overrides(config, given):
    """``config`` with the given options in place; image sizes follow the backbone.

    Other pretrained weights than those of ``config`` bring the preprocessing they expect.
    """
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
    # Before the rates of a pretrained backbone, which they replace.
    if given.get("freeze_backbone") and not config.freeze_backbone:
        changes["train"] = FROZEN | changes["train"]
        changes[None] = FROZEN_BATCHES | changes[None]
    model = changes["model"]
    before = config.pretrained, config.model.backbone
    pretrained = given.get("pretrained", before[0]), given.get("backbone", before[1])
    if pretrained != before and pretrained[0] != "none":
        expected = ModelSpec.for_backbone(
            pretrained[1], bits=config.model.bits, dtype=config.model.dtype
        )
        config = dataclasses.replace(config, model=expected)
        if before[0] == "none":
            # A rate from scratch would undo what the weights know.
            changes["train"] = FINE_TUNING | changes["train"]
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


def config_of(args):
    """The config of a new run."""
    return with_overrides(PRESETS[args.dataset or "digits"], overrides(args))


def resolve(args):
    """The config of the run and its folder; a continued run has the config it began with."""
    given, fresh = overrides(args), config_of(args)
    # Kept in args, so that an interruption can name it.
    args.run_dir = args.run_dir or default_folder(fresh)
    folder = RunFolder(args.run_dir, resume=args.resume)
    if not args.resume:
        if fresh.pretrained != "none":
            file = find_weights(fresh.model.backbone, fresh.pretrained)
            fresh = dataclasses.replace(fresh, pretrained_sha256=sha256(file))
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
    model, data = config.model, config.data
    of_user = {"lists": data.lists, "folder": data.csv or data.image_root}.get(config.dataset)
    dataset = config.dataset if of_user is None else Path(of_user).expanduser().resolve().stem
    variant = "" if config.variant == "hashnet" else f"-{config.variant}"
    frozen = "-frozen" if config.freeze_backbone else ""
    name = f"{dataset}{variant}-{model.backbone}{frozen}-{model.bits}bits-seed{config.seed}"
    return Path("runs") / name
