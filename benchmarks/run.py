"""Benchmarks the package on this machine, and compares it with other libraries.

    python benchmarks/run.py                                 # all suites; takes minutes
    python benchmarks/run.py --suite hamming loss --json here.json
    python benchmarks/run.py --compare here.json there.json  # side by side, with a plot

Times are medians over several calls after a warm-up. All contenders take turns, and compile time is
reported separately. In the train and encode suites, each contender has a process to itself, and the
times are the medians of several rounds. FLOPs are counted by XLA. "Of peak" is relative to the
device's peak FLOP/s, which is taken from data sheets or measured with a large matrix product.
"Ratio" is relative to the fastest peer. "Busy" is the share of CPU time that went to other
processes or other virtual machines; ratios measured while it is high are marked.
"""

import argparse
import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks import (
    alone,
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
    suite_serve,
    suite_store,
)
from benchmarks.measuring import Row, environment, own_peak

SUITES = {
    "folder": suite_folder.run,
    "loss": suite_loss.run,
    "hamming": suite_hamming.run,
    "map": suite_map.run,
    "operations": suite_operations.run,
    "input": suite_input.run,
    "scaling": suite_scaling.run,
    "store": suite_store.run,
    "serve": suite_serve.run,
    "import": suite_import.run,
}
# Sizes for a smoke test that takes seconds. The resulting rates are meaningless.
SMALL = {
    "batch_size": 8,
    "image_size": 16,
    "backbone": ["small_cnn"],
    "scaling_backbone": "small_cnn",
    "bits": 16,
    "repeats": 1,
    "rounds": 1,
    "loss_batch": [64],
    "queries": 10,
    "database": 1_000,
    "nearest": 5,
    "pictures": 10,
    "stored_pictures": 50,
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_run_options(parser)
    _add_sizes(parser)
    options = parser.parse_args(argv)
    for name in ("repeats", "rounds"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be >= 1, got {getattr(options, name)}.")
    for suite in alone.SUITES.keys() & set(options.suite):
        contenders = alone.SUITES[suite].contenders(options)
        if options.only not in (None, *contenders):
            parser.error(
                f"--only must be a contender of the suite {suite} with --peers {options.peers}: "
                f"{', '.join(contenders)}; got {options.only}."
            )
    if options.small:
        vars(options).update(SMALL)
    return options


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    suites = [*alone.SUITES, *SUITES]
    add("--suite", nargs="+", choices=suites, default=suites, help="(default: all)")
    add(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="number of devices for the train and encode suites (default: 1)",
    )
    add("--json", metavar="FILE", help="also write the results to this JSON file")
    add("--compare", nargs="+", metavar="FILE", help="compare result files instead of measuring")
    add(
        "--plot",
        default="comparison.png",
        metavar="FILE",
        help="output file for the plot of --compare (default: comparison.png)",
    )
    add(
        "--peers",
        choices=("all", "eager", "none"),
        default="all",
        help="libraries to compare with; eager leaves out torch.compile (default: all)",
    )
    add(
        "--only",
        choices=suite_encode.contenders(argparse.Namespace(peers="all")),
        metavar="NAME",
        help="measure only this contender in the train and encode suites: %(choices)s",
    )
    add(
        "--rounds",
        type=int,
        default=3,
        metavar="N",
        help="number of processes per contender in the train and encode suites (default: 3)",
    )
    add("--repeats", type=int, default=5, metavar="N", help="number of timed calls (default: 5)")
    add(
        "--small",
        action="store_true",
        help="use tiny sizes, for a smoke test; the rates are meaningless",
    )


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--batch-size", type=int, default=64, metavar="B", help="images per batch (default: 64)")
    add(
        "--image-size",
        type=int,
        default=224,
        metavar="S",
        help="width and height of the images in pixels (default: 224)",
    )
    add(
        "--backbone",
        nargs="+",
        default=["alexnet", "resnet50"],
        help="backbones to measure (default: alexnet resnet50)",
    )
    add(
        "--scaling-backbone",
        default="small_cnn",
        help="backbone for the scaling suite (default: small_cnn)",
    )
    add(
        "--dtype",
        choices=("float32", "bfloat16"),
        default="float32",
        help="compute dtype (default: float32)",
    )
    add("--bits", type=int, default=64, metavar="K", help="bits per code (default: 64)")
    add(
        "--loss-batch",
        type=int,
        nargs="+",
        default=[1_024, 2_048, 4_096, 8_192, 16_384],
        metavar="B",
        help="batch sizes for the loss suite (default: 1024 2048 4096 8192 16384)",
    )
    add(
        "--queries",
        type=int,
        default=1_000,
        metavar="Q",
        help="number of queries for the hamming suite (default: 1,000)",
    )
    add(
        "--database",
        type=int,
        default=1_000_000,
        metavar="N",
        help="number of database codes for the hamming suite (default: 1,000,000)",
    )
    add(
        "--nearest",
        type=int,
        default=100,
        metavar="k",
        help="number of results per query for the hamming suite (default: 100)",
    )
    add(
        "--pictures",
        type=int,
        default=1_000,
        metavar="N",
        help="number of pictures for the folder suite (default: 1,000)",
    )
    add(
        "--stored-pictures",
        type=int,
        default=20_000,
        metavar="N",
        help="number of pictures for the store suite (default: 20,000)",
    )


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    if options.compare:
        comparing.compare(options.compare, options.plot)
        return
    # Contenders in other processes need the accelerator's memory, too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    machine = environment()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    rows = []
    for suite in options.suite:
        run = partial(alone.run, suite) if suite in alone.SUITES else SUITES[suite]
        measured = list(run(options))
        print(comparing.table(measured), flush=True)
        rows += measured
    print(f"peak memory of this process, including other libraries: {own_peak():.0f} MiB")
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
