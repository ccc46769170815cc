"""Finds a run's data and weights after the run or its data has been moved.

A config stores the paths to the data. When a run is resumed, these paths may change, but the data
must not. Paths may be relative to the working directory of the command that started the run.
`data.json` records this directory and the run folder.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hashnet_jax.cli._fields import option_fields
from hashnet_jax.configs import Config
from hashnet_jax.data import Options
from hashnet_jax.distributed.reading import damage_named, read_json
from hashnet_jax.distributed.seals import content_sha256, unsealed

DATA_FILE = "data.json"
# The description and the remedy in the error message if `data.json` is damaged.
RECORD_DAMAGE = (
    "the record of this run's data",
    "restore it, or delete it to continue without checking the data",
)

# Options that locate the data. They may change when a run is resumed, but the data must not.
LOCATIONS = tuple(field.name for field in option_fields(Options) if field.metadata.get("location"))

# Values of `pretrained` that are not paths.
WORDS = ("none", "auto")


def read_located_config(run_dir: Path) -> Config:
    """Reads a run's config, and updates paths that no longer lead to the data or weights.

    Raises:
      DamagedFile: if `config.json` or `data.json` is damaged.
      OSError: if `config.json` is missing or cannot be read.
    """
    config, file = Config.read(run_dir / "config.json"), run_dir / DATA_FILE
    if not file.is_file():
        return config
    content = read_json(file, *RECORD_DAMAGE)
    with damage_named(file, *RECORD_DAMAGE):
        return located(config, unsealed(content), run_dir)


def located(config: Config, saved: Mapping[str, Any], run_dir: Path) -> Config:
    """Returns the config with updated paths; a path that cannot be found is left unchanged.

    Args:
      config: the run's config.
      saved: the content of the run's `data.json`, or empty if there is none.
      run_dir: the run folder's current path.
    """

    def find(value: str | None) -> str | None:
        if value is None:
            return None
        candidates = _candidates(value, saved, run_dir)
        return next((path for path in candidates if Path(path).expanduser().exists()), value)

    data = {name: find(getattr(config.data, name)) for name in LOCATIONS}
    weights = config.pretrained if config.pretrained in WORDS else find(config.pretrained)
    return dataclasses.replace(
        config, data=dataclasses.replace(config.data, **data), pretrained=str(weights)
    )


def _candidates(value: str, saved: Mapping[str, Any], run_dir: Path) -> Iterator[str]:
    """Yields paths where data that was once at ``value`` may be now, most likely first."""
    moved = saved.get("working_folder", os.getcwd()) != os.getcwd()
    if not moved or os.path.isabs(value):
        yield value
    if "run_folder" in saved:
        old = os.path.join(saved["working_folder"], os.path.expanduser(value))
        yield old
        # The run folder and the data may have been moved together.
        relative = os.path.relpath(old, saved["run_folder"])
        yield os.path.normpath(run_dir.resolve() / relative)
    yield value


def places_now(run_dir: Path) -> dict[str, str]:
    """Returns the current working directory and the run folder, for `data.json`."""
    return {"working_folder": os.getcwd(), "run_folder": str(run_dir.resolve())}


def without_places(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a JSON config without the paths to its data and weights."""
    data = {name: value for name, value in content["data"].items() if name not in LOCATIONS}
    rest = {name: value for name, value in content.items() if name != "pretrained"}
    return rest | {"data": data, "has_pretrained": content.get("pretrained", "none") != "none"}


def with_places(content: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Replaces the paths in a saved JSON config with those in ``config``, and returns the result.

    Everything else is unchanged, so a run keeps its identity even if it was started by an earlier
    version, whose configs had fewer fields.
    """
    places = {name: getattr(config.data, name) for name in LOCATIONS}
    known = {k: v for k, v in places.items() if k in content["data"] or v is not None}
    weights = {"pretrained": config.pretrained} if "pretrained" in content else {}
    return {**content, **weights, "data": {**content["data"], **known}}


def run_identity(content: Mapping[str, Any]) -> str:
    """Returns a hash of everything in a config that determines the result of its run."""
    return content_sha256(without_places(content))
