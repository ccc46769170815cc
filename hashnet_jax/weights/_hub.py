"""Downloads networks from the Hugging Face Hub, and uploads them.

huggingface_hub itself reads the environment variables ``HF_ENDPOINT`` (another server),
``HF_TOKEN`` (for private repositories and uploads) and ``HF_HOME`` (where downloads are kept).
"""

import re
from pathlib import Path
from types import ModuleType

from hashnet_jax.distributed.reading import DamagedFile, check_sha256, read_text
from hashnet_jax.weights._fetch import OFFLINE_VARIABLE, is_offline
from hashnet_jax.weights._hub_errors import hub_errors_named
from hashnet_jax.weights._network_folder import (
    CONFIG_DAMAGE,
    NETWORK_CONFIG,
    NETWORK_DAMAGE,
    NETWORK_FILE,
    parse_config,
)

SCHEME = "hf://"

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def hub_folder(address: str) -> Path:
    """Downloads the two files of a network, unless they are in the cache of huggingface_hub.

    If a file in the cache is damaged, both are downloaded again.

    Args:
      address: ``"hf://OWNER/NAME"``, optionally followed by ``"@REVISION"``.

    Returns:
      The path to a folder with both files, which belong to each other.

    Raises:
      ValueError: if the address has another form, or the repository contains something else.
      FileNotFoundError: if there is no such repository, revision or file, or ``HASHNET_OFFLINE`` is
        set and the files are not in the cache.
      ModuleNotFoundError: if huggingface_hub is not installed.
      ConnectionError: if the server cannot be reached or refuses.
    """
    repository, _, revision = address.removeprefix(SCHEME).partition("@")
    check_repository(repository)
    try:
        return _downloaded(repository, revision or None, again=False)
    except DamagedFile:
        if is_offline():
            raise
        return _downloaded(repository, revision or None, again=True)


def upload_network(folder: Path, repository: str, *, private: bool) -> str:
    """Uploads a folder to a repository, which is created if it does not exist.

    Args:
      folder: a folder with the files of a network and its card.
      repository: ``"OWNER/NAME"``.
      private: whether to create the repository as a private one.

    Returns:
      The network's address, including the commit.

    Raises:
      ValueError: if the repository's name has another form.
      PermissionError: if there is no token, or it does not allow uploads to the repository.
      ModuleNotFoundError: if huggingface_hub is not installed.
      ConnectionError: if the server cannot be reached or refuses.
    """
    check_repository(repository)
    hub = _huggingface_hub()
    if hub.get_token() is None:
        raise PermissionError(
            f"an upload to {repository} needs a token. Run `hf auth login`, or set HF_TOKEN."
        )
    with hub_errors_named(repository, None):
        api = hub.HfApi()
        api.create_repo(repository, private=private or None, exist_ok=True)
        message = "Upload a network of hashnet_jax"
        commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message)
    return f"{SCHEME}{repository}@{commit.oid}"


def check_repository(repository: str) -> None:
    """Raises a ValueError unless the name of a repository has the form OWNER/NAME.

    Examples:
      >>> check_repository("alexnet")
      Traceback (most recent call last):
      ...
      ValueError: a repository must have the form OWNER/NAME, got 'alexnet'.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"a repository must have the form OWNER/NAME, got {repository!r}.")


def _downloaded(repository: str, revision: str | None, *, again: bool) -> Path:
    """Downloads the config and the network of one commit, and checks the hash of the latter."""
    config = _file(repository, NETWORK_CONFIG, revision, again=again)
    _, digest = parse_config(config, read_text(config, *CONFIG_DAMAGE))
    # The folder is named after the commit. The branch may have moved on in the meantime.
    network = _file(repository, NETWORK_FILE, config.parent.name, again=again)
    check_sha256(network, digest, *NETWORK_DAMAGE)
    return config.parent


def _file(repository: str, name: str, revision: str | None, *, again: bool) -> Path:
    hub = _huggingface_hub()
    with hub_errors_named(repository, revision):
        if not is_offline():
            return Path(
                hub.hf_hub_download(repository, name, revision=revision, force_download=again)
            )
        # `hf_hub_download(local_files_only=True)` may still ask the server for other things.
        path = hub.try_to_load_from_cache(repository, name, revision=revision)
    if not isinstance(path, str):
        raise FileNotFoundError(
            f"{name} of {repository} is not in the cache, and {OFFLINE_VARIABLE} is set. Unset it "
            "and load the network once with a connection."
        )
    return Path(path)


def _huggingface_hub() -> ModuleType:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"huggingface_hub is needed for {SCHEME} addresses and uploads. Run `pip install "
            "'hashnet_jax[hub]'`."
        ) from error
    return huggingface_hub
