"""Measures the package on this machine, beside what users would pick instead.

    python benchmarks/run.py                                 # everything, minutes
    python benchmarks/run.py --suite hamming loss --json here.json
    python benchmarks/run.py --compare here.json there.json  # side by side, with a plot

Times are medians of repeats that all contenders take in turn, after a warm-up; compile time is
apart. FLOPs are XLA's count for the program; the share is of the device's peak, from a table of
data sheets or measured by a large matrix product.
"""

import argparse
import dataclasses
import json
import pathlib

import comparing
import suite_encode
import suite_folder
import suite_hamming
import suite_import
import suite_input
import suite_loss
import suite_map
import suite_operations
import suite_scaling
import suite_train
from measuring import environment, own_peak

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
# Sizes of a run of seconds, to see that everything works; its rates mean nothing.
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


def parse(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--suite", nargs="+", choices=SUITES, default=list(SUITES), help="all when left out")
    add("--devices", type=int, default=1, metavar="N", help="of train and encode (1)")
    add("--json", metavar="FILE", help="write the results there")
    add("--compare", nargs="+", metavar="FILE", help="measure nothing; show these side by side")
    add("--plot", default="comparison.png", metavar="FILE", help="of --compare (comparison.png)")
    add("--peers", choices=("all", "eager", "none"), default="all", help="eager: no torch.compile")
    add(
        "--only",
        choices=("hashnet_jax", *suite_train.PEERS),
        metavar="NAME",
        help="of train and encode, one contender alone in this process, as users run it: "
        "%(choices)s",
    )
    add("--repeats", type=int, default=5, metavar="N", help="timed repeats (5)")
    add("--small", action="store_true", help="sizes of seconds, whose rates mean nothing")
    add("--batch-size", type=int, default=64, metavar="B", help="of images (64)")
    add("--image-size", type=int, default=224, metavar="S", help="pixels (224)")
    add("--backbone", nargs="+", default=["alexnet", "resnet50"], help="alexnet resnet50")
    add("--scaling-backbone", default="small_cnn", help="of the suite scaling (small_cnn)")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the computation")
    add("--bits", type=int, default=64, metavar="K", help="of a code (64)")
    add(
        "--loss-batch",
        type=int,
        nargs="+",
        default=[1_024, 2_048, 4_096, 8_192, 16_384],
        metavar="B",
        help="codes of the suite loss (1024 2048 ... 16384)",
    )
    add("--queries", type=int, default=1_000, metavar="Q", help="of the suite hamming (1,000)")
    add("--database", type=int, default=1_000_000, metavar="N", help="of hamming (1,000,000)")
    add("--nearest", type=int, default=100, metavar="k", help="of hamming (100)")
    add("--pictures", type=int, default=1_000, metavar="N", help="of the suite folder (1,000)")
    options = parser.parse_args(argv)
    if options.repeats < 1:
        parser.error(f"--repeats must be >= 1, got {options.repeats}.")
    if options.small:
        vars(options).update(SMALL)
    return options


def main(argv=None):
    options = parse(argv)
    if options.compare:
        comparing.compare(options.compare, options.plot)
        return
    machine = environment()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    rows = []
    for suite in options.suite:
        of_suite = list(SUITES[suite](options))
        print(comparing.table(of_suite), flush=True)
        rows += of_suite
    print(f"peak memory of this process, peers included: {own_peak():.0f} MiB")
    if options.json:
        content = {
            "environment": machine,
            "options": {name: value for name, value in vars(options).items() if name != "json"},
            "rows": [
                dataclasses.asdict(row) | {"rate": row.items / row.median if row.seconds else None}
                for row in rows
            ],
        }
        pathlib.Path(options.json).write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
