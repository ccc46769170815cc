"""A folder of codes, and the manifest that says what they are.

::

    codes.npy       packed codes, uint8 [N, ceil(K/8)], NumPy's format: np.load(..., mmap_mode="r")
    ids.txt         line i is the path of the picture of code i
    manifest.json   bits, bit order, the network they are of, ...; written last
    flat.faiss      an index, where one was built; see hashnet_jax.cli.index
    .partial/       while encoding: what is done, and the list of what is to do
"""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np

import hashnet_jax
from hashnet_jax.files import write_whole
from hashnet_jax.weight_files import sha256

CODES, IDS, MANIFEST, PARTIAL = "codes.npy", "ids.txt", "manifest.json", ".partial"

BIT_ORDER = (
    "big: entry 0 of a code is the most significant bit of byte 0, +1 is a one; the bits that fill "
    "the last byte are zeros"
)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What the codes of a folder are.

    Attributes:
      number: N, of codes.
      bits: K, the length of a code.
      padding_bits: zeros at the end of each code that fill its last byte, 0..7.
      bit_order: of the packed codes.
      sign_of_zero: what sgn(0) is, 1.
      weights_sha256: of the `model.npz` of the run that encoded.
      backbone: its name.
      preprocessing: of a picture before the network.
      batch_size, devices: with which it was encoded.
      inputs: files and folders that were named, absolute.
      skipped: ``{"path", "reason"}`` of each picture that could not be read.
      package: name and version of what encoded.
    """

    number: int
    bits: int
    padding_bits: int
    bit_order: str
    sign_of_zero: int
    weights_sha256: str
    backbone: str
    preprocessing: dict
    batch_size: int
    devices: int
    inputs: list
    skipped: list
    package: str = f"hashnet_jax {hashnet_jax.__version__}"

    @classmethod
    def of(cls, spec, *, weights_sha256, number, batch_size, devices, inputs, skipped):
        """The manifest of codes that a network of this ``ModelSpec`` has encoded."""
        return cls(
            number=number,
            bits=spec.bits,
            padding_bits=-spec.bits % 8,
            bit_order=BIT_ORDER,
            sign_of_zero=1,
            weights_sha256=weights_sha256,
            backbone=spec.backbone,
            preprocessing={
                "decode": "RGB 0..255, upright by EXIF, first frame, transparency on white",
                "resize": [spec.resize, spec.resize],
                "interpolation": "bilinear with antialiasing, aspect ratio not kept",
                "centre_crop": [spec.image_size, spec.image_size],
                "normalize": "(x/255 - mean)/std",
                "mean": list(spec.mean),
                "std": list(spec.std),
            },
            batch_size=batch_size,
            devices=devices,
            inputs=list(inputs),
            skipped=skipped,
        )

    @property
    def bytes(self):
        """Of a packed code, ceil(K/8)."""
        return -(-self.bits // 8)

    def write(self, folder):
        content = json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n"
        write_whole(Path(folder) / MANIFEST, lambda file: file.write(content))


def read_manifest(folder):
    """The manifest of a folder of codes.

    Raises:
      FileNotFoundError: if the folder holds no codes, or unfinished ones.
      ValueError: if the manifest is damaged.

    Examples:
      >>> read_manifest("no such folder")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no codes in no such folder (no manifest.json): write them with ...
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        if (Path(folder) / PARTIAL).is_dir():
            raise FileNotFoundError(
                f"the codes in {folder} are not finished: run their `hashnet encode` again, which "
                "continues."
            )
        raise FileNotFoundError(
            f"no codes in {folder} (no {MANIFEST}): write them with `hashnet encode RUN "
            f"PICTURES... -o {folder}`."
        )
    try:
        return Manifest(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged or not a manifest of codes ({error}).") from error


def check_same_weights(manifest, folder, run):
    """Raises ValueError unless the codes are of the network of ``run``: others are not comparable.

    Args:
      manifest: :class:`Manifest` of ``folder``.
      folder: of codes.
      run: folder with `model.npz`.
    """
    got = sha256(Path(run) / "model.npz")
    if got != manifest.weights_sha256:
        raise ValueError(
            f"{folder} must hold codes of the network in {run} (weights SHA-256 {got[:12]}...), "
            f"got those of another (SHA-256 {manifest.weights_sha256[:12]}...): name the run that "
            "encoded them, or encode again with this one."
        )


def open_codes(folder, manifest):
    """The packed codes uint8 ``[N, ceil(K/8)]``, left on disk until they are read.

    Raises:
      ValueError: if they are damaged or not those of the manifest.
    """
    path, shape = Path(folder) / CODES, (manifest.number, manifest.bytes)
    try:
        codes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path} is damaged or missing ({error}): encode again.") from error
    if codes.shape != shape or codes.dtype != np.uint8:
        raise ValueError(
            f"{path} must be uint8 {list(shape)}, as {MANIFEST} says, got {codes.dtype} "
            f"{list(codes.shape)}: encode again."
        )
    return codes


def read_ids(folder, wanted):
    """The paths of the codes i in ``wanted``, ``{i: path}``, read in one pass over the file."""
    wanted = sorted(set(wanted))
    paths = {}
    with open(Path(folder) / IDS, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        at = 0
        for i in wanted:
            line = next(itertools.islice(file, i - at, None), None)
            if line is None:
                raise ValueError(
                    f"{Path(folder) / IDS} must have a line for code {i}, got none: encode again."
                )
            paths[i], at = line.removesuffix("\n"), i + 1
    return paths
