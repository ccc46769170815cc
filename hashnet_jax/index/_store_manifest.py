"""The manifest of a store: which network computed its codes, and how they are packed."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import hashnet_jax
from hashnet_jax.codes import BIT_ORDER, bytes_per_code
from hashnet_jax.distributed.files import sha256
from hashnet_jax.distributed.json_values import count, each, number, record, text
from hashnet_jax.distributed.reading import parse_json
from hashnet_jax.distributed.seals import is_sealed, sealed, unsealed
from hashnet_jax.index._manifest import preprocessing
from hashnet_jax.weights import MODEL_FILE

# Incremented when earlier versions of the package can no longer read new stores.
FORMAT = 1

_check = record(
    {
        **dict.fromkeys(("bits", "sign_of_zero", "format"), count),
        **dict.fromkeys(("bit_order", "weights_sha256", "backbone", "package"), text),
        "preprocessing": record(
            {
                **dict.fromkeys(("decode", "interpolation", "normalize"), text),
                **dict.fromkeys(("resize", "centre_crop"), each(count)),
                **dict.fromkeys(("mean", "std"), each(number)),
            }
        ),
    }
)


@dataclasses.dataclass(frozen=True)
class StoreManifest:
    """Describes the codes in a store; saved in the metadata of the store's table.

    Attributes:
      bits: K, the number of bits per code.
      bit_order: description of the bit order of packed codes.
      sign_of_zero: the value of sgn(0), +1.
      weights_sha256: SHA-256 of the network's `model.npz`.
      backbone: name of the backbone.
      preprocessing: description of how pictures were preprocessed.
      package: name and version of the package that created the store.
      format: version of the format of the store's columns and metadata.
    """

    bits: int
    bit_order: str
    sign_of_zero: int
    weights_sha256: str
    backbone: str
    preprocessing: dict[str, Any]
    package: str = f"hashnet_jax {hashnet_jax.__version__}"
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format > FORMAT:
            raise ValueError(
                f"a newer version of hashnet_jax wrote it, in format {self.format}; this version "
                f"reads formats up to {FORMAT}"
            )
        if self.bits < 1:
            raise ValueError(f"its number of bits must be >= 1, got {self.bits}")
        if self.bit_order != BIT_ORDER or self.sign_of_zero != 1:
            raise ValueError("its codes are packed in an unsupported way")

    @classmethod
    def of(cls, spec: "hashnet_jax.model.ModelSpec", *, weights_sha256: str) -> "StoreManifest":
        """Creates the manifest for codes computed by a network.

        Args:
          spec: the network's spec.
          weights_sha256: SHA-256 of the network's `model.npz`.

        Returns:
          The manifest.

        Examples:
          >>> spec = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
          >>> StoreManifest.of(spec, weights_sha256="0" * 64).code_bytes
          2
        """
        return cls(
            bits=spec.bits,
            bit_order=BIT_ORDER,
            sign_of_zero=1,
            weights_sha256=weights_sha256,
            backbone=spec.backbone,
            preprocessing=preprocessing(spec),
        )

    @classmethod
    def of_run(cls, run: str | Path) -> "StoreManifest":
        """Creates the manifest for codes computed by the network in a run folder.

        Args:
          run: run folder that contains `model.npz`.

        Returns:
          The manifest.

        Raises:
          FileNotFoundError: if there is no network in ``run``.
        """
        # Imports Flax.
        from hashnet_jax.weights import read_spec

        return cls.of(read_spec(run), weights_sha256=sha256(Path(run) / MODEL_FILE))

    @property
    def code_bytes(self) -> int:
        """The number of bytes per packed code, ceil(K/8)."""
        return bytes_per_code(self.bits)

    def to_json(self) -> str:
        """Returns the manifest as JSON, with a hash of its content."""
        return json.dumps(sealed(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, source: str) -> "StoreManifest":
        """Parses the output of :meth:`to_json`; may raise any exception if the text is damaged."""
        content = parse_json(source)
        if not isinstance(content, dict) or not is_sealed(content):
            raise ValueError("its manifest has no SHA-256")
        inner = unsealed(content)
        _check(inner)
        return cls(**inner)


def check_same_network(manifest: StoreManifest, uri: str, run: str | Path) -> None:
    """Checks that the codes in a store were computed by the network in a run folder.

    Codes from different networks are not comparable.

    Args:
      manifest: the manifest of the store.
      uri: store location, for the error message.
      run: run folder that contains `model.npz`.

    Raises:
      FileNotFoundError: if there is no network in ``run``.
      ValueError: if a different network computed the codes.
    """
    own = StoreManifest.of_run(run)
    if own.weights_sha256 != manifest.weights_sha256:
        raise ValueError(
            f"the codes in {uri} were computed by a different network ({manifest.backbone}, "
            f"{manifest.bits} bits, weights SHA-256 {manifest.weights_sha256[:12]}...) from the "
            f"one in {Path(run) / MODEL_FILE} ({own.backbone}, {own.bits} bits, SHA-256 "
            f"{own.weights_sha256[:12]}...). Use the run whose network computed the codes, or "
            "index the pictures into a new store."
        )
