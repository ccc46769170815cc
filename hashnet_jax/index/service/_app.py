"""Creates the web application of a search service."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

import hashnet_jax
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.index.service import _routes, _site
from hashnet_jax.index.service._guard import Guard
from hashnet_jax.index.service._limits import Refused
from hashnet_jax.index.service._service import Service

_log = logging.getLogger("hashnet_jax")

# A website could make its own host name resolve to the loopback address, and read the index through
# a visitor's browser. The Host header of such requests names another host.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

MIN_TOKEN_LENGTH = 16


def create_app(
    service: Service,
    *,
    token: str | None = None,
    allowed_hosts: Sequence[str] = LOCAL_HOSTS,
    on_compiled: Callable[[], object] = lambda: None,
) -> FastAPI:
    """Creates the web application: a page, a JSON API, and routes for monitoring.

    Args:
      service: the service, which the application starts and stops.
      token: token that clients must send to add or remove pictures, at least 16 printable ASCII
        characters; None to refuse all such requests.
      allowed_hosts: names by which clients may address the service, e.g. "pictures.example.org" or
        "*.example.org"; "*" for any name.
      on_compiled: called when the network has been compiled, or has failed to compile.

    Returns:
      The application, for any ASGI server.

    Raises:
      ValueError: if the token is too short, or contains a space or a character that is not
        printable ASCII, or an allowed host has an asterisk in the wrong place.
    """
    if token is not None:
        check_token(token)
    _check_hosts(allowed_hosts)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.running(on_compiled):
            yield

    # FastAPI's own documentation pages load scripts from another site.
    app = FastAPI(
        title="HashNet search",
        version=hashnet_jax.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            405: _not_allowed,
            Refused: _refused,
            RequestValidationError: _invalid,
            OSError: _store_failed,
            DamagedFile: _store_failed,
            Exception: _failed,
        },
    )
    app.state.service, app.state.token = service, token
    code_router = APIRouter(prefix="/api")
    _routes.add_code_search(code_router, service.current.snapshot.manifest.bits)
    for router in (_routes.router, code_router, _site.router):
        app.include_router(router)
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts, www_redirect=False)
    return app


def check_token(token: str) -> None:
    """Raises a ValueError unless the token is long enough and can be sent in a header."""
    printable = token.isascii() and token.isprintable() and " " not in token
    if len(token) < MIN_TOKEN_LENGTH or not printable:
        raise ValueError(
            f"`token` must have at least {MIN_TOKEN_LENGTH} printable ASCII characters and no "
            f"spaces, got {len(token)} characters."
        )


def _check_hosts(allowed_hosts: Sequence[str]) -> None:
    for host in allowed_hosts:
        if "*" in host.removeprefix("*") or (host.startswith("*") and host[1:2] not in ("", ".")):
            raise ValueError(
                "a host in `allowed_hosts` may have an asterisk only as its first part (e.g. "
                f"*.example.org), got {host!r}."
            )


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers)


async def _not_allowed(request: Request, error: Exception) -> JSONResponse:
    # Starlette has one route per method of a path, and names only the method of the first.
    methods = request.app.openapi()["paths"].get(request.url.path, ("get",))
    allowed = ", ".join(method.upper() for method in methods)
    return _problem(405, f"Use {allowed}.", {"Allow": allowed})


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return _problem(error.status, error.detail, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    faults = [(".".join(map(str, fault["loc"][1:])), fault["msg"]) for fault in error.errors()]
    return _problem(422, "; ".join(f"`{name}`: {message}" for name, message in faults))


async def _store_failed(request: Request, error: Exception) -> JSONResponse:
    _log.error("the store cannot be read or written: %s", error)
    detail = "The store cannot be read or written at the moment."
    return _problem(503, detail, {"Retry-After": "1"})


async def _failed(request: Request, error: Exception) -> JSONResponse:
    return _problem(500, "The service failed; see its log.")
