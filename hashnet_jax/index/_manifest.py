"""The manifest of a codes folder: whose codes it contains, and which network computed them.

::

    codes.npy       packed codes, uint8 [N, ceil(K/8)], for np.load(..., mmap_mode="r")
    ids.txt         line i is the path to the picture with code i
    manifest.json   number of codes, bits, bit order, hash of the network, ...; written last

Folders of earlier versions may also contain indexes, `*.faiss`, which are ignored, or only an
unfinished `.partial/`.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import hashnet_jax
from hashnet_jax.codes import bytes_per_code
from hashnet_jax.distributed.files import write_whole
from hashnet_jax.distributed.reading import damage_named, read_json
from hashnet_jax.distributed.seals import is_sealed, sealed, unsealed

CODES, IDS, MANIFEST, PARTIAL = "codes.npy", "ids.txt", "manifest.json", ".partial"

_WHAT = "a codes manifest"
_REMEDY = "restore it from a copy, or index the pictures into a store"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Describes the codes in a folder.

    Attributes:
      number: N, the number of codes.
      bits: K, the number of bits per code.
      padding_bits: number of zeros that pad the last byte of each code, 0..7.
      bit_order: description of the bit order of packed codes.
      sign_of_zero: the value of sgn(0), +1.
      weights_sha256: SHA-256 of the network's `model.npz`.
      backbone: name of the backbone.
      preprocessing: description of how pictures were preprocessed.
      batch_size: number of pictures per batch during encoding; None if exported from a store.
      devices: number of devices used for encoding; None if exported from a store.
      inputs: absolute paths to the requested files and folders, or the location of the store.
      skipped: a dict with ``"path"`` and ``"reason"`` for each picture that could not be read.
      package: name and version of the package that wrote the folder.
      codes_sha256: SHA-256 of `codes.npy`; empty if version 0.1 wrote the folder.
      ids_sha256: SHA-256 of `ids.txt`; empty if version 0.1 wrote the folder.
    """

    number: int
    bits: int
    padding_bits: int
    bit_order: str
    sign_of_zero: int
    weights_sha256: str
    backbone: str
    preprocessing: dict[str, Any]
    batch_size: int | None
    devices: int | None
    inputs: list[str]
    skipped: list[dict[str, str]]
    package: str = f"hashnet_jax {hashnet_jax.__version__}"
    codes_sha256: str = ""
    ids_sha256: str = ""

    def __post_init__(self) -> None:
        numbers = [self.number, self.bits]
        if (self.batch_size, self.devices) != (None, None):
            numbers += [self.batch_size, self.devices]
        if not all(type(number) is int and number >= 1 for number in numbers):
            raise ValueError(f"its counts and sizes must be integers >= 1, got {(*numbers,)}")
        if self.padding_bits != -self.bits % 8:
            raise ValueError(
                f"codes of {self.bits} bits do not have {self.padding_bits} padding bits"
            )
        # Only the first word is compared, because version 0.1 described the same order differently.
        if not self.bit_order.startswith("big: ") or self.sign_of_zero != 1:
            raise ValueError("its codes are packed in an unsupported way")

    @property
    def code_bytes(self) -> int:
        """The number of bytes per packed code, ceil(K/8)."""
        return bytes_per_code(self.bits)

    def write(self, folder: str | Path) -> None:
        """Writes the manifest to ``folder`` atomically."""
        content = json.dumps(sealed(dataclasses.asdict(self)), indent=2).encode() + b"\n"
        write_whole(Path(folder) / MANIFEST, lambda file: file.write(content))


def read_manifest(folder: str | Path) -> Manifest:
    """Reads the manifest of a codes folder.

    Args:
      folder: a codes folder, see :func:`hashnet_jax.index.export_codes_folder`.

    Returns:
      The manifest.

    Raises:
      FileNotFoundError: if the folder contains no codes, or only those of an interrupted call of an
        earlier version.
      DamagedFile: a ValueError, if the manifest is damaged.

    Examples:
      >>> read_manifest("no such folder")
      Traceback (most recent call last):
      ...
      FileNotFoundError: no codes found in no such folder (manifest.json is missing). Pass ...
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        if (Path(folder) / PARTIAL).is_dir():
            raise FileNotFoundError(
                f"the codes in {folder} are incomplete, because an earlier version of hashnet_jax "
                "was interrupted. Index the pictures into a store instead."
            )
        raise FileNotFoundError(
            f"no codes found in {folder} ({MANIFEST} is missing). Pass a folder that contains "
            "codes."
        )
    content = read_json(path, _WHAT, _REMEDY)
    with damage_named(path, _WHAT, _REMEDY):
        manifest = Manifest(**unsealed(content))
        if not is_sealed(content) and not written_by_0_1(manifest):
            raise ValueError(f"it has no SHA-256, although {manifest.package} always writes one")
    return manifest


def written_by_0_1(manifest: Manifest) -> bool:
    """Returns whether the codes were written by hashnet_jax 0.1, which recorded no hashes."""
    return manifest.package.startswith("hashnet_jax 0.1.")


def preprocessing(spec: "hashnet_jax.model.ModelSpec") -> dict[str, Any]:
    """Describes how pictures are preprocessed for a network."""
    return {
        "decode": "RGB 0..255, EXIF orientation applied, first frame only, white background",
        "resize": [spec.resize, spec.resize],
        "interpolation": "bilinear with antialiasing, aspect ratio not preserved",
        "centre_crop": [spec.image_size, spec.image_size],
        "normalize": "(x/255 - mean)/std",
        "mean": list(spec.mean),
        "std": list(spec.std),
    }
