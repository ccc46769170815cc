"""Declares the options of `hashnet train` and applies them to a config.

The options are the fields of :class:`hashnet_jax.configs.Config`, its parts and
:class:`hashnet_jax.cli._execution.Execution`; see :mod:`hashnet_jax.cli._fields`. We use
argparse because we need to know which options were given: the defaults depend on the data set, the
weights and the run to resume. Libraries that generate command lines from dataclasses (tyro,
simple-parsing, draccus) fill in all defaults, so an omitted option looks the same as one that was
explicitly set to its default.
"""

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._fields import add_option, flag_of, option_fields, values_of
from hashnet_jax.cli._parser import CommandParser
from hashnet_jax.configs import CONFIGS, RECIPES, VARIANTS, Config, derive

DEFAULT_DATASET = "digits"

CONFIG_FIELDS = {field.name: field for field in option_fields(Config)}
EXECUTION_FIELDS = {field.name: field for field in option_fields(Execution)}

# Options that set several fields.
PRESETS = ("variant", "recipe")

# Option groups in the order shown by `--help`; options without a group come first.
GROUPS = {
    "run": "run",
    "data": "data location",
    "protocol": "protocol (counts per class for single-label data, totals for multi-label)",
    "method": "method",
    "network": "network",
    "machine": "machine",
}


def parser() -> argparse.ArgumentParser:
    """Returns a standalone parser for the options of `hashnet train`.

    Examples:
      >>> args = parser().parse_args(["--steps", "100", "--cutoff", "all"])
      >>> overrides(args)
      {'total_steps': 100, 'cutoff': None}
    """
    return CommandParser(prog="hashnet train", add_options=add_options)


def add_options(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Adds the options of `hashnet train` to a parser.

    Args:
      parser: the command's parser.
      argv: the command-line arguments; `--dataset` selects the defaults shown in `--help`.
    """
    parser.usage = "%(prog)s [OPTION ...]"
    config = CONFIGS.get(_dataset_in(argv), CONFIGS[DEFAULT_DATASET])
    defaults = values_of(config) | values_of(Execution())
    fields = CONFIG_FIELDS | EXECUTION_FIELDS
    flags = {name: flag_of(field) for name, field in fields.items()}
    groups: dict[str | None, Any] = {None: parser}
    groups |= {name: parser.add_argument_group(title) for name, title in GROUPS.items()}
    _add_run_folder(groups["run"])
    groups["method"].add_argument(
        "--variant",
        choices=VARIANTS,
        default=argparse.SUPPRESS,
        metavar="NAME",
        help=f"variant of the paper's method: {', '.join(VARIANTS)} (default: {config.variant})",
    )
    groups["method"].add_argument(
        "--recipe",
        choices=RECIPES,
        default=argparse.SUPPRESS,
        metavar="NAME",
        help=f"{', '.join(RECIPES[:-1])} or {RECIPES[-1]}: a recipe sets --alpha, --offset and, "
        "with a frozen backbone, --standardize, --weight-decay, --decay-target and --hash-init; "
        "unseen requires a frozen backbone (default: improved with a frozen backbone and no "
        "--variant, otherwise paper)",
    )
    for name, field in fields.items():
        group = field.metadata.get("group")
        if group not in groups:
            groups[group] = parser.add_argument_group(group)
        add_option(groups[group], field, defaults[name], flags)


def _add_run_folder(group: Any) -> None:
    group.add_argument(
        "--run-dir",
        type=Path,
        metavar="DIR",
        help="run folder (default: runs/DATASET-BACKBONE-BITSbits-seedSEED)",
    )
    group.add_argument(
        "--resume", action="store_true", help="resume the run in --run-dir (default: off)"
    )


def _dataset_in(argv: Sequence[str]) -> str:
    finder = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    finder.add_argument("--dataset", default=DEFAULT_DATASET)
    with contextlib.suppress(argparse.ArgumentError):
        return finder.parse_known_args(list(argv))[0].dataset
    return DEFAULT_DATASET


def overrides(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the config options in ``args``, including those in ``PRESETS``, keyed by name."""
    return {name: value for name, value in vars(args).items() if name in (*CONFIG_FIELDS, *PRESETS)}


def execution_of(args: argparse.Namespace) -> Execution:
    """Returns the execution settings for the given options."""
    given = vars(args)
    return Execution(**{name: given[name] for name in EXECUTION_FIELDS if name in given})


def config_of(args: argparse.Namespace) -> Config:
    """Returns the config for a new run with the given options.

    Examples:
      >>> config_of(parser().parse_args(["--bits", "16"])).model.bits
      16
    """
    given = overrides(args)
    return with_overrides(CONFIGS[given.get("dataset", DEFAULT_DATASET)], given)


def with_overrides(config: Config, given: dict[str, Any]) -> Config:
    """Returns a copy of ``config`` with options from :func:`overrides` applied."""
    changes = {name: value for name, value in given.items() if name not in PRESETS}
    return derive(config, changes, **{name: given.get(name) for name in PRESETS})
