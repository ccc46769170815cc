"""Tests the folder in which a network is shared, on disk and on a web server."""

import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.distributed.seals import sealed
from hashnet_jax.weights import write_network
from tests.support import file_server

SPEC = ModelSpec("small_cnn", bits=12, image_size=8, resize=8, dtype="bfloat16")


@pytest.fixture(scope="module")
def params() -> HashNetParams:
    return hashnet_jax.init(jax.random.key(0), SPEC)


@pytest.fixture(scope="module")
def written(params: HashNetParams, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    write_network(folder, params)
    return folder


@pytest.fixture
def shared(written: Path, tmp_path: Path) -> Path:
    """A folder with a network, which the test may damage."""
    return Path(shutil.copytree(written, tmp_path / "shared"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return tmp_path / "cache"


def serve(server: file_server.FileServer, folder: Path) -> str:
    """Serves the files of a folder, and returns its URL."""
    for path in folder.iterdir():
        server.content[f"/mine/{path.name}"] = path.read_bytes()
    return f"{server.url}/mine"


def assert_equal(found: HashNetParams, expected: HashNetParams) -> None:
    assert found.spec == expected.spec
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_shared_network_is_loaded_from_its_folder(params, written) -> None:
    assert sorted(path.name for path in written.iterdir()) == ["config.json", "model.safetensors"]
    assert_equal(hashnet_jax.load(written), params)
    assert_equal(hashnet_jax.load(str(written)), params)


def test_the_files_depend_only_on_the_network(params, written, tmp_path) -> None:
    assert write_network(tmp_path, params) == write_network(tmp_path, hashnet_jax.load(written))
    for path in written.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_other_programs_find_the_arrays_under_the_names_in_model_npz(written, params, tmp_path):
    import safetensors.numpy

    found = safetensors.numpy.load_file(written / "model.safetensors")
    with np.load(hashnet_jax.save(tmp_path, params)) as saved:
        assert sorted(found) == sorted(set(saved.files) - {"spec"})
        for name, array in found.items():
            np.testing.assert_array_equal(array, saved[name])


def test_a_shared_network_becomes_one_that_every_command_reads(params, written, tmp_path) -> None:
    hashnet_jax.save(tmp_path, hashnet_jax.load(written))
    assert_equal(hashnet_jax.load(tmp_path), params)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(shared, name) -> None:
    (shared / name).unlink()
    with pytest.raises(FileNotFoundError, match="model.npz" if "safe" in name else name):
        hashnet_jax.load(shared)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.99])
def test_a_changed_byte_is_noticed(shared, name, place) -> None:
    content = bytearray((shared / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (shared / name).write_bytes(content)
    with pytest.raises(DamagedFile, match=name):
        hashnet_jax.load(shared)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_of_another_network_is_refused(shared, tmp_path, name) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_network(other, hashnet_jax.init(jax.random.key(1), SPEC))
    shutil.copy(other / name, shared / name)
    with pytest.raises(DamagedFile, match=r"model\.safetensors is damaged or not the network"):
        hashnet_jax.load(shared)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"library_name": "transformers"}, "it does not name hashnet_jax as its library"),
        ({"format": 2}, "its format is 2 instead of 1"),
        ({"files": {}}, "model.safetensors"),
        ({"spec": {"backbone": "alexnett"}}, "config.json is damaged"),
    ],
)
def test_a_config_with_other_content_is_refused(shared, change, message) -> None:
    path = shared / "config.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | change)))
    with pytest.raises(DamagedFile, match=message):
        hashnet_jax.load(shared)


def test_a_config_without_a_hash_of_itself_is_refused(shared) -> None:
    path = shared / "config.json"
    config = json.loads(path.read_text())
    del config["sha256"]
    path.write_text(json.dumps(config))
    with pytest.raises(DamagedFile, match="it has no hash of its own content"):
        hashnet_jax.load(shared)


def test_arrays_that_do_not_match_the_spec_are_named(shared) -> None:
    path = shared / "config.json"
    config = json.loads(path.read_text())
    config["spec"]["bits"] = 16
    path.write_text(json.dumps(sealed(config)))
    with pytest.raises(DamagedFile, match=r"params/hash/kernel"):
        hashnet_jax.load(shared)


def test_the_file_itself_is_no_folder(written) -> None:
    with pytest.raises(NotADirectoryError, match=rf"Pass the folder that contains it, {written}"):
        hashnet_jax.load(written / "model.safetensors")


def test_without_safetensors_the_error_names_the_extra(written, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hashnet_jax\[hub\]'"):
        hashnet_jax.load(written)


def test_a_network_is_loaded_from_a_url_and_downloaded_once(
    server, cache, params, shared, monkeypatch
) -> None:
    url = serve(server, shared)
    assert_equal(hashnet_jax.load(url), params)
    assert_equal(hashnet_jax.load(url + "/"), params)
    paths = [path for path, _ in server.requests]
    assert paths == ["/mine/config.json", "/mine/model.safetensors", "/mine/config.json"]
    monkeypatch.setenv("HASHNET_OFFLINE", "1")
    assert_equal(hashnet_jax.load(url), params)
    assert len(server.requests) == 3
    with pytest.raises(FileNotFoundError, match=r"/other must have been downloaded before, beca"):
        hashnet_jax.load(f"{server.url}/other")


def test_a_download_from_a_url_that_breaks_off_continues(server, cache, params, shared) -> None:
    server.script = [file_server.whole, file_server.broken_off(5000)]
    assert_equal(hashnet_jax.load(serve(server, shared)), params)
    assert server.requests[-1] == ("/mine/model.safetensors", "bytes=5000-")


def test_a_network_that_was_replaced_on_the_server_is_downloaded_again(
    server, cache, params, shared
) -> None:
    url = serve(server, shared)
    assert_equal(hashnet_jax.load(url), params)
    other = hashnet_jax.init(jax.random.key(1), SPEC)
    write_network(shared, other)
    assert_equal(hashnet_jax.load(serve(server, shared)), other)


def test_a_network_at_a_url_that_is_not_the_one_in_the_config_is_refused(
    server, cache, shared
) -> None:
    url = serve(server, shared)
    server.content["/mine/model.safetensors"] = b"another file"
    with pytest.raises(ValueError, match="but the server sent 12 bytes with the SHA-256"):
        hashnet_jax.load(url)
    server.content["/mine/config.json"] = b"<html>Please log in.</html>"
    with pytest.raises(DamagedFile, match=rf"{url}/config\.json is damaged or not the config"):
        hashnet_jax.load(url)
    server.content["/mine/config.json"] = b" " * (2**20 + 1)
    with pytest.raises(ValueError, match=r"config\.json has more than 1,048,576 bytes"):
        hashnet_jax.load(url)


def test_a_server_without_the_files_is_named_without_its_secrets(server, cache) -> None:
    url = server.url.replace("//", "//me:secret@") + "/none?token=secret"
    with pytest.raises(ConnectionError, match=rf"{server.url}/none/config\.json: .* 404") as found:
        hashnet_jax.load(url)
    assert "secret" not in str(found.value)
    assert server.requests == [("/none/config.json?token=secret", None)]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_url_must_be_that_of_a_folder(server, cache, name) -> None:
    with pytest.raises(ValueError, match=rf"got the file .*{name}\. Pass {server.url}/mine\."):
        hashnet_jax.load(f"{server.url}/mine/{name}")
    assert server.requests == []
