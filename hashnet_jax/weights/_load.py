"""Loads a network from a run, from a folder that was shared, or from an address."""

import os
from pathlib import Path

from hashnet_jax.model import HashNetParams
from hashnet_jax.weights._hub import SCHEME, hub_folder
from hashnet_jax.weights._model_file import read_model
from hashnet_jax.weights._model_path import MODEL_FILE
from hashnet_jax.weights._network_folder import NETWORK_FILE, read_network
from hashnet_jax.weights._network_url import url_folder


def load(folder: str | os.PathLike[str]) -> HashNetParams:
    """Loads a network that :func:`save`, a training run or `hashnet push` wrote.

    Args:
      folder: one of

        - the folder of a finished run, or any folder with a `model.npz`;
        - a folder with the `model.safetensors` and `config.json` of a shared network;
        - ``"hf://OWNER/NAME"`` or ``"hf://OWNER/NAME@REVISION"``, a repository on the Hugging Face
          Hub with these two files; a revision is a branch, a tag or the hash of a commit;
        - the http or https URL of a folder with these two files.

        What is downloaded is kept. If the environment variable ``HASHNET_OFFLINE`` is set, only
        what was downloaded before is loaded.

    Returns:
      :class:`HashNetParams`.

    Raises:
      FileNotFoundError: if the folder has no network, or there is no such repository, revision or
        file.
      NotADirectoryError: if ``folder`` is a file, such as the `model.npz` itself.
      ModuleNotFoundError: if huggingface_hub or safetensors is needed but missing.
      ConnectionError: if a server cannot be reached or refuses.
      DamagedFile: a ValueError, if a file is damaged or its arrays do not match its spec.

    Examples:
      >>> load("runs/none")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no model.npz in runs/none. It is written when a run ends. ...
    """
    address = os.fspath(folder)
    if address.startswith(SCHEME):
        return read_network(hub_folder(address))
    if address.startswith(("http://", "https://")):
        return read_network(url_folder(address))
    path = Path(folder)
    is_shared = (path / NETWORK_FILE).is_file() and not (path / MODEL_FILE).is_file()
    return read_network(path) if is_shared else read_model(path)
