"""One version of a store, held in memory for exact search."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from hashnet_jax.index._store_manifest import StoreManifest


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """The rows of one version of a store, sorted by id.

    Breaking ties by row index is therefore the same as breaking ties by id.

    Attributes:
      manifest: the manifest of the store.
      version: the version of the store.
      ids: paths to the pictures, strings ``[N]``, sorted by code point.
      codes: packed codes, uint8 ``[N, ceil(K/8)]``, contiguous.
      labels: labels of the pictures, strings ``[N]``, null for those without a label.
    """

    manifest: StoreManifest
    version: int
    ids: pa.Array
    codes: UInt8[np.ndarray, "N bytes"]
    labels: pa.Array

    def __len__(self) -> int:
        return len(self.codes)

    def paths(self, rows: Iterable[int]) -> list[str]:
        """Returns the picture paths in the given rows."""
        return self.ids.take(pa.array(list(rows), pa.int64())).to_pylist()
