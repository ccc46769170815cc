"""Runs bits x variants x seeds on a data set, into one table beside the paper's figures.

    python experiments/reproduce.py --bits 16 48 --variants hashnet hashnet-w --seeds 0 1 2
    python experiments/reproduce.py --dataset imagenet100 -- --data-dir DIR --pretrained FILE

What stands after `--` goes to each run as it is (see `run.py --help`). Interrupted or killed, the
same command goes on: finished runs are kept, the one under way is resumed.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import run as program
from baselines import BASELINES, evaluate_baselines, import_faiss
from options import config_of
from options import parser as parser_of_run
from presets import PRESETS, VARIANTS
from starting import initial_state

from hashnet_jax import parallel
from hashnet_jax.data.datasets import DATASETS
from hashnet_jax.features import cached_features
from hashnet_jax.files import write_whole

# MAP of the paper's table 1 at 16, 32, 48 and 64 bits, as recalled; "read" are those that were
# also read in another source. ImageNet-100 at 1000, COCO at 5000 (NUS-WIDE comes as lists).
PAPER = {
    "imagenet100": {
        "hashnet": (0.5059, 0.6306, 0.6633, 0.6835),
        "hashnet+c": (0.5059, 0.6306, 0.6633, 0.6835),
        "hashnet-w": (0.3350, 0.4852, 0.5668, 0.5992),
        "hashnet-sgn": (0.4249, 0.5450, 0.5828, 0.6061),
        "itq": (0.3255, 0.4620, 0.5170, 0.5520),
        "lsh": (0.1007, 0.2350, 0.3121, 0.3596),
    },
    "coco": {
        "hashnet": (0.6873, 0.7184, 0.7301, 0.7362),
        "hashnet+c": (0.6876, 0.7261, 0.7371, 0.7419),
        "hashnet-w": (0.6853, 0.7174, 0.7297, 0.7348),
        "hashnet-sgn": (0.6449, 0.6891, 0.7056, 0.7138),
        "itq": (0.5818, 0.6243, 0.6460, 0.6574),
        "lsh": (0.4592, 0.4856, 0.5440, 0.5849),
    },
}
PAPER_BITS = (16, 32, 48, 64)
READ = {
    ("imagenet100", "hashnet", 48),
    ("coco", "hashnet", 48),
    *(("imagenet100", name, bits) for name in ("itq", "lsh") for bits in PAPER_BITS),
}


def parser():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--dataset", choices=PRESETS, default="digits", help="default: digits")
    p.add_argument("--bits", type=int, nargs="+", default=list(PAPER_BITS), metavar="K")
    p.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    p.add_argument("--baselines", nargs="*", choices=BASELINES, default=[])
    p.add_argument("--out", type=Path, help="folder of all runs (default: runs/reproduce-DATASET)")
    p.add_argument("rest", nargs="*", metavar="-- OPTION", help="options of run.py")
    return p


def run_one(args, variant, bits, seed):
    """The result of one run; starts, resumes or just reads it."""
    folder = args.out / f"{variant}-{bits}bits-seed{seed}"
    argv = ["--dataset", args.dataset, "--variant", variant, "--bits", str(bits)]
    argv += ["--seed", str(seed), "--run-dir", str(folder), "--feature-dir", str(args.out)]
    argv += args.rest
    if (folder / "config.json").is_file():
        # Compares the options with the run's own, so that no other experiment's result is taken.
        argv.append("--resume")
    print(f"\n== {variant}, {bits} bits, seed {seed}", flush=True)
    code = program.main(argv)
    if code:
        raise SystemExit(code)
    return json.loads((folder / "result.json").read_text())


def baselines(args):
    """MAP of the baselines by (name, bits), one list over seeds."""
    results = {}
    for seed in args.seeds:
        argv = ["--dataset", args.dataset, "--seed", str(seed), *args.rest]
        args_of_run = parser_of_run().parse_args(argv)
        config = config_of(args_of_run)
        params = initial_state(config).params
        dataset = DATASETS[config.dataset](config.data)
        devices = parallel.local_devices(args_of_run.devices)
        # Of pretrained weights they are the same for every seed.
        features = cached_features(args.out, params, dataset, devices=devices)
        for key, result in evaluate_baselines(
            features, dataset, args.baselines, bits=args.bits, cutoff=config.cutoff, seed=seed
        ).items():
            results.setdefault(key, []).append(result.expected)
    return results


def table(args, results, convention):
    """Markdown: a row a method, a column a number of bits; the paper's figures below ours."""
    lines = [
        f"{args.dataset}: {convention}. Mean over {len(args.seeds)} seeds "
        f"({', '.join(map(str, args.seeds))}), +- the standard deviation.",
        "",
        "| | " + " | ".join(f"{bits} bits" for bits in args.bits) + " |",
        "|---|" + "---|" * len(args.bits),
    ]
    for method in dict.fromkeys(method for method, _ in results):
        cells = [cell(results.get((method, bits))) for bits in args.bits]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
        if method in PAPER.get(args.dataset, {}):
            cells = [paper_cell(args.dataset, method, bits) for bits in args.bits]
            lines.append(f"| {method}, paper | " + " | ".join(cells) + " |")
    if args.dataset in PAPER:
        lines += ["", "Paper's figures: *recalled*, unless marked (read) in a second source."]
    return "\n".join(lines) + "\n"


def cell(values):
    if not values:
        return ""
    spread = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def paper_cell(dataset, method, bits):
    if bits not in PAPER_BITS:
        return ""
    mark = " (read)" if (dataset, method, bits) in READ else ""
    return f"{PAPER[dataset][method][PAPER_BITS.index(bits)]:.4f}{mark}"


def write_table(args, results, convention):
    text = table(args, results, convention)
    content = [
        {"method": method, "bits": bits, "seeds": args.seeds, "map": values}
        for (method, bits), values in results.items()
    ]
    for name, data in (("table.json", json.dumps(content, indent=2)), ("table.md", text)):
        write_whole(args.out / name, lambda file, data=data: file.write(data.encode()))
    print("\n" + text)


def main(argv=None):
    args = parser().parse_args(argv)
    args.out = args.out or Path("runs") / f"reproduce-{args.dataset}"
    if args.baselines:
        import_faiss()  # missing, it is said before the first run, not after the last
    results, summary = {}, ""
    for bits in args.bits:
        for variant in args.variants:
            for seed in args.seeds:
                result = run_one(args, variant, bits, seed)
                results.setdefault((variant, bits), []).append(result["map"]["expected"])
                summary = result["convention"]
    write_table(args, results, summary)
    if args.baselines:
        write_table(args, results | baselines(args), summary)
    print(f"in {args.out}: table.md, table.json and a folder a run")


if __name__ == "__main__":
    sys.exit(main())
