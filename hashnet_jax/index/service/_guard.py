"""Applies the limits to each request as early as possible, and counts the responses."""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashnet_jax.index.service._limits import Limits, Refused, try_again
from hashnet_jax.index.service._metrics import Metrics

# Nothing may be loaded from elsewhere, and no other page may embed this one.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]

THUMBNAILS = "/api/thumbnail"


class Guard:
    """Middleware that refuses requests beyond the limits.

    Requests under /api/ are counted while they are in progress, but requests for thumbnails are
    counted separately, because a page requests many thumbnails at the same time.

    Args:
      app: the ASGI application to wrap.
      limits: limits on requests.
      metrics: the metrics that count the responses.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, metrics: Metrics) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._in_progress = {"thumbnails": 0, "requests": 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, response = time.perf_counter(), _Response(send)
        try:
            with self._admitted(scope["path"]):
                _check_length(scope, self._limits.max_bytes)
                await self._within_time(scope, receive, response)
        except Refused as refusal:
            await response.refuse(refusal)
        except Exception:
            response.status = 500  # sent by the outer middleware
            raise
        finally:
            route = scope["route"].path if "route" in scope else "other"
            self._metrics.requests.labels(scope["method"], route, response.status).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)

    @contextlib.contextmanager
    def _admitted(self, path: str) -> Iterator[None]:
        if not path.startswith("/api/"):
            yield
            return
        kind = "thumbnails" if path == THUMBNAILS else "requests"
        if self._in_progress[kind] >= self._limits.max_requests:
            raise try_again(429, "Too many requests at the same time.")
        self._in_progress[kind] += 1
        self._metrics.waiting.inc()
        try:
            yield
        finally:
            self._in_progress[kind] -= 1
            self._metrics.waiting.dec()

    async def _within_time(self, scope: Scope, receive: Receive, response: "_Response") -> None:
        body = _Body(receive, self._limits.max_bytes)
        try:
            async with asyncio.timeout(self._limits.max_seconds):
                await self._app(scope, body.receive, response.send)
        except TimeoutError as error:
            seconds = f"{self._limits.max_seconds:g} s"
            if body.complete:
                raise try_again(503, f"The request took longer than {seconds}.") from error
            refusal = Refused(408, f"The request was not received within {seconds}.")
            raise refusal from error


class _Body:
    """Receives the body of a request, up to a maximum number of bytes."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive, self._max_bytes = receive, max_bytes
        self._bytes, self.complete = 0, False

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        self.complete = self.complete or not message.get("more_body", False)
        if self._bytes > self._max_bytes:
            # The parser of the body turns every other exception into status 400.
            raise HTTPException(413, _too_long(self._max_bytes).detail)
        return message


class _Response:
    """Sends a response with the headers that all responses share."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *_HEADERS]}
        await self._send(message)

    async def refuse(self, refusal: Refused) -> None:
        """Sends a refusal, unless the response has started already."""
        if self.status:
            return
        content = json.dumps({"detail": refusal.detail}).encode()
        fields: dict[str, Any] = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **refusal.headers,
        }
        headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        start = {"type": "http.response.start", "status": refusal.status, "headers": headers}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": content})


def _check_length(scope: Scope, max_bytes: int) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > max_bytes:
            raise _too_long(max_bytes)


def _too_long(max_bytes: int) -> Refused:
    return Refused(413, f"A request must have at most {max_bytes:,} bytes.")
