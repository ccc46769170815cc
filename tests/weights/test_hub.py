"""Tests loading networks from a hub, and uploading them, with a minimal hub on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.weights import upload_network, write_network
from tests.support import hub_server
from tests.support.hub_server import Hub

# huggingface_hub's own call of its HTTP library when it uploads by LFS.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SPEC = ModelSpec("small_cnn", bits=12, image_size=8, resize=8)


@pytest.fixture(scope="module")
def networks() -> list[HashNetParams]:
    return [hashnet_jax.init(jax.random.key(seed), SPEC) for seed in (0, 1)]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.running() as server:
        hub_server.use(server, tmp_path / "cache", monkeypatch)
        yield server


@pytest.fixture
def commits(hub: Hub, networks: list[HashNetParams], tmp_path: Path) -> list[str]:
    """Commits both networks to the repository me/net, one after the other."""
    hub.repositories["me/net"] = hub_server.Repository()
    return [hub.repositories["me/net"].commit(files_of(params, tmp_path)) for params in networks]


def files_of(params: HashNetParams, tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / "written"
    folder.mkdir(exist_ok=True)
    write_network(folder, params)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_equal(found: HashNetParams, expected: HashNetParams) -> None:
    assert found.spec == expected.spec
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def cached(tmp_path: Path, name: str) -> Path:
    """Path to a file in the cache, behind the links."""
    (found,) = (tmp_path / "cache").rglob(f"snapshots/*/{name}")
    return found.resolve()


def test_a_network_is_loaded_by_name_and_by_commit(hub, commits, networks) -> None:
    assert_equal(hashnet_jax.load("hf://me/net"), networks[1])
    assert_equal(hashnet_jax.load("hf://me/net@main"), networks[1])
    assert_equal(hashnet_jax.load(f"hf://me/net@{commits[0]}"), networks[0])
    downloads = [path for method, path in hub.requests if method == "GET" and "resolve" in path]
    assert len(downloads) == len(set(downloads)) == 4, "each file is downloaded once"


def test_a_loaded_network_is_found_offline(hub, commits, networks, monkeypatch) -> None:
    hashnet_jax.load("hf://me/net")
    monkeypatch.setenv("HASHNET_OFFLINE", "1")
    hub.requests.clear()
    assert_equal(hashnet_jax.load("hf://me/net"), networks[1])
    assert hub.requests == []
    with pytest.raises(
        FileNotFoundError, match=r"of me/other is not .* HASHNET_OFFLINE is set\. Unset"
    ):
        hashnet_jax.load("hf://me/other")


def test_a_loaded_network_is_found_without_a_connection(
    commits, networks, tmp_path, monkeypatch
) -> None:
    hashnet_jax.load("hf://me/net")
    with hub_server.running() as closed:
        pass
    hub_server.use(closed, tmp_path / "cache", monkeypatch)
    assert_equal(hashnet_jax.load("hf://me/net"), networks[1])
    with pytest.raises(ConnectionError, match=r"cannot download me/other at .*HTTPS_PROXY"):
        hashnet_jax.load("hf://me/other")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_was_damaged_in_the_cache_is_downloaded_again(
    hub, commits, networks, tmp_path, monkeypatch, name
) -> None:
    hashnet_jax.load("hf://me/net")
    path = cached(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-9] + b"123456789")
    monkeypatch.setenv("HASHNET_OFFLINE", "1")
    with pytest.raises(DamagedFile, match=name):
        hashnet_jax.load("hf://me/net")
    monkeypatch.setenv("HASHNET_OFFLINE", "0")
    assert_equal(hashnet_jax.load("hf://me/net"), networks[1])


def test_files_that_do_not_belong_to_each_other_are_refused(
    hub, commits, networks, tmp_path
) -> None:
    other = files_of(networks[0], tmp_path)["model.safetensors"]
    hub.repositories["me/net"].commit({"model.safetensors": other})
    with pytest.raises(DamagedFile, match=r"model\.safetensors is damaged or not the network"):
        hashnet_jax.load("hf://me/net")


def test_a_repository_with_another_model_is_refused_before_it_is_downloaded(hub) -> None:
    hub.repositories["me/bert"] = hub_server.Repository()
    hub.repositories["me/bert"].commit({"config.json": b"{}", "model.safetensors": b"large"})
    with pytest.raises(DamagedFile, match="it does not name hashnet_jax as its library"):
        hashnet_jax.load("hf://me/bert")
    assert not any("model.safetensors" in path for _, path in hub.requests)


def test_what_is_missing_is_named(hub, commits) -> None:
    hub.repositories["me/empty"] = hub_server.Repository()
    hub.repositories["me/empty"].commit({"README.md": b""})
    with pytest.raises(FileNotFoundError, match=rf"no repository me/none at {hub.url}, or you"):
        hashnet_jax.load("hf://me/none")
    with pytest.raises(FileNotFoundError, match=r"has no revision 'v9'\. Give a branch"):
        hashnet_jax.load("hf://me/net@v9")
    with pytest.raises(FileNotFoundError, match=r"must contain config\.json and model\.safet"):
        hashnet_jax.load("hf://me/empty")


@pytest.mark.parametrize("address", ["hf://net", "hf://me/net/sub", "hf://me/ne t", "hf://"])
def test_an_address_of_another_form_is_refused(address) -> None:
    with pytest.raises(ValueError, match="a repository must have the form OWNER/NAME, got"):
        hashnet_jax.load(address)


def test_a_private_network_needs_the_token(hub, commits, networks, monkeypatch) -> None:
    hub.repositories["me/net"].private = True
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(FileNotFoundError, match="run `hf auth login` or set HF_TOKEN"):
        hashnet_jax.load("hf://me/net")
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    assert_equal(hashnet_jax.load("hf://me/net"), networks[1])


def test_an_uploaded_network_is_loaded_by_the_address_that_was_returned(
    hub, networks, tmp_path
) -> None:
    files = files_of(networks[0], tmp_path)
    address = upload_network(tmp_path / "written", "me/new", private=False)
    (oid,) = hub.repositories["me/new"].commits
    assert address == f"hf://me/new@{oid}"
    assert hub.repositories["me/new"].commits[oid] == files
    assert not hub.repositories["me/new"].private
    assert_equal(hashnet_jax.load(address), networks[0])
    files_of(networks[1], tmp_path)
    upload_network(tmp_path / "written", "me/new", private=False)
    assert_equal(hashnet_jax.load(address), networks[0])
    assert_equal(hashnet_jax.load("hf://me/new"), networks[1])


def test_a_repository_can_be_created_as_a_private_one(hub, networks, tmp_path) -> None:
    files_of(networks[0], tmp_path)
    upload_network(tmp_path / "written", "me/new", private=True)
    assert hub.repositories["me/new"].private


def test_an_upload_without_the_right_token_says_what_to_do(
    hub, networks, tmp_path, monkeypatch
) -> None:
    files_of(networks[0], tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(PermissionError, match=r"me/new at .* refuses this user \(status 403\)"):
        upload_network(tmp_path / "written", "me/new", private=False)
    hub.requests.clear()
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(PermissionError, match=r"needs a token\. Run `hf auth login`"):
        upload_network(tmp_path / "written", "me/new", private=False)
    assert hub.requests == []


def test_an_upload_that_fails_halfway_is_named(hub, networks, tmp_path) -> None:
    files_of(networks[0], tmp_path)
    hub.is_full = True
    with pytest.raises(ConnectionError, match=r"me/new at .* did not take a file: .*403"):
        upload_network(tmp_path / "written", "me/new", private=False)
    assert hub.repositories["me/new"].commits == {}


def test_an_upload_without_a_connection_names_the_server(networks, tmp_path, monkeypatch) -> None:
    with hub_server.running() as closed:
        pass
    hub_server.use(closed, tmp_path / "cache", monkeypatch)
    files_of(networks[0], tmp_path)
    with pytest.raises(ConnectionError, match=f"cannot reach me/new at {closed.url}: "):
        upload_network(tmp_path / "written", "me/new", private=False)


def test_without_huggingface_hub_the_error_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hashnet_jax\[hub\]'"):
        hashnet_jax.load("hf://me/net")
