"""Exports that fail: the errors, and that no part of a file is left behind."""

import errno
import os
import re
import sys
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax.extend.core import Primitive
from jax.interpreters import mlir

import hashnet_jax
from hashnet_jax import ModelSpec
from hashnet_jax.backbones import BACKBONES, Backbone
from hashnet_jax.weights import MODEL_FILE, export_onnx, export_stablehlo, save

SMALL = ModelSpec("small_cnn", bits=20, image_size=8, resize=10)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small network. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("run")
    save(folder, hashnet_jax.init(jax.random.key(0), SMALL))
    return folder


EXPORTS = {"net.onnx": export_onnx, "net.stablehlo": export_stablehlo}


@pytest.mark.parametrize("name", EXPORTS)
def test_an_output_that_cannot_be_written_is_rejected_first(
    name: str, small: Path, tmp_path: Path
) -> None:
    write = EXPORTS[name]
    (tmp_path / name).write_text("precious")
    with pytest.raises(FileExistsError, match=r"`out` must be a new file, but .* exists"):
        write(small, tmp_path / name)
    assert (tmp_path / name).read_text() == "precious"
    with pytest.raises(FileNotFoundError, match=r"must be in an existing folder.*Create it first"):
        write(small, tmp_path / "absent" / name)


@pytest.mark.parametrize("name", EXPORTS)
def test_a_network_that_is_missing_or_broken_is_not_exported(name: str, tmp_path: Path) -> None:
    if name == "net.onnx":
        pytest.importorskip("jax2onnx")
    write: Callable[..., ModelSpec] = EXPORTS[name]
    with pytest.raises(FileNotFoundError, match=r"no model\.npz in"):
        write(tmp_path, tmp_path / name)
    params = hashnet_jax.init(jax.random.key(0), SMALL)
    save(tmp_path, jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), params))
    with pytest.raises(ValueError, match=r"NaN|infinite"):
        write(tmp_path, tmp_path / name)
    assert os.listdir(tmp_path) == [MODEL_FILE]


def test_a_full_disk_leaves_no_part_of_a_file(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    for name, write in EXPORTS.items():
        if name == "net.onnx":
            pytest.importorskip("jax2onnx")
        with pytest.raises(OSError, match="No space left on device"):
            write(small, tmp_path / name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("library", ["jax2onnx", "onnx_ir"])
def test_a_missing_library_is_named_with_the_extra_that_installs_it(
    library: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "jax2onnx":
        pytest.importorskip("onnx_ir")  # It is imported first.
    monkeypatch.delitem(sys.modules, "hashnet_jax.weights._onnx", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    expected = f"{library} is needed to export a network to ONNX. Install it with pip install "
    with pytest.raises(ModuleNotFoundError, match=re.escape(expected + "'hashnet_jax[onnx]'")):
        export_onnx(small, tmp_path / "net.onnx")


# An operation that only JAX knows, since it is defined here.
negated = Primitive("negated")
negated.def_impl(jnp.negative)
negated.def_abstract_eval(lambda images: images)
mlir.register_lowering(negated, mlir.lower_fun(jnp.negative, multiple_results=False))


class Unusual(nn.Module):
    """A backbone with an operation that jax2onnx does not know."""

    dtype: jnp.dtype = jnp.float32
    axis_name: str | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        features = nn.Dense(4, dtype=self.dtype, name="dense")(images.mean(axis=(1, 2)))
        return negated.bind(features)


def test_an_operation_that_cannot_be_converted_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jax2onnx")
    monkeypatch.setitem(BACKBONES, "unusual", Backbone(Unusual, smallest=1))
    spec = ModelSpec("unusual", bits=4, image_size=8, resize=8)
    save(tmp_path, hashnet_jax.init(jax.random.key(0), spec))
    with pytest.raises(ValueError, match=r"unusual contains an operation .*'negated'.*StableHLO"):
        export_onnx(tmp_path, tmp_path / "net.onnx")
    assert os.listdir(tmp_path) == [MODEL_FILE]
    export_stablehlo(tmp_path, tmp_path / "net.stablehlo")
