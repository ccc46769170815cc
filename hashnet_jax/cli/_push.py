"""Writes the network of a finished run and its model card to a folder, and uploads the folder."""

import sys
import tempfile
from pathlib import Path

import hashnet_jax
from hashnet_jax.distributed.files import make_folder, write_whole
from hashnet_jax.model import check_finite
from hashnet_jax.report import UNVERIFIED, model_card, protocol_card, read_finished_run
from hashnet_jax.weights import NETWORK_CONFIG, NETWORK_FILE, upload_network, write_network

CARD = "README.md"
FILES = {NETWORK_CONFIG, NETWORK_FILE, CARD}


def push(
    run_dir: Path,
    repository: str | None,
    *,
    output: Path | None,
    license_id: str | None,
    private: bool,
) -> str:
    """Shares the network of a finished run.

    Args:
      run_dir: folder of the run.
      repository: name of a repository on the Hub; None to upload nothing.
      output: folder for the files; None for a temporary one.
      license_id: license in the card; None to state none.
      private: whether to create the repository as a private one.

    Returns:
      The address from which ``hashnet_jax.load`` loads the network.

    Raises:
      ValueError: if there is neither a repository nor a folder, if the run's files are damaged, or
        its network is not finite.
      FileExistsError: if the folder contains anything else.
    """
    if repository is None and output is None:
        raise ValueError(
            "the network needs a place. Name a repository, OWNER/NAME, or a folder with `output`."
        )
    if output is None:
        with tempfile.TemporaryDirectory() as folder:
            _write(run_dir, Path(folder), repository, license_id)
            return upload_network(Path(folder), str(repository), private=private)
    _check_folder(output)
    make_folder(output)
    _write(run_dir, output, repository, license_id)
    return (
        str(output) if repository is None else upload_network(output, repository, private=private)
    )


def _write(run_dir: Path, folder: Path, repository: str | None, license_id: str | None) -> None:
    run = read_finished_run(run_dir)
    if not run.is_verified:
        print(f"note: {UNVERIFIED}", file=sys.stderr)
    params = hashnet_jax.load(run_dir)
    check_finite(params, source=f"the network in {run_dir}")
    text = model_card(
        protocol_card(run),
        sha256=write_network(folder, params),
        address="path/to/this/folder" if repository is None else f"hf://{repository}",
        license_id=license_id,
    )
    write_whole(folder / CARD, lambda file: file.write(text.encode()))


def _check_folder(folder: Path) -> None:
    """Raises a FileExistsError if files in a folder could be mistaken for those of the network."""
    others = sorted({path.name for path in folder.iterdir()} - FILES) if folder.is_dir() else []
    is_other = (folder / NETWORK_CONFIG).exists() and not (folder / NETWORK_FILE).exists()
    if others or is_other:
        raise FileExistsError(
            f"`output` must be a new or empty folder, or one written by `hashnet push`, but "
            f"{folder} contains {(others or [NETWORK_CONFIG])[0]}. Choose another folder."
        )
