"""Runs a service until the process receives a stop signal."""

import math
import os
import signal
import socket
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn

from hashnet_jax.index.service._app import create_app
from hashnet_jax.index.service._service import Service

# Connections beyond this number are refused, because each of them takes a file descriptor.
_MAX_CONNECTIONS = 512

_MAX_PORT = 2**16 - 1


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket.

    Args:
      host: address or name of this machine; "127.0.0.1" accepts only local clients.
      port: port number; 0 for any free port.

    Raises:
      OSError: if the address does not belong to this machine, or the port is in use.
      ValueError: if the port is not in 0..65535.
    """
    if not 0 <= port <= _MAX_PORT:
        raise ValueError(f"`port` must be in 0..{_MAX_PORT}, got {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        is_of_resolver = isinstance(error, socket.gaierror)
        reason = error.strerror if is_of_resolver else os.strerror(error.errno or 0)
        raise OSError(
            f"cannot listen on {host}, port {port}: {reason}. Choose another `host` or `port`."
        ) from error


def url_of(listening: socket.socket) -> str:
    """Returns the URL of a service that listens on a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(
    service: Service,
    listening: socket.socket,
    *,
    token: str | None,
    allowed_hosts: Sequence[str],
    on_ready: Callable[[], object],
) -> None:
    """Serves requests until SIGTERM or SIGINT, and then finishes the requests in progress.

    Args:
      service: the service to run.
      listening: the listening socket, from :func:`listen`.
      token: see :func:`hashnet_jax.index.service.create_app`.
      allowed_hosts: see :func:`hashnet_jax.index.service.create_app`.
      on_ready: called when the network has been compiled.

    Raises:
      Exception: the error that prevented the network from being compiled.
    """

    def compiled() -> None:
        if service.failure is None:
            on_ready()
        else:
            server.should_exit = True

    app = create_app(service, token=token, allowed_hosts=allowed_hosts, on_compiled=compiled)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="on",
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MAX_CONNECTIONS,
            # All requests have timed out after this time.
            timeout_graceful_shutdown=math.ceil(service.limits.max_seconds) + 1,
        )
    )

    def stop(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn handles these signals itself while it runs, and then raises them again for the
    # previously installed handlers. Stopping is not an error.
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[listening])
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if service.failure is not None:
        raise service.failure
