"""Runs all combinations of bits, variants and seeds on a data set, and tabulates their MAP.

  python experiments/reproduce.py --bits 16 48 --variants hashnet hashnet-w --seeds 0 1 2
  python experiments/reproduce.py --dataset imagenet100 -- --data-dir DIR --pretrained FILE

The table includes the paper's figures for comparison. Options after `--` are passed to each run
(see `run.py --help`). To continue after an interruption, repeat the command. Finished runs are
kept, and the unfinished run is resumed.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import paper
from experiments.baselines import BASELINES, check_baselines, evaluate_baselines
from experiments.table import Results, markdown
from hashnet_jax.cli import main as hashnet
from hashnet_jax.cli._places import read_located_config
from hashnet_jax.cli._start import initial_state
from hashnet_jax.configs import CONFIGS, VARIANTS
from hashnet_jax.data import DATASETS
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.report import read_result
from hashnet_jax.training import load_or_compute_features


@dataclasses.dataclass(frozen=True)
class Study:
    """A study that consists of runs and baselines.

    Attributes:
      dataset: name of a data set in ``CONFIGS``.
      bits: code lengths K.
      variants: names of variants in ``VARIANTS``.
      seeds: seeds of the runs.
      baselines: names of baselines in ``BASELINES``.
      out: folder for all runs and the table.
      options: additional options for each run; see `run.py --help`.
    """

    dataset: str
    bits: Sequence[int]
    variants: Sequence[str]
    seeds: Sequence[int]
    baselines: Sequence[str]
    out: Path
    options: Sequence[str]

    def folder(self, variant: str, bits: int, seed: int) -> Path:
        """Returns the folder of a run."""
        return self.out / f"{variant}-{bits}bits-seed{seed}"


def parser() -> argparse.ArgumentParser:
    """Builds the command-line parser."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--dataset", choices=CONFIGS, default="digits", help="(default: digits)")
    p.add_argument("--bits", type=int, nargs="+", default=list(paper.BITS), metavar="K")
    p.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="SEED")
    p.add_argument("--baselines", nargs="*", choices=BASELINES, default=[])
    p.add_argument("--out", type=Path, help="folder for all runs (default: runs/reproduce-DATASET)")
    p.add_argument("options", nargs="*", metavar="-- OPTION", help="options to pass to run.py")
    return p


def run_one(study: Study, variant: str, bits: int, seed: int) -> dict[str, Any]:
    """Starts or resumes a run, and returns its result; finished runs are not repeated.

    Returns:
      The contents of the run's `result.json`.

    Raises:
      SystemExit: if the run fails or is interrupted.
    """
    folder = study.folder(variant, bits, seed)
    argv = ["train", "--dataset", study.dataset, "--variant", variant, "--bits", str(bits)]
    argv += ["--seed", str(seed), "--run-dir", str(folder), "--feature-dir", str(study.out)]
    argv += study.options
    if (folder / "config.json").is_file():
        # Resuming checks the options against the run's config, so results of a different study
        # are never used by mistake.
        argv.append("--resume")
    print(f"\n== {variant}, {bits} bits, seed {seed}", flush=True)
    status = hashnet(argv)
    if status:
        raise SystemExit(status)
    return read_result(folder)


def run_all(study: Study) -> tuple[dict[tuple[str, int], list[float]], str]:
    """Performs all runs of the study.

    Returns:
      A list of MAPs, one per seed, for each (variant, bits), and the MAP convention.
    """
    results: dict[tuple[str, int], list[float]] = {}
    convention = ""
    for bits in study.bits:
        for variant in study.variants:
            for seed in study.seeds:
                result = run_one(study, variant, bits, seed)
                results.setdefault((variant, bits), []).append(result["map"]["expected"])
                convention = result["convention"]
    return results, convention


def run_baselines(study: Study) -> dict[tuple[str, int], list[float]]:
    """Evaluates the baselines on features from the backbone that the runs start from.

    Returns:
      A list of MAPs, one per seed, for each (baseline, bits).
    """
    results: dict[tuple[str, int], list[float]] = {}
    for seed in study.seeds:
        folder = study.folder(study.variants[0], study.bits[0], seed)
        config = read_located_config(folder)
        dataset = DATASETS[config.dataset](config.data)
        # With pretrained weights, runs with different seeds share one features file.
        features = load_or_compute_features(
            study.out, initial_state(config).params, dataset, devices=local_devices()
        )
        for key, mean in evaluate_baselines(
            features, dataset, study.baselines, bits=study.bits, cutoff=config.cutoff, seed=seed
        ).items():
            results.setdefault(key, []).append(float(mean.expected))
    return results


def write_table(study: Study, results: Results, convention: str) -> None:
    """Prints the table, and writes it to `table.md` and `table.json`."""
    text = markdown(
        results,
        dataset=study.dataset,
        bits=study.bits,
        seeds=study.seeds,
        convention=convention,
        runnable={*VARIANTS, *BASELINES},
    )
    content = [
        {"method": method, "bits": bits, "seeds": study.seeds, "map": values}
        for (method, bits), values in results.items()
    ]
    for name, data in (("table.json", json.dumps(content, indent=2)), ("table.md", text)):
        write_whole(study.out / name, lambda file, data=data: file.write(data.encode()))
    print("\n" + text)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the study; returns the exit status."""
    args = vars(parser().parse_args(argv))
    out = args.pop("out") or Path("runs") / f"reproduce-{args['dataset']}"
    study = Study(out=out, **args)
    try:
        check_baselines(study.baselines)
        results, convention = run_all(study)
        write_table(study, results, convention)
        if study.baselines:
            write_table(study, results | run_baselines(study), convention)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"reproduce.py: error: {error}", file=sys.stderr)
        return 1
    print(f"wrote table.md, table.json and one folder per run to {study.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
