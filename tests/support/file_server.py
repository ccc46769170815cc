"""An HTTP server for tests that serves files from memory, and misbehaves as told."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNK_BYTES = 1000


class Handler(BaseHTTPRequestHandler):
    """Answers a request with the next behaviour of the script, or with the file."""

    server: Any

    def do_GET(self) -> None:
        files: FileServer = self.server.files
        with files.lock:
            files.requests.append((self.path, self.headers.get("Range")))
            behaviour = files.script.pop(0) if files.script else whole
        with contextlib.suppress(ConnectionError):  # the client has given up
            behaviour(self, files.content.get(self.path))

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""

    def start(self, status: int, content_length: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(content_length))
        self.end_headers()

    def send(self, content: bytes) -> None:
        self.wfile.write(content)
        self.wfile.flush()


Behaviour = Callable[[Handler, bytes | None], None]


def whole(handler: Handler, content: bytes | None) -> None:
    """Sends the file, or the range of it that was requested."""
    wanted = handler.headers.get("Range")
    if content is None:
        return handler.start(404, 0)
    if wanted is None:
        handler.start(200, len(content))
        return handler.send(content)
    first = int(wanted.removeprefix("bytes=").removesuffix("-"))
    if first >= len(content):
        return handler.start(416, 0)
    handler.start(206, len(content) - first)
    handler.send(content[first:])


def without_ranges(handler: Handler, content: bytes | None) -> None:
    """Sends the whole file, whatever range was requested."""
    assert content is not None
    handler.start(200, len(content))
    handler.send(content)


def broken_off(after: int) -> Behaviour:
    """Announces what was requested, but sends only its first bytes."""

    def behave(handler: Handler, content: bytes | None) -> None:
        assert content is not None
        wanted = handler.headers.get("Range", "bytes=0-")
        rest = content[int(wanted.removeprefix("bytes=").removesuffix("-")) :]
        handler.start(206 if len(rest) < len(content) else 200, len(rest))
        handler.send(rest[:after])

    return behave


def announcing(content_length: int) -> Behaviour:
    """Sends the whole file, but announces another length."""

    def behave(handler: Handler, content: bytes | None) -> None:
        assert content is not None
        handler.start(200, content_length)
        handler.send(content)

    return behave


def serving(other: bytes) -> Behaviour:
    """Sends another file, whatever was requested."""

    def behave(handler: Handler, content: bytes | None) -> None:
        handler.start(200, len(other))
        handler.send(other)

    return behave


def status(code: int) -> Behaviour:
    """Answers with a status and no content."""
    return lambda handler, content: handler.start(code, 0)


def redirected(path: str) -> Behaviour:
    """Sends the client to another path, as servers do that keep large files elsewhere."""

    def behave(handler: Handler, content: bytes | None) -> None:
        handler.send_response(302)
        handler.send_header("Location", path)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return behave


def slow(handler: Handler, content: bytes | None) -> None:
    """Sends the file in many small packets."""
    assert content is not None
    handler.start(200, len(content))
    for first in range(0, len(content), CHUNK_BYTES):
        handler.send(content[first : first + CHUNK_BYTES])


def stalling(after: int, until: threading.Event, reached: threading.Event) -> Behaviour:
    """Sends some bytes, sets ``reached``, and sends the rest after ``until`` is set."""

    def behave(handler: Handler, content: bytes | None) -> None:
        assert content is not None
        handler.start(200, len(content))
        handler.send(content[:after])
        reached.set()
        until.wait()
        handler.send(content[after:])

    return behave


@dataclasses.dataclass
class FileServer:
    """A running server.

    Attributes:
      url: URL of the server, without a slash at the end.
      content: the files, keyed by their paths, e.g. ``"/alexnet.pth"``.
      script: how to answer the next requests.
      requests: (path, Range header) of each request so far.
    """

    url: str
    content: dict[str, bytes] = dataclasses.field(default_factory=dict)
    script: list[Behaviour] = dataclasses.field(default_factory=list)
    requests: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)


@contextlib.contextmanager
def running() -> Iterator[FileServer]:
    """Runs a server on a free port of the loopback interface."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        files = FileServer(f"http://127.0.0.1:{server.server_address[1]}")
        server.files = files  # pyright: ignore[reportAttributeAccessIssue]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield files
        finally:
            server.shutdown()
            thread.join()
