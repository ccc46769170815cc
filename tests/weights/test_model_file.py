"""`model.npz`: what save and load refuse, and how."""

from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec

SPEC = ModelSpec("small_cnn", bits=20, image_size=12, resize=14)


@pytest.fixture(scope="module")
def params() -> HashNetParams:
    return hashnet_jax.init(jax.random.key(0), SPEC)


def test_a_loaded_network_is_the_saved_one(params: HashNetParams, tmp_path: Path) -> None:
    path = hashnet_jax.save(tmp_path, params)
    assert path == tmp_path / "model.npz"
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    loaded = hashnet_jax.load(str(tmp_path))
    assert loaded.spec == SPEC
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_the_file_holds_the_spec_and_the_arrays_by_their_paths(
    params: HashNetParams, tmp_path: Path
) -> None:
    with np.load(hashnet_jax.save(tmp_path, params)) as file:
        assert file.files[0] == "spec"
        assert "params/hash/kernel" in file.files
        assert "params/backbone/conv1_1/kernel" in file.files
        assert "batch_stats/backbone/bn1_1/mean" in file.files
        assert len(file.files) == 1 + len(jax.tree.leaves(params))


def test_saving_needs_an_existing_folder(params: HashNetParams, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`folder` .*none does not exist: create it"):
        hashnet_jax.save(tmp_path / "none", params)
    path = hashnet_jax.save(tmp_path, params)
    whole = path.read_bytes()
    for file in (path, tmp_path / "network.npz"):
        file.touch()
        with pytest.raises(NotADirectoryError, match=r"`folder` must be an existing .*got the fil"):
            hashnet_jax.save(file, params)
    assert path.read_bytes() == whole


def test_loading_needs_the_folder_not_the_file(params: HashNetParams, tmp_path: Path) -> None:
    path = hashnet_jax.save(tmp_path, params)
    with pytest.raises(NotADirectoryError) as caught:
        hashnet_jax.load(path)
    assert str(caught.value) == (
        f"`folder` must be an existing folder, got the file {path}: pass the folder that holds "
        f"it, {tmp_path}."
    )
    (tmp_path / "codes.npy").touch()
    with pytest.raises(NotADirectoryError, match=r"codes\.npy: pass a folder that holds a mod"):
        hashnet_jax.load(tmp_path / "codes.npy")


def test_damaged_foreign_and_missing_files_are_named(params: HashNetParams, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="finished run"):
        hashnet_jax.load(tmp_path)
    path = hashnet_jax.save(tmp_path, params)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            hashnet_jax.load(tmp_path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match="damaged or not a model"):
        hashnet_jax.load(tmp_path)
    other = hashnet_jax.init(jax.random.key(0), ModelSpec("small_cnn", 8, 12, 14))
    hashnet_jax.save(tmp_path, HashNetParams(other.variables, SPEC))
    with pytest.raises(ValueError, match="params/hash/bias"):
        hashnet_jax.load(tmp_path)
