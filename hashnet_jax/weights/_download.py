"""Downloads a file whose hash is known, and continues a download that broke off.

`pooch.HTTPDownloader` transfers the bytes. `pooch.retrieve` is not used, because it starts again
from the beginning after an interruption, and compares only complete hashes.
"""

import contextlib
import os
import time
import urllib.parse
from http import HTTPStatus
from pathlib import Path
from typing import Any

from hashnet_jax.distributed.files import disk_faults_named, make_folder, sha256, sync_folder
from hashnet_jax.weights._download_bar import Bar
from hashnet_jax.weights._download_errors import is_temporary, reason_of, status_of

# Seconds to wait before each further attempt.
PAUSES = (0.5, 1.0, 2.0, 4.0)
# Seconds without a single byte after which an attempt has failed.
TIMEOUT = 30.0

MAX_TEXT_BYTES = 2**20
# The connection may break off within a chunk, whose bytes are then lost.
CHUNK_BYTES = 2**16


def download(url: str, path: Path, digits: str, remedy: str) -> None:
    """Downloads a file unless it exists with the expected hash.

    The bytes are collected in a hidden file `.NAME.partial` in the same folder, which is renamed
    after its hash has been checked and its content flushed to disk. If the download breaks off, the
    next attempt asks for the rest only. Of several processes, one downloads and the others wait.

    Args:
      url: an http or https URL.
      path: path to the file; its folder is created if necessary.
      digits: the file's SHA-256, or the first digits of it.
      remedy: what the user can do if the download fails, without a full stop.

    Raises:
      ConnectionError: if the server cannot be reached, refuses, or breaks off repeatedly.
      ValueError: if the server's file has another hash; it is not kept.
      OSError: if the file cannot be written.
    """
    from filelock import FileLock

    make_folder(path.parent)
    with FileLock(path.with_name(f".{path.name}.lock")):
        if has_hash(path, digits):
            return
        partial = path.with_name(f".{path.name}.partial")
        with disk_faults_named(partial):
            _collect(url, partial, digits, remedy)
        os.replace(partial, path)
        sync_folder(path.parent)


def read_url(url: str, remedy: str) -> bytes:
    """Downloads a small text file into memory.

    Args:
      url: an http or https URL.
      remedy: what the user can do if the download fails, without a full stop.

    Raises:
      ConnectionError: if the server cannot be reached or refuses.
      ValueError: if the file has more than ``MAX_TEXT_BYTES`` bytes.
    """
    import requests

    content = b""
    try:
        with requests.get(url, timeout=TIMEOUT, stream=True) as response:
            response.raise_for_status()
            for chunk in response.iter_content(CHUNK_BYTES):
                content += chunk
                if len(content) > MAX_TEXT_BYTES:
                    raise ValueError(f"{shown(url)} has more than {MAX_TEXT_BYTES:,} bytes.")
    except requests.RequestException as error:
        reason = reason_of(error, None)
        raise ConnectionError(f"cannot download {shown(url)}: {reason}. {remedy}.") from error
    return content


def has_hash(path: Path, digits: str) -> bool:
    """Returns whether a file exists and its SHA-256 starts with ``digits``."""
    return path.is_file() and sha256(path).startswith(digits)


def shown(url: str) -> str:
    """Returns a URL without the secrets that it may contain: a password, or a token in its query.

    Examples:
      >>> shown("https://me:secret@mirror/alexnet.pth?token=secret")
      'https://mirror/alexnet.pth'
    """
    parts = urllib.parse.urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=netloc, query="", fragment="").geturl()


def _collect(url: str, partial: Path, digits: str, remedy: str) -> None:
    """Completes a partial file and checks its hash."""
    # The bytes of an earlier call may be those of another version of the file.
    is_continued = partial.is_file() and partial.stat().st_size > 0
    _transfer(url, partial, remedy)
    if is_continued and not has_hash(partial, digits):
        partial.unlink()
        _transfer(url, partial, remedy)
    found = sha256(partial)
    if not found.startswith(digits):
        size = partial.stat().st_size
        partial.unlink()
        raise ValueError(
            f"{shown(url)} must be a file whose SHA-256 {_expected(digits)}, but the server sent "
            f"{size:,} bytes with the SHA-256 {found}, which were not kept. {remedy}."
        )


def _expected(digits: str) -> str:
    return f"is {digits}" if len(digits) == 64 else f"starts with {digits}"


def _transfer(url: str, partial: Path, remedy: str) -> None:
    """Appends the missing bytes to a partial file, in several attempts if necessary."""
    import requests

    pauses = iter(PAUSES)
    while True:
        try:
            return _attempt(url, partial)
        except requests.RequestException as error:
            pause = next(pauses, None) if is_temporary(error) else None
            if pause is None:
                reason = reason_of(error, partial.stat().st_size)
                message = f"cannot download {shown(url)}: {reason}. {remedy}."
                raise ConnectionError(message) from error
        time.sleep(pause)


def _attempt(url: str, partial: Path) -> None:
    import pooch
    import requests

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(partial, "ab"))
        bar = Bar(f"downloading {partial.name[1:].removesuffix('.partial')}", done=file.tell())
        stack.callback(bar.close)

        def opened(response: requests.Response, **_: Any) -> None:
            stack.callback(response.close)  # pooch leaves it open after an error
            if response.status_code == HTTPStatus.OK:  # the whole file, not the rest
                file.truncate(0)
                bar.done = 0

        # Compressed content could not be continued.
        headers = {"Accept-Encoding": "identity"}
        if bar.done:
            headers["Range"] = f"bytes={bar.done}-"
        options: dict[str, Any] = {"headers": headers, "hooks": {"response": opened}}
        options |= {"timeout": TIMEOUT, "progressbar": bar, "chunk_size": CHUNK_BYTES}
        try:
            pooch.HTTPDownloader(**options)(url, file, None)
        except requests.HTTPError as error:
            # Nothing is left to send. The hash shows whether the file is complete.
            if status_of(error) != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
        file.flush()
        os.fsync(file.fileno())
