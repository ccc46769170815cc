"""Limits on requests: their size, their number and their time."""

import asyncio
import json

import pytest
from fastapi import HTTPException

from hashnet_jax.index.service._guard import Guard
from hashnet_jax.index.service._limits import Limits
from hashnet_jax.index.service._metrics import Metrics


async def echo(scope, receive, send):
    """Answers with the number of bytes of the body."""
    total, more = 0, True
    while more:
        message = await receive()
        total += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(total).encode()})


def scope_of(path="/api/search/picture", **headers):
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "path": path, "headers": encoded}


def guard_of(app, **limits):
    return Guard(app, limits=Limits(**limits), metrics=Metrics())


async def call(guard, scope, *chunks, receive=None):
    """Sends a request; returns the status, the headers and the content of the response."""
    left, sent = list(chunks), []

    async def receive_chunk():
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message):
        sent.append(message)

    await guard(scope, receive or receive_chunk, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), json.loads(body)


def test_a_request_within_the_limits_is_passed_on():
    status, headers, content = asyncio.run(
        call(guard_of(echo, max_bytes=5), scope_of(), b"abc", b"de")
    )
    assert (status, content) == (200, 5)
    assert b"content-security-policy" in headers


def test_a_request_that_declares_too_many_bytes_is_refused_before_it_is_read():
    async def unread():
        raise AssertionError("the body was read")

    scope = scope_of(content_length="6")
    status, _, content = asyncio.run(call(guard_of(echo, max_bytes=5), scope, receive=unread))
    assert status == 413
    assert content == {"detail": "A request must have at most 5 bytes."}


def test_a_request_with_more_bytes_than_declared_is_refused_while_it_is_read():
    with pytest.raises(HTTPException) as error:  # FastAPI turns it into the response
        asyncio.run(call(guard_of(echo, max_bytes=5), scope_of(), b"abc", b"def"))
    assert error.value.status_code == 413


def test_requests_beyond_the_number_are_refused_at_once_and_accepted_later():
    async def main():
        release = asyncio.Event()

        async def slow(scope, receive, send):
            await release.wait()
            await echo(scope, receive, send)

        guard = guard_of(slow, max_requests=2)
        first = [asyncio.create_task(call(guard, scope_of(), b"")) for _ in range(2)]
        await asyncio.sleep(0)
        status, headers, content = await call(guard, scope_of(), b"")
        assert (status, headers[b"retry-after"]) == (429, b"1")
        assert content == {"detail": "Too many requests at the same time."}
        others = [
            asyncio.create_task(call(guard, scope_of(path), b""))
            for path in ("/api/thumbnail", "/health", "/metrics", "/")
        ]
        release.set()
        responses = await asyncio.gather(*first, *others)
        assert [response[0] for response in responses] == [200] * 6
        assert (await call(guard, scope_of(), b""))[0] == 200

    asyncio.run(main())


def test_a_request_that_takes_too_long_is_given_up():
    async def main():
        cancelled = asyncio.Event()

        async def stuck(scope, receive, send):
            await receive()
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()

        status, headers, content = await call(guard_of(stuck, max_seconds=0.05), scope_of(), b"")
        assert cancelled.is_set()
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert content == {"detail": "The request took longer than 0.05 s."}

    asyncio.run(main())


def test_a_request_that_is_sent_too_slowly_is_given_up():
    async def never():
        await asyncio.sleep(60)

    guard = guard_of(echo, max_seconds=0.05)
    status, _, content = asyncio.run(call(guard, scope_of(), receive=never))
    assert status == 408
    assert content == {"detail": "The request was not received within 0.05 s."}


def test_a_failure_is_counted_with_status_500():
    async def broken(scope, receive, send):
        raise RuntimeError("broken")

    guard = guard_of(broken)
    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(call(guard, scope_of(), b""))
    assert 'status="500"} 1.0' in guard._metrics.text().decode()
    assert guard._in_progress == {"thumbnails": 0, "requests": 0}
