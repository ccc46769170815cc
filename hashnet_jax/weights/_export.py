"""Exports a network as a program that runs without this package: ONNX or StableHLO."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import jax
from jax import export

from hashnet_jax.distributed.files import sha256, write_whole
from hashnet_jax.model import HashNetParams, ModelSpec, check_finite
from hashnet_jax.weights._exported_program import describe, input_shape, program_of
from hashnet_jax.weights._model_file import read_model
from hashnet_jax.weights._model_path import MODEL_FILE

PLATFORMS = ("cpu", "cuda", "tpu")


def export_onnx(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> ModelSpec:
    """Writes a network as an ONNX file, which other runtimes can execute.

    The input ``images``, uint8 ``[B, R, R, 3]`` with R = ``spec.resize``, contains any number of
    RGB images; they are cropped and normalized. The outputs are ``logits``, float32 ``[B, K]``, and
    ``codes``, their packed signs, uint8 ``[B, ceil(K/8)]``, as from
    :func:`hashnet_jax.pack_bits`. The file's metadata contains the number of bits, their order, the
    preprocessing, and the hash of the network.

    The runtime may round differently, so bits whose logits are within rounding of 0 may differ from
    those of :func:`hashnet_jax.encode`. The program computes in float32, whatever the network's
    dtype, as not every runtime supports bfloat16.

    Args:
      folder: the folder of a finished run, or any folder with a `model.npz`.
      path: the ONNX file to write, which must not exist.

    Returns:
      The spec of the exported program.

    Raises:
      FileExistsError: if ``path`` exists.
      FileNotFoundError: if there is no `model.npz` in the folder, or no folder for ``path``.
      ModuleNotFoundError: if jax2onnx, or a library that it needs, is missing.
      NotADirectoryError: if ``folder`` is a file, such as the `model.npz` itself.
      ValueError: if the network is damaged, contains NaN or infinite values, or has a backbone with
        an operation that jax2onnx cannot convert.
    """
    path = _output(path)
    convert = _import_converter()
    params, weights_sha256 = _load(folder)
    spec = dataclasses.replace(params.spec, dtype="float32")
    params = dataclasses.replace(params, spec=spec)
    facts = describe(spec, weights_sha256)
    try:
        model = convert(program_of(params), input_shape(spec), facts)
    except NotImplementedError as error:
        raise ValueError(
            f"the backbone {spec.backbone} contains an operation that jax2onnx cannot convert "
            f"({error}). Export the network to StableHLO instead."
        ) from error
    write_whole(path, lambda file: file.write(model))
    return spec


def export_stablehlo(folder: str | os.PathLike[str], path: str | os.PathLike[str]) -> ModelSpec:
    """Writes a network as a StableHLO program, which needs only JAX to run on CPUs, GPUs and TPUs.

    ``jax.export.deserialize(bytearray(Path(path).read_bytes())).call(images)`` returns the logits
    and the packed codes of uint8 images, as in :func:`export_onnx`. The metadata are in
    `PATH.json`, together with the hash of the program. JAX promises to run a serialized program
    for six months after the release of the version that wrote it.

    Args:
      folder: the folder of a finished run, or any folder with a `model.npz`.
      path: the file to write, which must not exist. `PATH.json` is replaced.

    Returns:
      The spec of the exported program.

    Raises:
      FileExistsError: if ``path`` exists.
      FileNotFoundError: if there is no `model.npz` in the folder, or no folder for ``path``.
      NotADirectoryError: if ``folder`` is a file, such as the `model.npz` itself.
      ValueError: if the network is damaged, or contains NaN or infinite values.

    Examples:
      >>> import hashnet_jax, numpy, tempfile
      >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = hashnet_jax.save(folder, hashnet_jax.init(jax.random.key(0), spec))
      ...     _ = export_stablehlo(folder, f"{folder}/net.stablehlo")
      ...     program = Path(folder, "net.stablehlo").read_bytes()
      >>> images = numpy.zeros((3, 8, 8, 3), numpy.uint8)
      >>> logits, codes = export.deserialize(bytearray(program)).call(images)
      >>> logits.shape, codes.shape
      ((3, 12), (3, 2))
    """
    path = _output(path)
    params, weights_sha256 = _load(folder)
    exported = export.export(jax.jit(program_of(params)), platforms=PLATFORMS)(
        input_shape(params.spec)
    )
    program = bytes(exported.serialize(vjp_order=0))
    facts = describe(params.spec, weights_sha256) | {
        "platforms": list(PLATFORMS),
        "jax": jax.__version__,
        "program_sha256": hashlib.sha256(program).hexdigest(),
    }
    description = json.dumps(facts, indent=2).encode() + b"\n"
    write_whole(path.with_name(f"{path.name}.json"), lambda file: file.write(description))
    write_whole(path, lambda file: file.write(program))
    return params.spec


def _output(path: str | os.PathLike[str]) -> Path:
    """Checks where the program goes before the network is converted, which takes a while."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(
            f"`out` must be a new file, but {path} exists. Delete it, or choose another name."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"`out` must be in an existing folder, but {path.parent} is none. Create it first."
        )
    return path


def _load(folder: str | os.PathLike[str]) -> tuple[HashNetParams, str]:
    """Returns the network in a folder, and the hash of its file."""
    params = read_model(folder)
    check_finite(params, source=f"the network in {folder}")
    return params, sha256(Path(folder) / MODEL_FILE)


def _import_converter() -> Callable[..., bytes]:
    try:
        from hashnet_jax.weights._onnx import convert
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is needed to export a network to ONNX. Install it with "
            "pip install 'hashnet_jax[onnx]', or export to StableHLO."
        ) from error
    return convert
