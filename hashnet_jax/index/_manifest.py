"""The manifest of a codes folder: what was encoded, how, and by which network.

::

    codes.npy       packed codes, uint8 [N, ceil(K/8)], for np.load(..., mmap_mode="r")
    ids.txt         line i is the picture path for code i
    manifest.json   number, bits, bit order, hash of the network, ...; written last
    flat.faiss      an index, once one has been built; see hashnet_jax.index.open_index
    .partial/       only while encoding: the pending pictures and a progress journal
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hashnet_jax
from hashnet_jax.codes import bytes_per_code
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.model import ModelSpec

CODES, IDS, MANIFEST, PARTIAL = "codes.npy", "ids.txt", "manifest.json", ".partial"

BIT_ORDER = (
    "big: entry 0 of a code is the most significant bit of byte 0, +1 is a one; the bits that fill "
    "the last byte are zeros"
)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Describes the codes in a folder.

    Attributes:
      number: N, the number of codes.
      bits: K, the number of bits per code.
      padding_bits: number of zero bits that pad the last byte of each code, 0..7.
      bit_order: order of the bits in a packed code.
      sign_of_zero: the value of sgn(0), +1.
      weights_sha256: hash of the `model.npz` that encoded the pictures.
      backbone: name of the backbone.
      preprocessing: how pictures are preprocessed for the network.
      batch_size: number of pictures per batch during encoding.
      devices: number of devices used for encoding.
      inputs: absolute paths of the requested files and folders.
      skipped: ``{"path", "reason"}`` for each picture that could not be read.
      package: name and version of the package that wrote the folder.
    """

    number: int
    bits: int
    padding_bits: int
    bit_order: str
    sign_of_zero: int
    weights_sha256: str
    backbone: str
    preprocessing: dict[str, Any]
    batch_size: int
    devices: int
    inputs: list[str]
    skipped: list[dict[str, str]]
    package: str = f"hashnet_jax {hashnet_jax.__version__}"

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        *,
        weights_sha256: str,
        number: int,
        batch_size: int,
        devices: int,
        inputs: Sequence[str],
        skipped: Sequence[dict[str, str]],
    ) -> "Manifest":
        """Builds the manifest for codes from a network with this :class:`hashnet_jax.ModelSpec`.

        Args:
          spec: the network's spec; the other arguments are the attributes of the same names.

        Returns:
          The manifest.

        Examples:
          >>> manifest = Manifest.of(
          ...     ModelSpec("small_cnn", bits=12, image_size=8, resize=8),
          ...     weights_sha256="0" * 64, number=3, batch_size=8, devices=1, inputs=[], skipped=[],
          ... )
          >>> manifest.bits, manifest.padding_bits, manifest.bytes
          (12, 4, 2)
        """
        return cls(
            number=number,
            bits=spec.bits,
            padding_bits=-spec.bits % 8,
            bit_order=BIT_ORDER,
            sign_of_zero=1,
            weights_sha256=weights_sha256,
            backbone=spec.backbone,
            preprocessing=_preprocessing(spec),
            batch_size=batch_size,
            devices=devices,
            inputs=list(inputs),
            skipped=list(skipped),
        )

    @property
    def bytes(self) -> int:
        """The number of bytes per packed code, ceil(K/8)."""
        return bytes_per_code(self.bits)

    def write(self, folder: str | Path) -> None:
        """Writes the manifest to ``folder`` atomically."""
        content = json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n"
        write_whole(Path(folder) / MANIFEST, lambda file: file.write(content))


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of a codes folder.

    Args:
      folder: a folder written by :func:`hashnet_jax.index.encode_to_folder`.

    Returns:
      The manifest.

    Raises:
      FileNotFoundError: if the folder contains no codes, or only unfinished ones.
      ValueError: if the manifest is damaged.

    Examples:
      >>> read_manifest("no such folder")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no codes in no such folder (no manifest.json): encode pictures to ...
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        if (Path(folder) / PARTIAL).is_dir():
            raise FileNotFoundError(
                f"the codes in {folder} are unfinished: repeat the call that encodes them to "
                "continue it."
            )
        raise FileNotFoundError(
            f"no codes in {folder} (no {MANIFEST}): encode pictures to this folder first."
        )
    try:
        return Manifest(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged or not a manifest of codes ({error}).") from error


def _preprocessing(spec: ModelSpec) -> dict[str, Any]:
    return {
        "decode": "RGB 0..255, upright by EXIF, first frame, transparency on white",
        "resize": [spec.resize, spec.resize],
        "interpolation": "bilinear with antialiasing, aspect ratio not kept",
        "centre_crop": [spec.image_size, spec.image_size],
        "normalize": "(x/255 - mean)/std",
        "mean": list(spec.mean),
        "std": list(spec.std),
    }
