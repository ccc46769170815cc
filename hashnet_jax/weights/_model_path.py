"""Where a run folder keeps its network."""

import os
from pathlib import Path

MODEL_FILE = "model.npz"
SPEC_ENTRY = "spec"  # the ModelSpec as JSON, stored with the arrays

# The description and the remedy in the error message if the file is damaged.
DAMAGE = ("a hashnet_jax model", "restore it from a copy, or train the network again")


def existing_model(folder: str | os.PathLike[str]) -> Path:
    """Returns the path to the `model.npz` in a folder.

    Raises:
      FileNotFoundError: if the folder has no `model.npz`.
      NotADirectoryError: if ``folder`` is a file.
    """
    folder = Path(folder)
    check_no_file(folder)
    path = folder / MODEL_FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"no {MODEL_FILE} in {folder}. It is written when a run ends. Pass the folder of a "
            "finished run, or finish this run with `hashnet train`."
        )
    return path


def check_no_file(folder: Path) -> None:
    """Raises a NotADirectoryError if ``folder`` is a file."""
    if folder.exists() and not folder.is_dir():
        remedy = f"Pass the folder that contains it, {folder.parent}"
        if folder.name not in (MODEL_FILE, "model.safetensors"):
            remedy = f"Pass a folder that contains a {MODEL_FILE}"
        raise NotADirectoryError(
            f"`folder` must be an existing folder, got the file {folder}. {remedy}."
        )
