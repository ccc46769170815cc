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
    config_of,
    overrides,
    with_overrides,
)
from hashnet_jax.configs import Config
from hashnet_jax.distributed import processes
from hashnet_jax.distributed.files import sha256
from hashnet_jax.training import RunFolder
from hashnet_jax.weights import find_weights

# A resumed run's data may have moved, but must be the same.
LOCATIONS = tuple(name for name, field in CONFIG_FIELDS.items() if field.metadata.get("location"))

MAX_DIFFERENCES_SHOWN = 4


def run_folder_of(args: argparse.Namespace) -> Path:
    """The given run folder, or the default one."""
    return default_folder(config_of(args)) if args.run_dir is None else args.run_dir


def default_folder(config: Config) -> Path:
    """Names a folder in `runs/` after the data set, method, network and seed."""
    model, data = config.model, config.data
    own = {"lists": data.lists, "folder": data.csv or data.image_root}.get(config.dataset)
    dataset = config.dataset if own is None else Path(own).expanduser().resolve().stem
    variant = "" if config.variant == "hashnet" else f"-{config.variant}"
    frozen = "-frozen" if config.freeze_backbone else ""
    name = f"{dataset}{variant}-{model.backbone}{frozen}-{model.bits}bits-seed{config.seed}"
    return Path("runs") / name


def resolve(args: argparse.Namespace) -> tuple[Config, RunFolder]:
    """Returns the run's config and folder.

    A resumed run keeps its original config. Repeating the command of a finished run returns that
    run.

    Raises:
      FileExistsError: if the folder holds an unfinished run, or a finished run with different
        options.
      FileNotFoundError: if there is no run to resume, or the pretrained weights file is missing.
      ValueError: if options are out of range, or would change the config of a resumed run.
    """
    if args.resume:
        return _resumed(args)
    path = run_folder_of(args)
    config = _with_weights_hash(config_of(args))
    if not processes.from_first((path / "config.json").is_file):
        return config, RunFolder(path)
    folder = RunFolder(path, resume=True)
    saved = Config.from_json(folder.read_json("config.json"))
    if folder.read_json("result.json") is None:
        command = resume_command(args.parser.prog, path, Execution())
        raise FileExistsError(
            f"{path} holds an unfinished run: continue it with `{command}`, or name another folder "
            "with `run_dir`."
        )
    if _without_locations(config) != _without_locations(saved):
        raise FileExistsError(
            f"{path} holds a finished run with different options ({_differences(saved, config)}): "
            "name another folder with `run_dir`."
        )
    return saved, folder


def _with_weights_hash(config: Config) -> Config:
    if config.pretrained == "none":
        return config
    file = find_weights(config.model.backbone, config.pretrained)
    return dataclasses.replace(config, pretrained_sha256=sha256(file))


def _without_locations(config: Config) -> Config:
    data = dataclasses.replace(config.data, **dict.fromkeys(LOCATIONS))
    return dataclasses.replace(config, data=data)


def _differences(saved: Config, config: Config) -> str:
    """Lists the options in which a finished run differs from a new one."""
    old, new = values_of(saved), values_of(config)
    differing = [
        f"{shlex.join(words_of(field, old[name]))}, not {words_of(field, new[name])[-1]}"
        for name, field in CONFIG_FIELDS.items()
        if old[name] != new[name] and name not in LOCATIONS
    ]
    more = len(differing) - MAX_DIFFERENCES_SHOWN
    shown = "; ".join(differing[:MAX_DIFFERENCES_SHOWN]) or "the content of --pretrained"
    return shown + (f"; and {more} more" if more > 0 else "")


def _resumed(args: argparse.Namespace) -> tuple[Config, RunFolder]:
    given, path = overrides(args), run_folder_of(args)
    folder = RunFolder(path, resume=True)
    saved = Config.from_json(folder.read_json("config.json"))
    dataset = given.pop("dataset", saved.dataset)
    config = with_overrides(saved, {name: given[name] for name in LOCATIONS if name in given})
    differing = _changing(config, given)
    if dataset != saved.dataset:
        differing.insert(0, f"--dataset {dataset}")
    if differing:
        raise ValueError(
            f"cannot change the config to {', '.join(differing)} when resuming the run in {path}: "
            "leave out these options, or start another run without `resume=True`."
        )
    return config, folder


def _changing(config: Config, given: Mapping[str, Any]) -> list[str]:
    """The given options that would change a config."""
    if with_overrides(config, dict(given)) == config:
        return []
    return [
        f"--variant {value}"
        if name == "variant"
        else shlex.join(words_of(CONFIG_FIELDS[name], value))
        for name, value in given.items()
        if with_overrides(config, {name: value}) != config
    ]


def resume_command(program: str, path: Path, execution: Execution) -> str:
    """The shell command that resumes a run, ready to paste.

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
