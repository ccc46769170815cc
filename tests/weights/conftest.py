"""A server on this machine in place of those that publish weights."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hashnet_jax.backbones import BACKBONES, Backbone, PublicWeights
from hashnet_jax.weights import _download
from tests.support.file_server import FileServer, running

CONTENT = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(200)) * 10


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test that connects to another machine, or looks its address up."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: Any) -> None:
        assert address[0] == "127.0.0.1", address
        connect(self, address)

    def look_up_here(host: str, *args: Any, **kwargs: Any) -> Any:
        assert host in ("127.0.0.1", "localhost"), host
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket, "getaddrinfo", look_up_here)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server with the file of the backbone `served`, and an environment that allows downloads."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HASHNET_WEIGHTS_MIRROR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HASHNET_OFFLINE", "0")
    monkeypatch.setattr(_download, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(_download, "CHUNK_BYTES", 500)
    with running() as files:
        files.content["/served.pth"] = CONTENT
        digest = hashlib.sha256(CONTENT).hexdigest()
        public = PublicWeights(dict, f"{files.url}/served.pth", sha256=digest)
        backbone = Backbone(BACKBONES["small_cnn"].build, weights=public)
        monkeypatch.setitem(BACKBONES, "served", backbone)
        yield files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for downloads, which does not exist yet."""
    monkeypatch.setenv("HASHNET_WEIGHTS_DIR", str(tmp_path / "cache" / "weights"))
    return tmp_path / "cache" / "weights"
