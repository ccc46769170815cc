"""Resolves the options of `hashnet train` to a config and a run folder."""

import argparse
import dataclasses
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._fields import values_of, words_of
from hashnet_jax.cli._options import (
    CONFIG_FIELDS,
    EXECUTION_FIELDS,
    PRESETS,
    config_of,
    overrides,
    with_overrides,
)
from hashnet_jax.cli._places import (
    DATA_FILE,
    LOCATIONS,
    RECORD_DAMAGE,
    WORDS,
    located,
    without_places,
)
from hashnet_jax.configs import Config, default_recipe
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.reading import damage_named
from hashnet_jax.report import has_result
from hashnet_jax.training import RunFolder
from hashnet_jax.weights import find_weights

MAX_DIFFERENCES_SHOWN = 4


def run_folder_of(args: argparse.Namespace) -> Path:
    """Returns the run folder given in the arguments, or the default folder."""
    return default_folder(config_of(args)) if args.run_dir is None else args.run_dir


def default_folder(config: Config) -> Path:
    """Returns a folder in `runs/` named after the data set, method, network and seed."""
    model, data = config.model, config.data
    own = {
        "lists": data.lists,
        "folder": data.csv or data.image_root,
        "shards": data.image_root,
    }.get(config.dataset)
    dataset = config.dataset if own is None else Path(own).expanduser().resolve().stem
    variant = "" if config.variant == "hashnet" else f"-{config.variant}"
    if config.recipe != default_recipe(frozen=config.freeze_backbone):
        variant += f"-{config.recipe}"
    frozen = "-frozen" if config.freeze_backbone else ""
    name = f"{dataset}{variant}-{model.backbone}{frozen}-{model.bits}bits-seed{config.seed}"
    return Path("runs") / name


def resolve(args: argparse.Namespace) -> tuple[Config, RunFolder]:
    """Returns the config and folder of the run.

    A resumed run keeps its original config, except for the paths to its data. If the command of a
    finished run is repeated, the config and folder of that run are returned.

    Raises:
      FileExistsError: if the folder contains an unfinished run, or a finished run with different
        options.
      FileNotFoundError: if there is no run to resume, or the pretrained weights file is missing.
      ValueError: if options are out of range or would change the config of a resumed run, or if
        the saved config is damaged.
    """
    if args.resume:
        return _resumed(args)
    path = run_folder_of(args)
    config = _with_weights_hash(config_of(args))
    if not processes.from_first((path / "config.json").is_file):
        return config, RunFolder(path)
    folder = RunFolder(path, resume=True)
    saved = _saved_config(folder)
    if not processes.from_first(lambda: has_result(path)):
        command = resume_command(args.parser.prog, path, Execution())
        raise FileExistsError(
            f"{path} contains an unfinished run. Continue it with `{command}`, or choose a "
            "different folder with `run_dir`."
        )
    if without_places(config.to_json()) != without_places(saved.to_json()):
        raise FileExistsError(
            f"{path} contains a finished run with different options "
            f"({_differences(saved, config)}). Choose a different folder with `run_dir`."
        )
    return saved, folder


def _saved_config(folder: RunFolder) -> Config:
    """Reads a run's config, with paths that are valid in the current working directory."""
    content = folder.read_json("config.json")
    with Config.damage_named(folder.path / "config.json"):
        config = Config.from_json(content)
    record = folder.read_json(DATA_FILE) or {}
    with damage_named(folder.path / DATA_FILE, *RECORD_DAMAGE):
        return located(config, record, folder.path)


def _with_weights_hash(config: Config) -> Config:
    if config.pretrained == "none":
        return config
    file = find_weights(config.model.backbone, config.pretrained)
    return dataclasses.replace(config, pretrained_sha256=sha256(file))


def _differences(saved: Config, config: Config) -> str:
    """Lists the options that differ between a finished run and a new one."""
    old, new = values_of(saved), values_of(config)
    differing = [
        f"{shlex.join(words_of(field, old[name]))} instead of {words_of(field, new[name])[-1]}"
        for name, field in CONFIG_FIELDS.items()
        if old[name] != new[name] and name not in LOCATIONS
    ]
    more = len(differing) - MAX_DIFFERENCES_SHOWN
    shown = "; ".join(differing[:MAX_DIFFERENCES_SHOWN]) or "--pretrained has changed"
    return shown + (f"; and {more} more" if more > 0 else "")


def _resumed(args: argparse.Namespace) -> tuple[Config, RunFolder]:
    given, path = overrides(args), run_folder_of(args)
    folder = RunFolder(path, resume=True)
    saved = _saved_config(folder)
    dataset = given.pop("dataset", saved.dataset)
    config = with_overrides(saved, {name: given[name] for name in LOCATIONS if name in given})
    config = _with_moved_weights(config, given)
    differing = _changing(config, given)
    if dataset != saved.dataset:
        differing.insert(0, f"--dataset {dataset}")
    if differing:
        raise ValueError(
            f"cannot resume the run in {path} with {', '.join(differing)}, because its config must "
            "not change. Leave out these options, or start a new run without `resume=True`."
        )
    return config, folder


def _with_moved_weights(config: Config, given: dict[str, Any]) -> Config:
    """Moves ``pretrained`` from ``given`` to the config if it is a new path to the same weights."""
    place = given.get("pretrained")
    if place in (None, *WORDS, config.pretrained) or config.pretrained_sha256 is None:
        return config
    if sha256(find_weights(config.model.backbone, place)) != config.pretrained_sha256:
        return config  # refused, since the option would change the config
    del given["pretrained"]
    return dataclasses.replace(config, pretrained=place)


def _changing(config: Config, given: Mapping[str, Any]) -> list[str]:
    """Returns the given options that would change the config."""
    if with_overrides(config, dict(given)) == config:
        return []
    return [
        f"--{name} {value}" if name in PRESETS else shlex.join(words_of(CONFIG_FIELDS[name], value))
        for name, value in given.items()
        if with_overrides(config, {name: value}) != config
    ]


def resume_command(program: str, path: Path, execution: Execution) -> str:
    """Returns the shell command that resumes a run, quoted so that it can be pasted.

    Examples:
      >>> resume_command("hashnet train", Path("my run"), Execution(workers=2))
      "hashnet train --run-dir 'my run' --resume --workers 2"
    """
    words = ["--run-dir", str(path), "--resume", *_given(execution)]
    return f"{program} {shlex.join(words)}"


def _given(execution: Execution) -> Iterable[str]:
    defaults = values_of(Execution())
    for name, value in values_of(execution).items():
        if value != defaults[name]:
            yield from words_of(EXECUTION_FIELDS[name], value)
