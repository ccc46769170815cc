"""Compares the codes and the speed of an exported network with those of this package.

EfficientNet-Lite0 with ImageNet weights and a random hash layer encodes random crops of
photographs: in this package, exported to ONNX under onnxruntime, and exported to StableHLO under
JAX. The benchmark prints how many codes are equal to ours, the logits of the bits that differ, and
images per second over the first ten batches. It needs the extras onnx and pretrained, and
scikit-image for the photographs.

    python benchmarks/exported.py
    python benchmarks/exported.py --pictures 64 --side 64 --rounds 1   # takes a minute
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax import export
from PIL import Image

import hashnet_jax as hj
from benchmarks.comparing import table
from benchmarks.measuring import Row, measure
from benchmarks.suite_folder import load_photographs
from hashnet_jax.model import HashNetParams, preprocess
from hashnet_jax.weights import export_onnx, export_stablehlo, find_weights, load_backbone

TIMED_BATCHES = 10

Encoder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def crops(number: int, side: int) -> np.ndarray:
    """Returns random square crops of the photographs, uint8 [number, side, side, 3]."""
    rng = np.random.default_rng(0)
    photographs = [np.asarray(photograph) for photograph in load_photographs()]
    images = np.empty((number, side, side, 3), np.uint8)
    for i in range(number):
        photograph = photographs[i % len(photographs)]
        length = int(rng.integers(100, min(photograph.shape[:2])))
        top, left = (int(rng.integers(size - length + 1)) for size in photograph.shape[:2])
        crop = Image.fromarray(photograph[top : top + length, left : left + length])
        images[i] = crop.resize((side, side), Image.Resampling.BILINEAR)
    return images


def ours(params: HashNetParams) -> Encoder:
    """Returns the network as this package runs it: a function to logits and packed codes."""

    @jax.jit
    def program(params: HashNetParams, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = hj.logits(params, preprocess(images, params.spec))
        return z, hj.pack_bits(hj.binarize(z))

    def encode(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, codes = program(params, images)
        return np.asarray(z), np.asarray(codes)

    return encode


def exported(folder: Path, params: HashNetParams) -> dict[str, Encoder]:
    """Exports the network, and returns the programs that run the files."""
    hj.save(folder, params)
    export_onnx(folder, folder / "net.onnx")
    export_stablehlo(folder, folder / "net.stablehlo")
    import onnxruntime  # The help does not need it.

    session = onnxruntime.InferenceSession(folder / "net.onnx")
    program = export.deserialize(bytearray((folder / "net.stablehlo").read_bytes()))
    call = jax.jit(program.call)

    def by_onnx(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, codes = session.run(["logits", "codes"], {"images": images})
        return z, codes

    def by_jax(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, codes = call(images)
        return np.asarray(z), np.asarray(codes)

    return {"onnxruntime": by_onnx, "hashnet_jax, StableHLO": by_jax}


def encode_all(
    encode: Encoder, images: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes all images, whose number must be a multiple of the batch size."""
    batches = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    logits, codes = zip(*map(encode, batches), strict=True)
    return np.concatenate(logits), np.concatenate(codes)


def compare(name: str, logits: np.ndarray, codes: np.ndarray, expected: np.ndarray) -> None:
    """Prints the share of equal codes, and our logits where bits differ."""
    bits = logits.shape[1]
    wrong = np.unpackbits(codes ^ expected, axis=1, count=bits).astype(bool)
    equal = int((~wrong.any(axis=1)).sum())
    typical = np.sqrt(np.mean(logits**2))
    largest = np.abs(logits[wrong]).max(initial=0) / typical
    print(
        f"{name}: {equal} of {len(codes)} codes equal to ours; {wrong.sum()} of {wrong.size} bits "
        f"differ, with logits of at most {largest:.1e} of the root mean square"
    )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--pictures", type=int, default=1_000, metavar="N", help="crops (default: 1000)")
    add("--side", type=int, default=224, metavar="S", help="image size in pixels (default: 224)")
    add("--bits", type=int, default=64, metavar="K", help="bits per code (default: 64)")
    add("--batch-size", type=int, default=32, metavar="B", help="images per call (default: 32)")
    add("--rounds", type=int, default=3, metavar="N", help="timed runs of each (default: 3)")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    options = parse(argv)
    spec = hj.ModelSpec.for_backbone("efficientnet_lite0", bits=options.bits)
    resize = round(options.side * spec.resize / spec.image_size)
    spec = dataclasses.replace(spec, image_size=options.side, resize=resize)
    params = load_backbone(hj.init(jax.random.key(0), spec), find_weights(spec.backbone))
    whole = -(-options.pictures // options.batch_size) * options.batch_size
    images = crops(whole, spec.resize)
    with tempfile.TemporaryDirectory() as folder:
        encoders = {"hashnet_jax": ours(params), **exported(Path(folder), params)}
    results = {
        name: encode_all(encode, images, options.batch_size) for name, encode in encoders.items()
    }
    logits, expected = (array[: options.pictures] for array in results["hashnet_jax"])
    for name in list(encoders)[1:]:
        compare(name, logits, results[name][1][: options.pictures], expected)
    timed = images[: TIMED_BATCHES * options.batch_size]
    case = f"EfficientNet-Lite0, batch {options.batch_size}, {options.side} px"
    rows = [
        (
            Row("exported", case, name, items=len(timed), unit="images", compile_seconds=0.0),
            partial(encode_all, encode, timed, options.batch_size),
        )
        for name, encode in encoders.items()
    ]
    print(table(measure(rows, options.rounds)))


if __name__ == "__main__":
    main()
