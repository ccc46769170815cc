"""Compares HashNet with other hashing methods on the same features of one data set.

  python experiments/compare.py --dataset digits --bits 16 32
  python experiments/compare.py --dataset imagenet100 -- --data-dir DIR \\
      --backbone efficientnet_lite0 --pretrained auto
  python experiments/compare.py --dataset folder -- --image-root DIR \\
      --backbone efficientnet_lite0 --pretrained auto

The last command shows which method works best for your own pictures. All methods train one linear
layer on the features of a frozen backbone, with the same batches and the same number of steps. The
learning rate of each method is the best of at least five on validation images. All methods are then
trained with several seeds and evaluated on the queries. Choose a --split-seed whose queries were
never used to choose a setting.

Options after `--` are options of `run.py`; see `run.py --help`. To continue after an interruption,
repeat the command.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.baselines import BASELINES, check_baselines
from experiments.comparison import _methods, _rates, _report
from experiments.comparison._figure import write_figure
from experiments.comparison._runs import Result, Run, load_or_run
from experiments.comparison._study import Study, load_study, parse_options
from hashnet_jax.cli import _compilation_cache
from hashnet_jax.cli._messages import translate
from hashnet_jax.configs import CONFIGS
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress

BITS = (16, 32, 48, 64)
STEPS = 1000


def parser() -> argparse.ArgumentParser:
    """Builds the command-line parser."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--dataset", choices=CONFIGS, default="digits", help="(default: digits)")
    p.add_argument("--bits", type=int, nargs="+", default=list(BITS), metavar="K")
    p.add_argument(
        "--methods",
        nargs="+",
        choices=_methods.names(),
        metavar="NAME",
        help=f"any of {', '.join(_methods.names())} (default: all that support the data, without "
        f"*{_methods.STANDARDIZED})",
    )
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    p.add_argument("--steps", type=int, default=STEPS, metavar="N", help=f"(default: {STEPS:,})")
    p.add_argument("--batch-size", type=int, default=128, metavar="N", help="(default: 128)")
    p.add_argument(
        "--tuning-bits",
        type=int,
        metavar="K",
        help="code length at which learning rates are chosen (default: 48 if it is one of --bits, "
        "or else the longest)",
    )
    p.add_argument(
        "--unseen-classes",
        type=int,
        metavar="N",
        help="also compare with queries and a database from N classes without training images",
    )
    p.add_argument(
        "--out", type=Path, help="folder for all results (default: runs/compare-DATASET)"
    )
    p.add_argument("options", nargs="*", metavar="-- OPTION", help="options of run.py")
    return p


def compare(
    study: Study,
    names: Sequence[str],
    *,
    bits: Sequence[int],
    seeds: Sequence[int],
    tuning_bits: int,
    folder: Path,
) -> _report.Comparison:
    """Chooses the learning rates on validation images, then runs all methods on the queries.

    Args:
      study: the data and the settings that all methods share.
      names: names of the methods.
      bits: code lengths K.
      seeds: seeds of the final runs.
      tuning_bits: code length at which learning rates are chosen.
      folder: folder for the results of all runs; runs with a result there are not repeated.

    Returns:
      The results of all methods.

    Raises:
      DamagedFile: if a file with a result is damaged.
      ValueError: if a method does not support the data or a code length.
    """
    total = _rates.count_runs(study, names) + len(list(_final_runs(names, bits, seeds, {})))
    with Progress(total, "comparing", "run") as progress:

        def result(run: Run) -> Result:
            found = load_or_run(study, run, folder)
            progress.update()
            return found

        choices = _rates.choose(study, names, tuning_bits, result, extended=progress.extend)
        rates = {name: choice.rate for name, choice in choices.items()}
        results: dict[tuple[str, int], list[Result]] = {}
        for run in _final_runs(names, bits, seeds, rates):
            found = result(run)
            for k in bits if run.name == _methods.COSINE else [run.bits]:
                results.setdefault((run.name, k), []).append(found)
    return _report.Comparison(study, bits, seeds, tuning_bits, choices, results)


def _final_runs(
    names: Sequence[str], bits: Sequence[int], seeds: Sequence[int], rates: dict[str, float]
) -> Iterator[Run]:
    for name in names:
        if name == _methods.COSINE:
            yield Run(name, bits=0, seed=0)
        else:
            for k in bits:
                yield from (Run(name, k, seed, rates.get(name)) for seed in seeds)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the comparison; returns the exit status."""
    args = parser().parse_args(argv)
    _compilation_cache.enable()
    out = args.out or Path("runs") / f"compare-{args.dataset}"
    given = ["--steps", str(args.steps), "--batch-size", str(args.batch_size)]
    protocols = {out: args.options}
    if args.unseen_classes is not None:
        protocols[out / "unseen"] = [*args.options, "--unseen-classes", str(args.unseen_classes)]
    parsed = {place: parse_options(args.dataset, given, own) for place, own in protocols.items()}
    flags = parsed[out][1]
    try:
        check_baselines(name for name in args.methods or () if name in BASELINES)
        studies = {place: load_study(options, place) for place, (options, _) in parsed.items()}
        comparisons = [_compare_and_write(args, *each) for each in studies.items()]
        figures = write_figure(comparisons, out)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        for line in translate(str(error), flags).splitlines():
            print(f"compare.py: error: {printable(line)}", file=sys.stderr)
        return 1
    print(f"wrote table.md, table.json, {', '.join(figures)} and results/ to {printable(out)}")
    return 0


def _compare_and_write(args: argparse.Namespace, out: Path, study: Study) -> _report.Comparison:
    """Compares all methods in a study, and writes and prints the table."""
    _say_notes(study)
    names = args.methods or _methods.default_names(
        one_class=study.one_class, unseen=study.has_unseen_classes
    )
    _methods.check_names(names, one_class=study.one_class)
    comparison = compare(
        study,
        list(dict.fromkeys(names)),
        bits=args.bits,
        seeds=args.seeds,
        tuning_bits=args.tuning_bits or (48 if 48 in args.bits else max(args.bits)),
        folder=out / "results",
    )
    print("\n" + _report.write(comparison, out))
    return comparison


def _say_notes(study: Study) -> None:
    for note in study.dataset.notes:
        print(printable(f"note: {note}"))


if __name__ == "__main__":
    sys.exit(main())
