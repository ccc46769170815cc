"""Tests `hashnet push`, with a minimal hub on this machine."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.distributed.files import sha256
from tests.support import hub_server
from tests.support.cli_case import ROOT, content, environment, hashnet
from tests.support.hub_server import Hub
from tests.support.made_runs import make_run

# huggingface_hub's own call of its HTTP library when it uploads by LFS.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

FILES = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    make_run(folder)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.running() as server:
        hub_server.use(server, tmp_path / "cache", monkeypatch)
        yield server


def assert_network_of(address: str | Path, run: Path) -> None:
    found, expected = hashnet_jax.load(address), hashnet_jax.load(run)
    assert found.spec == expected.spec
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_pushed_network_is_loaded_from_the_address_that_is_printed(
    finished, hub, tmp_path, capsys
) -> None:
    before = content(finished)
    assert hashnet("push", finished, "me/net", "--license", "mit") == 0
    address = capsys.readouterr().out.strip()
    (commit,) = hub.repositories["me/net"].commits
    assert address == f"hf://me/net@{commit}"
    assert_network_of(address, finished)
    files = hub.repositories["me/net"].commits[commit]
    assert sorted(files) == FILES
    card = files["README.md"].decode()
    assert 'params = hj.load("hf://me/net")' in card
    assert '\nlicense: "mit"\n' in card
    assert content(finished) == before


def test_a_network_is_written_to_a_folder_without_the_hub(finished, tmp_path, capsys) -> None:
    folder = tmp_path / "shared"
    assert hashnet("push", finished, "--folder", folder) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert_network_of(folder, finished)
    card = (folder / "README.md").read_text()
    assert sha256(folder / "model.safetensors") in card
    assert "license" not in card.split("\n---\n")[0]
    assert hashnet("push", finished, "--folder", folder) == 0, "its own files are replaced"


def test_a_folder_and_the_hub_get_the_same_files(finished, hub, tmp_path) -> None:
    folder = tmp_path / "shared"
    assert hashnet("push", finished, "me/net", "--folder", folder, "--private") == 0
    (files,) = hub.repositories["me/net"].commits.values()
    assert files == content(folder)
    assert hub.repositories["me/net"].private


def test_the_network_needs_a_place(finished, capsys) -> None:
    assert hashnet("push", finished) == 1
    assert "Name a repository, OWNER/NAME, or a folder with --folder." in capsys.readouterr().err


def test_a_folder_with_other_files_is_not_overwritten(finished, tmp_path, capsys) -> None:
    for folder in (finished, tmp_path / "other"):
        folder.mkdir(exist_ok=True)
        (folder / "config.json").touch()
        before = content(folder)
        assert hashnet("push", finished, "--folder", folder) == 1
        error = capsys.readouterr().err
        assert "--folder must be a new or empty folder, or one written by `hashnet push`" in error
        assert str(folder) in error
        assert content(folder) == before


def test_a_run_whose_network_was_changed_is_not_shared(finished, tmp_path, capsys) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    hashnet_jax.save(run, hashnet_jax.init(jax.random.key(5), hashnet_jax.load(run).spec))
    assert hashnet("push", run, "--folder", tmp_path / "shared") == 1
    assert "model.npz" in capsys.readouterr().err
    assert not (tmp_path / "shared" / "model.safetensors").exists()


def test_an_unfinished_run_is_not_shared(tmp_path, capsys) -> None:
    (tmp_path / "run").mkdir()
    assert hashnet("push", tmp_path / "run", "--folder", tmp_path / "shared") == 1
    assert "result.json" in capsys.readouterr().err


LOAD = """
import sys, hashnet_jax
params = hashnet_jax.load(sys.argv[1])
print(params.spec.bits, float(params.variables["params"]["hash"]["kernel"].sum()))
"""


@pytest.mark.slow
def test_programs_push_and_load_with_huggingface_hubs_own_settings(finished, tmp_path) -> None:
    with hub_server.running() as hub:
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        own |= {"HF_TOKEN": hub_server.TOKEN, "NO_PROXY": "127.0.0.1", "HASHNET_OFFLINE": "0"}
        own |= {"PYTHONWARNINGS": ""}  # see above

        def run(*command: object, **env: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, *map(str, command)],
                cwd=ROOT, env=environment() | own | env, capture_output=True, text=True,
            )  # fmt: skip

        pushed = run("-m", "hashnet_jax.cli", "push", finished, "me/net")
        assert pushed.returncode == 0, pushed.stderr
        loaded = run("-c", LOAD, pushed.stdout.strip())
        kernel = hashnet_jax.load(finished).variables["params"]["hash"]["kernel"]
        assert loaded.stdout == f"16 {float(kernel.sum())}\n", loaded.stderr
        hub.requests.clear()
        offline = run("-c", LOAD, "hf://me/net@" + pushed.stdout.strip().partition("@")[2],
                      HASHNET_OFFLINE="1")  # fmt: skip
        assert offline.stdout == loaded.stdout, offline.stderr
        assert hub.requests == []
