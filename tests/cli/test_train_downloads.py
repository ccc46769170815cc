"""Tests `hashnet train --pretrained auto` in its own process, with a server on this machine."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.backbones import BACKBONES
from tests.support import file_server
from tests.support.cli_case import ROOT, environment
from tests.support.file_server import FileServer
from tests.support.program_with_weights import SPEC, tensor_names

PATH = "/served.safetensors"


def backbone_arrays(params: hashnet_jax.HashNetParams) -> dict[str, np.ndarray]:
    """Returns the backbone's arrays, keyed by the names of their tensors in the weights file."""
    found = {}
    for name, target in tensor_names().items():
        leaf = params.variables[target.collection]["backbone"]
        for key in name.split("/"):
            leaf = leaf[key]
        found[name] = np.asarray(leaf)
    return found


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """The weights that are served, keyed by the names of their tensors."""
    return backbone_arrays(hashnet_jax.init(jax.random.key(7), SPEC))


@pytest.fixture
def server(arrays: dict[str, np.ndarray]) -> Iterator[FileServer]:
    safetensors = pytest.importorskip("safetensors.numpy")
    with file_server.running() as files:
        files.content[PATH] = safetensors.save(arrays)
        yield files


def train(server: FileServer, cache: Path, *args: object, offline: bool = False, **env: str):
    """Runs the program; returns the finished process."""
    digest = hashlib.sha256(server.content[PATH]).hexdigest()
    own = {
        "SERVED_URL": server.url + PATH,
        "SERVED_SHA256": digest,
        "HASHNET_WEIGHTS_DIR": str(cache),
        "HASHNET_OFFLINE": "1" if offline else "",
        "NO_PROXY": "127.0.0.1",
    }
    words = ("--backbone", "served", "--pretrained", "auto", "--freeze-backbone", "--bits", "12")
    command = ["train", *words, "--steps", "2", "--no-report", *map(str, args)]
    return subprocess.run(
        [sys.executable, "-m", "tests.support.program_with_weights", *command],
        cwd=ROOT, env=environment() | own | env, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_downloads_its_weights_once_and_later_runs_need_no_network(
    server: FileServer,
    arrays: dict[str, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.script = [file_server.broken_off(2**17)]
    first = train(server, tmp_path / "cache", "--run-dir", tmp_path / "first")
    assert first.returncode == 0, first.stderr
    assert [wanted for _, wanted in server.requests] == [None, "bytes=131072-"]
    content = server.content[PATH]
    digest = hashlib.sha256(content).hexdigest()
    name = f"served-{digest[:8]}.safetensors"
    assert f"downloading {name}: 1/1 megabytes" in first.stderr
    assert (tmp_path / "cache" / name).read_bytes() == content
    config = json.loads((tmp_path / "first" / "config.json").read_text())
    assert (config["pretrained"], config["pretrained_sha256"]) == ("auto", digest)
    monkeypatch.setitem(BACKBONES, "served", BACKBONES["small_cnn"])
    trained = backbone_arrays(hashnet_jax.load(tmp_path / "first"))
    jax.tree.map(np.testing.assert_array_equal, trained, arrays)

    second = train(server, tmp_path / "cache", "--run-dir", tmp_path / "second", offline=True)
    assert second.returncode == 0, second.stderr
    assert len(server.requests) == 2, "the file is read from the folder"
    models = [(tmp_path / run / "model.npz").read_bytes() for run in ("first", "second")]
    assert models[0] == models[1]


def test_a_run_without_the_weights_and_a_network_says_what_to_do(
    server: FileServer, tmp_path: Path
) -> None:
    run = train(server, tmp_path / "cache", "--run-dir", tmp_path / "run", offline=True)
    assert run.returncode == 1
    assert run.stderr.startswith("hashnet train: error: the weights of served must be in ")
    assert f"Download {server.url}{PATH} on another machine and copy it to" in run.stderr
    assert server.requests == []
    assert not (tmp_path / "run").exists()


def test_a_run_refuses_a_file_with_another_hash(server: FileServer, tmp_path: Path) -> None:
    server.script = [file_server.serving(b"<html>Please log in.</html>")]
    run = train(server, tmp_path / "cache", "--run-dir", tmp_path / "run")
    assert run.returncode == 1
    assert "the server sent 27 bytes with the SHA-256" in run.stderr
    assert "and set --pretrained to the path of the file" in run.stderr
    assert [p.suffix for p in (tmp_path / "cache").iterdir()] == [".lock"]
    assert not (tmp_path / "run").exists()


def test_a_run_behind_a_proxy_that_refuses_names_the_variable(
    server: FileServer, tmp_path: Path
) -> None:
    with file_server.running() as closed:
        pass
    proxy = {"HTTPS_PROXY": closed.url, "HASHNET_WEIGHTS_MIRROR": "https://mirror.invalid"}
    run = train(server, tmp_path / "cache", "--run-dir", tmp_path / "run", **proxy)
    assert run.returncode == 1
    assert "the proxy named by the environment variable HTTPS_PROXY or HTTP_PROXY" in run.stderr
    assert server.requests == []
