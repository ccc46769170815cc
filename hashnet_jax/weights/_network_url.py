"""Downloads a shared network from a web server."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from hashnet_jax.distributed.files import user_cache, write_whole
from hashnet_jax.weights._download import download, read_url, shown
from hashnet_jax.weights._fetch import OFFLINE_VARIABLE, is_offline
from hashnet_jax.weights._network_folder import NETWORK_CONFIG, NETWORK_FILE, parse_config

_REMEDY = "You can also download the folder by other means and load it from disk"


def url_folder(url: str) -> Path:
    """Downloads the `model.safetensors` and `config.json` of a folder to the user's cache folder.

    The config is downloaded at each call, and the network only if it has changed. Offline, the
    network of the last call is used.

    Args:
      url: http or https URL of the folder. A query, such as a token, is kept for both files.

    Returns:
      The path to a folder with both files, to be checked by ``read_network``.

    Raises:
      ValueError: if the URL is that of a file, or the files do not belong to each other.
      FileNotFoundError: if ``HASHNET_OFFLINE`` is set and the network was never downloaded.
      ConnectionError: if a download fails.
    """
    source, config_source = _inside(url, NETWORK_FILE), _inside(url, NETWORK_CONFIG)
    folder = _cache_folder(source)
    if is_offline():
        if not (folder / NETWORK_CONFIG).is_file():
            raise FileNotFoundError(
                f"{shown(url)} must have been downloaded before, because {OFFLINE_VARIABLE} is "
                f"set, but it is not in {folder}. Unset {OFFLINE_VARIABLE}, or load a folder."
            )
        return folder
    config = read_url(config_source, _REMEDY)
    _, digest = parse_config(shown(config_source), config)
    download(source, folder / NETWORK_FILE, digest, _REMEDY)
    write_whole(folder / NETWORK_CONFIG, lambda file: file.write(config))
    return folder


def _inside(url: str, name: str) -> str:
    """Returns the URL of a file in a folder.

    Examples:
      >>> _inside("https://server/mine/?token=1", "config.json")
      'https://server/mine/config.json?token=1'
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path.rpartition("/")[2] in (NETWORK_FILE, NETWORK_CONFIG):
        folder = shown(url).rpartition("/")[0]
        raise ValueError(
            f"a URL must be that of a folder with {NETWORK_FILE} and {NETWORK_CONFIG}, got the "
            f"file {shown(url)}. Pass {folder}."
        )
    return parts._replace(path=f"{path}/{name}").geturl()


def _cache_folder(source: str) -> Path:
    return user_cache("networks") / hashlib.sha256(shown(source).encode()).hexdigest()[:16]
