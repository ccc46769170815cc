"""Benchmarks the package on this machine against the alternatives users have.

    python benchmarks/run.py                                 # everything, minutes
    python benchmarks/run.py --suite hamming loss --json here.json
    python benchmarks/run.py --compare here.json there.json  # side by side, with a plot

Times are medians over repeats in which all contenders take turns, after a warm-up; compile time is
reported separately. FLOPs are XLA's count for the program. "Of peak" is relative to the device's
peak FLOP/s, taken from data sheets or measured with a large matrix product.
"""

import argparse
import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from benchmarks import (
    comparing,
    suite_encode,
    suite_folder,
    suite_hamming,
    suite_import,
    suite_input,
    suite_loss,
    suite_map,
    suite_operations,
    suite_scaling,
    suite_train,
)
from benchmarks.measuring import Row, environment, own_peak

SUITES = {
    "train": suite_train.run,
    "encode": suite_encode.run,
    "folder": suite_folder.run,
    "loss": suite_loss.run,
    "hamming": suite_hamming.run,
    "map": suite_map.run,
    "operations": suite_operations.run,
    "input": suite_input.run,
    "scaling": suite_scaling.run,
    "import": suite_import.run,
}
# For a smoke test that takes seconds; its rates are meaningless.
SMALL = {
    "batch_size": 8,
    "image_size": 16,
    "backbone": ["small_cnn"],
    "scaling_backbone": "small_cnn",
    "bits": 16,
    "repeats": 1,
    "loss_batch": [64],
    "queries": 10,
    "database": 1_000,
    "nearest": 5,
    "pictures": 10,
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_run_options(parser)
    _add_sizes(parser)
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be >= 1, got {options.repeats}.")
    if options.small:
        vars(options).update(SMALL)
    return options


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--suite", nargs="+", choices=SUITES, default=list(SUITES), help="all by default")
    add("--devices", type=int, default=1, metavar="N", help="devices for train and encode (1)")
    add("--json", metavar="FILE", help="write the results to this file")
    add("--compare", nargs="+", metavar="FILE", help="only compare these result files")
    add("--plot", default="comparison.png", metavar="FILE", help="plot of --compare (%(default)s)")
    add("--peers", choices=("all", "eager", "none"), default="all", help="eager: no torch.compile")
    add(
        "--only",
        choices=("hashnet_jax", *suite_train.PEERS),
        metavar="NAME",
        help="for train and encode, a single contender, which then has the process to itself: "
        "%(choices)s",
    )
    add("--repeats", type=int, default=5, metavar="N", help="timed repeats (5)")
    add("--small", action="store_true", help="tiny sizes, for a smoke test; rates are meaningless")


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--batch-size", type=int, default=64, metavar="B", help="images per batch (64)")
    add("--image-size", type=int, default=224, metavar="S", help="side of the images, pixels (224)")
    add(
        "--backbone",
        nargs="+",
        default=["alexnet", "resnet50"],
        help="backbones (alexnet resnet50)",
    )
    add(
        "--scaling-backbone", default="small_cnn", help="backbone for the suite scaling (small_cnn)"
    )
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="compute dtype")
    add("--bits", type=int, default=64, metavar="K", help="bits per code (64)")
    add(
        "--loss-batch",
        type=int,
        nargs="+",
        default=[1_024, 2_048, 4_096, 8_192, 16_384],
        metavar="B",
        help="batch sizes for the suite loss (1024 2048 ... 16384)",
    )
    add("--queries", type=int, default=1_000, metavar="Q", help="queries for hamming (1,000)")
    add(
        "--database", type=int, default=1_000_000, metavar="N", help="codes for hamming (1,000,000)"
    )
    add("--nearest", type=int, default=100, metavar="k", help="results per query for hamming (100)")
    add("--pictures", type=int, default=1_000, metavar="N", help="pictures for folder (1,000)")


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    if options.compare:
        comparing.compare(options.compare, options.plot)
        return
    machine = environment()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    rows = []
    for suite in options.suite:
        measured = list(SUITES[suite](options))
        print(comparing.table(measured), flush=True)
        rows += measured
    print(f"peak memory of this process, including peers: {own_peak():.0f} MiB")
    if options.json:
        content = _results(machine, options, rows)
        pathlib.Path(options.json).write_text(json.dumps(content, indent=1))


def _results(
    machine: dict[str, Any], options: argparse.Namespace, rows: Sequence[Row]
) -> dict[str, Any]:
    return {
        "environment": machine,
        "options": {name: value for name, value in vars(options).items() if name != "json"},
        "rows": [
            dataclasses.asdict(row) | {"rate": row.items / row.median if row.seconds else None}
            for row in rows
        ],
    }


if __name__ == "__main__":
    main()
