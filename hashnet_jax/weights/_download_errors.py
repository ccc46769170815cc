"""Explains why a download failed, and whether another attempt may succeed."""

import http.client
from http import HTTPStatus

_TEMPORARY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


def status_of(error: Exception) -> int | None:
    """Returns the HTTP status of an error; None if the server did not answer with one."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code
    return None


def is_temporary(error: Exception) -> bool:
    """Returns whether the same request may succeed in a few seconds.

    Args:
      error: a ``requests.RequestException``.
    """
    import requests
    from urllib3.exceptions import NewConnectionError

    if (status := status_of(error)) is not None:
        return status >= 500 or status in _TEMPORARY
    if isinstance(
        error,
        (requests.exceptions.SSLError, requests.exceptions.ProxyError, requests.ConnectTimeout),
    ):
        return False
    # Without a network, or with a wrong host name, no connection is ever made.
    cause = getattr(error.args[0], "reason", None) if error.args else None
    broken = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout)
    return isinstance(error, broken) and not isinstance(cause, NewConnectionError)


def reason_of(error: Exception, n_bytes: int | None) -> str:
    """Describes the last failure, and what to look at, without a full stop.

    Args:
      error: a ``requests.RequestException``.
      n_bytes: number of bytes that have arrived and are kept; None if none are kept.
    """
    import requests

    if (status := status_of(error)) is not None:
        return f"the server answered {status} {http.client.responses.get(status, '')}".rstrip()
    if isinstance(error, requests.exceptions.ProxyError):
        return (
            "the proxy named by the environment variable HTTPS_PROXY or HTTP_PROXY does not "
            "connect. Correct the variable, or list the host in NO_PROXY"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return (
            "the server's certificate cannot be verified. If a proxy on this network signs "
            "certificates itself, set REQUESTS_CA_BUNDLE to the file with its root certificate"
        )
    if is_temporary(error) and n_bytes is None:
        return "the connection broke off"
    if is_temporary(error):
        return (
            f"the connection broke off in every attempt. The {n_bytes:,} bytes that arrived are "
            "kept, and a new call asks for the rest"
        )
    return (
        f"no connection ({type(error).__name__}). Check the network and, behind a proxy, the "
        "environment variable HTTPS_PROXY"
    )
