"""Tests for `hashnet serve`: its errors, and how it starts and stops."""

import concurrent.futures
import io
import re
import shutil
import signal
import socket
import sys
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("lancedb")

import httpx
import numpy as np
from PIL import Image

from hashnet_jax.index.service import listen, url_of
from tests.support.cli_case import hashnet, make_pictures, make_run, start
from tests.support.live_service import make_store, wait_until


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, 20 pictures and a store. Tests must not modify them."""
    folder = tmp_path_factory.mktemp("made")
    run = make_run(folder / "run")
    pictures = sorted(make_pictures(folder / "pictures", 20).iterdir())
    make_store(folder / "store", run, pictures)
    return SimpleNamespace(run=run, store=folder / "store", pictures=pictures)


@pytest.fixture
def serve(made, tmp_path):
    """Starts the service, and waits until it is ready. Returns the process and a client."""
    store = shutil.copytree(made.store, tmp_path / "store")
    processes = []

    def start_service(*args):
        process = start("serve", made.run, "--store", store, "--port", 0, *args)
        processes.append(process)
        line = process.stdout.readline()
        found = re.fullmatch(r"serving ([\d,]+) pictures at (http://127\.0\.0\.1:\d+)/\n", line)
        assert found, line + process.stderr.read()
        return process, httpx.Client(base_url=found[2], timeout=30)

    yield start_service
    for process in processes:
        process.kill()
        process.communicate()


def search(client, path):
    with open(path, "rb") as file:
        return client.post("/api/search/picture", files={"picture": file})


def large_picture():
    """A picture that takes long to decode."""
    noise = np.random.default_rng(0).integers(0, 256, (2500, 2500, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_a_missing_store_is_named(made, tmp_path, capsys):
    assert hashnet("serve", made.run, "--store", tmp_path / "none") == 1
    assert f"no store found in {tmp_path / 'none'}" in capsys.readouterr().err


def test_a_store_of_another_network_is_refused(made, tmp_path, capsys):
    run = make_run(tmp_path / "run", seed=1)
    assert hashnet("serve", run, "--store", made.store) == 1
    assert "were computed by a different network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--max-bytes", 0], "--max-bytes must be > 0, got 0."),
        (["--max-seconds", -1], "--max-seconds must be > 0, got -1.0."),
        (["--batch-size", 0], "--batch-size must be >= 1, got 0."),
        (["--poll-seconds", 0], "--poll-seconds must be > 0, got 0.0."),
        (["--token-file", "none.txt"], "none.txt"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1, port 8000"),
        (["--host", "no such host"], "cannot listen on no such host, port 8000"),
        (["--port", 99_999], "--port must be in 0..65535, got 99999."),
    ],
)
def test_a_wrong_option_is_named(made, capsys, args, message):
    assert hashnet("serve", made.run, "--store", made.store, *args) == 1
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_named(made, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert hashnet("serve", made.run, "--store", made.store, "--port", port) == 1
    assert "Address already in use. Choose another --host or --port." in capsys.readouterr().err


def test_a_short_token_is_refused(made, capsys, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("short\n")
    args = ("serve", made.run, "--store", made.store)
    assert hashnet(*args, "--token-file", tmp_path / "token") == 1
    assert "at least 16 printable ASCII characters and no spaces, got 5" in capsys.readouterr().err
    monkeypatch.setenv("HASHNET_TOKEN", "tiny")
    assert hashnet(*args) == 1
    assert "got 4 characters" in capsys.readouterr().err


def test_a_missing_library_is_named_with_the_command_to_install_it(made, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("hashnet_jax.index.service")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delattr("hashnet_jax.index.service")
    assert hashnet("serve", made.run, "--store", made.store) == 1
    error = capsys.readouterr().err
    assert "fastapi is needed to serve a store" in error
    assert "pip install 'hashnet_jax[serve]'" in error


def test_ipv6_addresses_are_accepted():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with listen("::1", 0) as listening:
        assert re.fullmatch(r"http://\[::1\]:\d+/", url_of(listening))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_service_answer_what_it_has_accepted(serve, made, number):
    process, client = serve()
    content = large_picture()
    with client, concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert search(client, made.pictures[0]).status_code == 200
        sent = [
            pool.submit(client.post, "/api/search/picture", files={"picture": content})
            for _ in range(6)
        ]
        wait_until(lambda: "in_progress 6.0" in client.get("/metrics").text)
        process.send_signal(number)
        assert [request.result().status_code for request in sent] == [200] * 6
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert output.startswith("stopped serving ")
    assert errors == ""


@pytest.mark.slow
def test_a_service_that_is_killed_can_be_restarted_at_once(serve, made):
    process, client = serve()
    with client:
        before = search(client, made.pictures[0]).json()
    process.kill()
    process.wait()
    port = client.base_url.port
    started = time.monotonic()
    process, client = serve("--port", port)
    seconds = time.monotonic() - started
    with client:
        assert search(client, made.pictures[0]).json() == before
    assert seconds < 60


@pytest.mark.slow
def test_a_client_adds_a_picture_with_the_token_of_a_file(serve, made, tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef\n")
    args = ("--token-file", tmp_path / "token", "--uploads", tmp_path / "uploads")
    _, client = serve(*args, "--poll-seconds", "0.1")
    headers = {"Authorization": "Bearer 0123456789abcdef"}
    content = large_picture()
    with client:
        response = client.post("/api/pictures", files={"picture": content}, headers=headers)
        assert response.status_code == 201
        wait_until(lambda: client.get("/ready").json()["codes"] == 21)
        answer = client.post("/api/search/picture", files={"picture": content}).json()
        assert (0, response.json()["id"]) in [
            (one["distance"], one["id"]) for one in answer["neighbours"]
        ]
