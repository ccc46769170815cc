"""Tests for downloads of published weights, from a server on this machine that misbehaves."""

import dataclasses
import hashlib
import importlib
import pkgutil
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashnet_jax import backbones
from hashnet_jax.backbones import BACKBONES, PublicWeights
from hashnet_jax.weights import _download, fetch, find_weights
from hashnet_jax.weights._fetch import file_name, weights_folder
from tests.support import file_server
from tests.support.file_server import FileServer
from tests.weights.conftest import CONTENT

DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"served-{DIGEST[:8]}.pth"

# The package's own backbones, as other tests register more.
FAMILIES = [
    importlib.import_module(f"hashnet_jax.backbones.{module.name}").FAMILY
    for module in pkgutil.iter_modules(backbones.__path__)
    if not module.name.startswith("_")
]
OWN = {name for family in FAMILIES for name in family}
PUBLISHED = {
    name: backbone.weights
    for name, backbone in BACKBONES.items()
    if name in OWN and backbone.weights and backbone.weights.url
}


def files_in(folder: Path) -> list[str]:
    """Names of all files but the lock, hidden ones included."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def register(monkeypatch: pytest.MonkeyPatch, public: PublicWeights) -> None:
    backbone = dataclasses.replace(BACKBONES["small_cnn"], weights=public)
    monkeypatch.setitem(BACKBONES, "served", backbone)


def test_weights_are_downloaded_once_and_then_read_from_the_folder(server, folder, capfd) -> None:
    path = fetch("served")
    assert path == folder / NAME
    assert path.read_bytes() == CONTENT
    assert files_in(folder) == [NAME]
    assert f"downloading {NAME}: 1/1 megabytes" in capfd.readouterr().err
    assert find_weights("served", "auto") == path
    assert server.requests == [("/served.pth", None)]


def test_each_published_file_has_at_least_the_digits_in_its_name() -> None:
    assert len(PUBLISHED) == 24
    for name, public in PUBLISHED.items():
        assert public.sha256 is not None
        assert len(public.sha256) in (8, 64)
        assert set(public.sha256) <= set("0123456789abcdef")
        assert public.sha256[:8] in file_name(name)
    short = [name for name, public in PUBLISHED.items() if len(public.sha256 or "") == 8]
    assert short == ["vgg11", "vgg13", "vgg11_bn", "vgg13_bn"]


def test_a_download_that_breaks_off_continues_where_it_stopped(server, folder) -> None:
    server.script = [file_server.broken_off(5000), file_server.broken_off(7000)]
    assert fetch("served").read_bytes() == CONTENT
    ranges = [wanted for _, wanted in server.requests]
    assert ranges == [None, "bytes=5000-", "bytes=12000-"]


def test_a_later_call_continues_the_download(server, folder) -> None:
    server.script = [file_server.broken_off(2000)] * 3
    with pytest.raises(ConnectionError, match=r"broke off in every attempt\. The 6,000 bytes"):
        fetch("served")
    assert files_in(folder) == [f".{NAME}.partial"]
    assert fetch("served").read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=6000-"
    assert files_in(folder) == [NAME]


def test_a_server_that_ignores_ranges_sends_the_file_again(server, folder) -> None:
    server.script = [file_server.broken_off(5000), file_server.without_ranges]
    assert fetch("served").read_bytes() == CONTENT


def test_the_rest_of_a_file_is_found_behind_a_redirection(server, folder) -> None:
    server.content["/elsewhere"] = CONTENT
    server.script = [
        *(file_server.redirected("/elsewhere"), file_server.broken_off(5000)),
        file_server.redirected("/elsewhere"),
    ]
    assert fetch("served").read_bytes() == CONTENT
    assert server.requests == [
        *(("/served.pth", None), ("/elsewhere", None)),
        *(("/served.pth", "bytes=5000-"), ("/elsewhere", "bytes=5000-")),
    ]


def test_an_interrupted_download_that_had_every_byte_is_complete(server, folder) -> None:
    folder.mkdir(parents=True)
    (folder / f".{NAME}.partial").write_bytes(CONTENT)
    assert fetch("served").read_bytes() == CONTENT
    assert server.requests == [("/served.pth", f"bytes={len(CONTENT)}-")]


@pytest.mark.parametrize("size", [10, len(CONTENT) + 5])
def test_the_rest_of_another_file_is_not_continued(server, folder, size) -> None:
    folder.mkdir(parents=True)
    (folder / f".{NAME}.partial").write_bytes(b"x" * size)
    assert fetch("served").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [f"bytes={size}-", None]


@pytest.mark.parametrize("length", [len(CONTENT) - 100, 1])
def test_a_file_shortened_by_a_wrong_length_is_refused(server, folder, length) -> None:
    server.script = [file_server.announcing(length)]
    with pytest.raises(ValueError, match=f"sent {length:,} bytes with the SHA-256"):
        fetch("served")
    assert files_in(folder) == []


def test_a_server_that_announces_too_much_breaks_off(server, folder) -> None:
    server.script = [file_server.announcing(len(CONTENT) + 1)]
    # The next request asks for the byte that does not exist.
    assert fetch("served").read_bytes() == CONTENT


def test_a_file_with_another_hash_is_refused_and_not_kept(server, folder) -> None:
    server.content["/served.pth"] = b"<html>Please log in.</html>"
    with pytest.raises(ValueError, match=f"is {DIGEST}, but the server sent 27 bytes"):
        fetch("served")
    assert files_in(folder) == []
    assert len(server.requests) == 1


def test_only_the_published_digits_of_a_hash_are_compared(server, folder, monkeypatch) -> None:
    url = f"{server.url}/served.pth"
    register(monkeypatch, PublicWeights(dict, url, sha256=DIGEST[:8]))
    assert fetch("served").read_bytes() == CONTENT
    register(monkeypatch, PublicWeights(dict, url, sha256="0123abcd"))
    with pytest.raises(ValueError, match="whose SHA-256 starts with 0123abcd, but"):
        fetch("served")


def test_a_file_that_was_damaged_on_disk_is_downloaded_again(server, folder) -> None:
    fetch("served").write_bytes(CONTENT[:-1])
    assert fetch("served").read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_busy_server_is_asked_again(server, folder, code) -> None:
    server.script = [file_server.status(code)] * 2
    assert fetch("served").read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_named(server, folder) -> None:
    server.script = [file_server.status(503)] * 3
    with pytest.raises(ConnectionError, match=r"answered 503 Service Unavailable\. You can also"):
        fetch("served")


def test_a_missing_file_is_not_asked_for_again(server, folder) -> None:
    del server.content["/served.pth"]
    with pytest.raises(ConnectionError, match=r"/served\.pth: the server answered 404 Not Found"):
        fetch("served")
    assert len(server.requests) == 1


def test_a_slow_server_is_waited_for(server, folder) -> None:
    server.script = [file_server.slow]
    assert fetch("served").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_server_that_stalls_is_asked_for_the_rest(server, folder, monkeypatch) -> None:
    end = threading.Event()
    monkeypatch.setattr(_download, "TIMEOUT", 0.5)
    server.script = [file_server.stalling(3000, end, threading.Event())]
    assert fetch("served").read_bytes() == CONTENT
    end.set()
    assert len(server.requests) > 1


def test_offline_a_downloaded_file_is_found(server, folder, monkeypatch) -> None:
    path = fetch("served")
    monkeypatch.setenv("HASHNET_OFFLINE", "1")
    assert fetch("served") == path
    assert len(server.requests) == 1


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_offline_without_the_file_the_error_says_what_to_do(
    server, folder, monkeypatch, content
) -> None:
    monkeypatch.setenv("HASHNET_OFFLINE", "1")
    if content is not None:
        folder.mkdir(parents=True)
        (folder / NAME).write_bytes(content)
    problem = "there is no such file" if content is None else "that file is damaged"
    message = (
        f"in {folder / NAME}, because HASHNET_OFFLINE is set, but {problem}. Download {server.url}"
    )
    with pytest.raises(FileNotFoundError) as raised:
        fetch("served")
    assert message in str(raised.value)
    assert server.requests == []


def test_a_mirror_has_the_files_under_the_names_in_the_folder(server, folder, monkeypatch) -> None:
    server.content = {f"/models/{NAME}": CONTENT}
    address = server.url.removeprefix("http://")
    monkeypatch.setenv("HASHNET_WEIGHTS_MIRROR", f"http://me:secret@{address}/models/")
    assert fetch("served").read_bytes() == CONTENT
    assert server.requests == [(f"/models/{NAME}", None)]


def test_a_password_for_the_mirror_is_not_shown(server, folder, monkeypatch) -> None:
    address = server.url.removeprefix("http://")
    monkeypatch.setenv("HASHNET_WEIGHTS_MIRROR", f"http://me:secret@{address}/none")
    with pytest.raises(ConnectionError, match=f"cannot download http://{address}/none/") as raised:
        fetch("served")
    assert "secret" not in str(raised.value)


def test_a_mirror_that_is_no_url_is_refused(server, folder, monkeypatch) -> None:
    monkeypatch.setenv("HASHNET_WEIGHTS_MIRROR", "/mnt/weights")
    with pytest.raises(ValueError, match="must be the http or https URL of a folder, got '/mnt/"):
        fetch("served")


def test_without_a_connection_the_error_says_so_at_once(server, folder, monkeypatch) -> None:
    with file_server.running() as closed:
        pass
    monkeypatch.setattr(_download, "PAUSES", (3600.0,))
    monkeypatch.setenv("HASHNET_WEIGHTS_MIRROR", closed.url)
    with pytest.raises(ConnectionError, match=r"no connection \(ConnectionError\)\. Check the"):
        fetch("served")


def test_a_proxy_that_does_not_connect_is_named(server, folder, monkeypatch) -> None:
    with file_server.running() as closed:
        pass
    monkeypatch.setenv("HTTPS_PROXY", closed.url)
    monkeypatch.setenv("HASHNET_WEIGHTS_MIRROR", "https://mirror.invalid")
    with pytest.raises(ConnectionError, match=r"the proxy named by .* HTTPS_PROXY .* NO_PROXY"):
        fetch("served")


def test_a_certificate_that_cannot_be_verified_is_explained(server, folder, monkeypatch) -> None:
    # The server speaks no TLS at all.
    monkeypatch.setenv("HASHNET_WEIGHTS_MIRROR", server.url.replace("http:", "https:"))
    with pytest.raises(ConnectionError, match="set REQUESTS_CA_BUNDLE to the file"):
        fetch("served")


def test_weights_without_a_hash_are_not_downloaded(server, folder, monkeypatch) -> None:
    register(monkeypatch, PublicWeights(dict, f"{server.url}/served.pth"))
    with pytest.raises(ValueError, match="the weights of served cannot be downloaded, because"):
        fetch("served")
    assert server.requests == []


def test_an_unknown_backbone_is_rejected() -> None:
    with pytest.raises(
        ValueError, match=r"there is no backbone 'alexnett'\. Choose one of small_cnn, alexnet"
    ):
        fetch("alexnett")


def test_weights_are_kept_in_the_users_cache_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("HASHNET_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_folder().name == "weights"
    assert weights_folder().parent.name == "hashnet_jax"


DOWNLOAD = """
import sys
from pathlib import Path
from hashnet_jax.weights._download import download
download(sys.argv[1], Path(sys.argv[2]), sys.argv[3], "Try again")
"""


@pytest.fixture
def stalled(server) -> Iterator[tuple[FileServer, threading.Event, threading.Event]]:
    """A server that stops in the middle of the first answer until the first event is set."""
    going_on, reached = threading.Event(), threading.Event()
    server.script = [file_server.stalling(3000, going_on, reached)]
    yield server, going_on, reached
    going_on.set()


def test_of_two_processes_one_downloads_and_the_other_waits(stalled, folder) -> None:
    server, going_on, reached = stalled
    command = [sys.executable, "-c", DOWNLOAD, f"{server.url}/served.pth", folder / NAME, DIGEST]
    first = subprocess.Popen(command)
    assert reached.wait(300)
    second = subprocess.Popen(command)
    assert not (folder / NAME).exists(), "a file appears only when it is complete"
    going_on.set()
    assert (first.wait(), second.wait()) == (0, 0)
    assert server.requests == [("/served.pth", None)]
    assert files_in(folder) == [NAME]
    assert (folder / NAME).read_bytes() == CONTENT


def test_a_process_that_is_killed_leaves_no_file_and_no_lock(stalled, folder) -> None:
    server, _, reached = stalled
    command = [sys.executable, "-c", DOWNLOAD, f"{server.url}/served.pth", folder / NAME, DIGEST]
    process = subprocess.Popen(command)
    assert reached.wait(300)
    process.kill()
    process.wait()
    assert not (folder / NAME).exists()
    assert fetch("served").read_bytes() == CONTENT


def test_the_documentation_lists_every_file_and_its_hash() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pretrained.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\w+)` \|$", page, re.MULTILINE)
    assert listed == [(n, file_name(n), public.sha256) for n, public in PUBLISHED.items()]
