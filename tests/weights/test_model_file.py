"""Tests saving and loading `model.npz`, including the inputs that are rejected."""

import dataclasses
import io
import json
import resource
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.model import spec_from_json
from hashnet_jax.weights import read_arrays, read_spec, save
from hashnet_jax.weights._model_file import named_arrays

SPEC = ModelSpec("small_cnn", bits=20, image_size=12, resize=14)


@pytest.fixture(scope="module")
def params() -> HashNetParams:
    return hashnet_jax.init(jax.random.key(0), SPEC)


def test_a_loaded_network_equals_the_saved_one(params: HashNetParams, tmp_path: Path) -> None:
    path = hashnet_jax.save(tmp_path, params)
    assert path == tmp_path / "model.npz"
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    loaded = hashnet_jax.load(str(tmp_path))
    assert loaded.spec == SPEC
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_the_file_contains_the_spec_and_the_arrays_keyed_by_path(
    params: HashNetParams, tmp_path: Path
) -> None:
    with np.load(hashnet_jax.save(tmp_path, params)) as file:
        assert file.files[0] == "spec"
        assert "params/hash/kernel" in file.files
        assert "params/backbone/conv1_1/kernel" in file.files
        assert "batch_stats/backbone/bn1_1/mean" in file.files
        assert len(file.files) == 1 + len(jax.tree.leaves(params))


def test_saving_needs_an_existing_folder(params: HashNetParams, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"`folder` .*none does not exist. Create it"):
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
        f"`folder` must be an existing folder, got the file {path}. Pass the folder that contains "
        f"it, {tmp_path}."
    )
    (tmp_path / "codes.npy").touch()
    with pytest.raises(NotADirectoryError, match=r"codes\.npy. Pass a folder that contains a mod"):
        hashnet_jax.load(tmp_path / "codes.npy")


def test_damaged_unrelated_and_missing_files_are_named(
    params: HashNetParams, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="finished run"):
        hashnet_jax.load(tmp_path)
    path = hashnet_jax.save(tmp_path, params)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            hashnet_jax.load(tmp_path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(DamagedFile, match=r"model.npz is damaged or not a hashnet_jax model"):
        hashnet_jax.load(tmp_path)
    other = hashnet_jax.init(jax.random.key(0), ModelSpec("small_cnn", 8, 12, 14))
    hashnet_jax.save(tmp_path, HashNetParams(other.variables, SPEC))
    with pytest.raises(ValueError, match="params/hash/bias"):
        hashnet_jax.load(tmp_path)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Lets this process allocate only 2 GiB more than it has, so that a larger array fails."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def replace_member(path: Path, name: str, content: bytes) -> None:
    """Replaces an array of a model, keeping the others."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members[f"{name}.npy"] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, whole in members.items():
            archive.writestr(member, whole)


def header(shape: tuple[int, ...], *, descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


def test_a_header_that_declares_a_trillion_floats_is_rejected_without_allocating_them(
    params: HashNetParams, tmp_path: Path, little_memory: None
) -> None:
    path = hashnet_jax.save(tmp_path, params)
    replace_member(path, "params/hash/bias", header((2**40,)))
    with pytest.raises(DamagedFile, match=r"model.npz .*declares 4,398,046,511,104 bytes"):
        hashnet_jax.load(tmp_path)


@pytest.mark.parametrize("name", ["spec", "params/hash/bias", "a foreign array"])
def test_a_4_gib_member_is_rejected_without_being_unpacked(
    params: HashNetParams, tmp_path: Path, little_memory: None, name: str
) -> None:
    path = hashnet_jax.save(tmp_path, params)
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    members.pop(f"{name}.npy", None)
    size = 2**32
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for member, whole in members.items():
            archive.writestr(member, whole)
        start, block = header((size // 4,)), bytes(2**20)
        # Declares 4 GiB but holds 1 MiB: sizes are compared before anything is unpacked.
        archive.writestr(f"{name}.npy", start + block)
        info = archive.getinfo(f"{name}.npy")
        info.file_size = len(start) + size
    with pytest.raises(DamagedFile, match=r"model\.npz is damaged"):
        hashnet_jax.load(tmp_path)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bits": 10**30}, "OverflowError|bits"),
        ({"bits": 2**40}, "arrays do not match its spec"),
        ({"backbone": "resnet99"}, "must be one of"),
        ({"mean": 0.5}, "three finite entries"),
    ],
)
def test_an_impossible_spec_is_rejected(
    params: HashNetParams, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    path = hashnet_jax.save(tmp_path, params)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["spec"] = np.array(json.dumps(json.loads(str(arrays["spec"])) | change))
    np.savez(path, **arrays)
    with pytest.raises(DamagedFile, match=rf"model.npz is damaged .*({reason})"):
        hashnet_jax.load(tmp_path)


def test_the_spec_can_be_read_without_the_arrays(params: HashNetParams, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="finished run"):
        read_spec(tmp_path)
    hashnet_jax.save(tmp_path, params)
    assert read_spec(tmp_path) == SPEC


def test_arrays_are_read_under_their_names_with_the_hash_of_the_file(
    params: HashNetParams, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError, match="finished run"):
        read_arrays(tmp_path)
    path = save(tmp_path, params)
    content = read_arrays(tmp_path)
    assert content.sha256 == sha256(path)
    assert spec_from_json(content.spec) == SPEC
    assert content.is_finite
    assert list(named_arrays(params)) == sorted(content.arrays)
    for name, array in named_arrays(params).items():
        np.testing.assert_array_equal(content.arrays[name], array)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_arrays_with_a_value_that_is_not_finite_are_noticed(
    params: HashNetParams, tmp_path: Path, value: float
) -> None:
    kernel = params.variables["params"]["hash"]["kernel"].at[3, 5].set(value)
    variables = dict(params.variables["params"], hash={"kernel": kernel})
    save(tmp_path, dataclasses.replace(params, variables={"params": variables}))
    assert not read_arrays(tmp_path).is_finite


def test_arrays_that_are_not_floats_are_damage(params: HashNetParams, tmp_path: Path) -> None:
    path = save(tmp_path, params)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{**arrays, "params/hash/bias": np.array(["a", "b"])})
    with pytest.raises(DamagedFile, match=r"dtype <U1 instead of a float dtype"):
        read_arrays(tmp_path)
