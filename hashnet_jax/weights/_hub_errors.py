"""Turns the errors of huggingface_hub into those of this package, each with a remedy."""

import contextlib
from collections.abc import Iterator
from http import HTTPStatus

from hashnet_jax.weights._network_folder import NETWORK_CONFIG, NETWORK_FILE

_NETWORK = "Check the network, and the variables HTTPS_PROXY, HF_ENDPOINT and HF_HUB_OFFLINE."
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@contextlib.contextmanager
def hub_errors_named(repository: str, revision: str | None) -> Iterator[None]:
    """Replaces an error of huggingface_hub in a with-statement.

    Args:
      repository: the repository that is read or written, for the message.
      revision: its revision, or None for the main branch.

    Raises:
      FileNotFoundError: if the repository, the revision or a file does not exist.
      PermissionError: if the server refuses the user's token.
      ConnectionError: after any other failure.
    """
    from huggingface_hub import constants, errors

    where = f"{repository} at {constants.ENDPOINT}"
    try:
        yield
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"there is no repository {where}, or you have no access to it. Check the name; for a "
            "private repository, run `hf auth login` or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"{where} has no revision {revision!r}. Give a branch, a tag or the hash of a commit."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"cannot download {where}, and it is not in the cache. {_NETWORK}"
        ) from error
    except errors.EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{where} must contain {NETWORK_CONFIG} and {NETWORK_FILE}, written by `hashnet push`, "
            "but one of them is missing. Check the name of the repository."
        ) from error
    except errors.HfHubHTTPError as error:
        raise _answered(error, where) from error
    # The class is httpx's or httpx2's, depending on the version.
    except errors.HTTPError as error:  # pyright: ignore[reportPrivateImportUsage]
        reason = str(error).rstrip(".")
        raise ConnectionError(f"cannot reach {where}: {reason}. {_NETWORK}") from error
    except RuntimeError as error:  # the transfer of a large file failed
        reason = str(error.__cause__ or error).strip().split("\n")[0].rstrip(".")
        raise ConnectionError(f"{where} did not take a file: {reason}. {_NETWORK}") from error


def _answered(error: Exception, where: str) -> OSError:
    """Describes a response with an error status."""
    status = error.response.status_code  # pyright: ignore[reportAttributeAccessIssue]
    if status in _REFUSED:
        return PermissionError(
            f"{where} refuses this user (status {status}). Run `hf auth login` or set HF_TOKEN, "
            "with a token that may do this."
        )
    reason = str(error).strip().split("\n")[0].rstrip(".")
    return ConnectionError(f"{where}: {reason}. {_NETWORK}")
