"""The columns of a store, including a checksum of each row.

==========  =====================  ===========================================================
id          string                 path to the picture; the primary key
code        uint8[ceil(K/8)]       packed code, see :func:`hashnet_jax.pack_bits`
size        int64                  size of the file in bytes
mtime_ns    int64                  modification time of the file, in nanoseconds
sha256      fixed_size_binary[32]  SHA-256 of the file
label       string                 label of the picture, or null
check       uint64                 hash of the row and the store number, see :func:`bound_to`
==========  =====================  ===========================================================
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, UInt8, UInt64

from hashnet_jax.index._store_manifest import StoreManifest

MANIFEST_KEY = b"hashnet_jax"
# A random number, which ties the rows to their store.
STORE_NUMBER_KEY = b"hashnet_jax.store"
# Declares the key of the table, so that two processes cannot insert the same picture twice.
_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}

# The columns that describe the file of a picture.
_FILE_COLUMNS = {"size", "mtime_ns", "sha256"}

_HALF, _LOWER = np.uint64(32), np.uint64(2**32 - 1)

# Odd, so that changing a single byte always changes the hash.
_MULTIPLIER = 0x9E3779B97F4A7C15


def schema_of(manifest: StoreManifest) -> pa.Schema:
    """Returns the schema of a store's table, with the manifest in its metadata."""
    fields = [
        pa.field("id", pa.utf8(), nullable=False, metadata=_PRIMARY_KEY),
        pa.field("code", pa.list_(pa.uint8(), manifest.code_bytes), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mtime_ns", pa.int64(), nullable=False),
        pa.field("sha256", pa.binary(32), nullable=False),
        pa.field("label", pa.utf8()),
        pa.field("check", pa.uint64(), nullable=False),
    ]
    return pa.schema(fields, metadata={MANIFEST_KEY: manifest.to_json()})


def make_rows(
    manifest: StoreManifest,
    *,
    ids: Sequence[str],
    codes: UInt8[np.ndarray, "n bytes"],
    sizes: Sequence[int] | Int64[np.ndarray, " n"],
    mtimes_ns: Sequence[int] | Int64[np.ndarray, " n"],
    sha256s: Sequence[bytes],
    labels: Sequence[str | None] | None = None,
) -> pa.Table:
    """Creates rows for :meth:`hashnet_jax.index.Store.upsert`.

    Args:
      manifest: the manifest of the store.
      ids: n distinct paths.
      codes: packed codes, uint8 ``[n, ceil(K/8)]``.
      sizes: sizes of the files in bytes.
      mtimes_ns: modification times of the files in nanoseconds.
      sha256s: SHA-256 of each file, 32 bytes.
      labels: a label or None for each picture, or just None if no picture has a label.

    Returns:
      The rows.

    Raises:
      ValueError: if the codes have the wrong number of bytes for the store.
    """
    if codes.shape[1] != manifest.code_bytes:
        raise ValueError(
            f"`codes` must have {manifest.code_bytes} bytes per code, since the store "
            f"contains {manifest.bits}-bit codes, but they have {codes.shape[1]}."
        )
    id_array = pa.array(ids, pa.utf8())
    label_array = pa.array(labels if labels is not None else [None] * len(ids), pa.utf8())
    columns = [
        id_array,
        pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1)), manifest.code_bytes),
        pa.array(sizes, pa.int64()),
        pa.array(mtimes_ns, pa.int64()),
        pa.array(sha256s, pa.binary(32)),
        label_array,
        pa.array(row_checks(id_array, codes, label_array)),
    ]
    return pa.Table.from_arrays(columns, schema=schema_of(manifest))


def bound_to(rows: pa.Table | pa.RecordBatch, store_number: int) -> pa.Table | pa.RecordBatch:
    """Returns rows from :func:`make_rows` with the store's random number in their checksums.

    The lower half of a checksum covers the id, code and label; the upper half covers the id and the
    file's size, modification time and SHA-256.
    """
    place = rows.schema.get_field_index("check")
    plain = rows.column(place).to_numpy(zero_copy_only=False)
    checks = _with_number(plain, store_number) & _LOWER
    checks |= _with_number(_file_checks(rows), store_number) << _HALF
    return rows.set_column(place, rows.schema.field(place), pa.array(checks))


def damaged_rows(rows: pa.Table | pa.RecordBatch, width: int, store_number: int | None) -> bool:
    """Returns whether any row does not match its checksum.

    Args:
      rows: rows with the columns id, code, label and check; the columns size, mtime_ns and sha256
        are checked if all three are present.
      width: number of bytes per code, ceil(K/8).
      store_number: the store's random number, < 2^64; None if the store has none; its
        checksums then do not cover size, mtime_ns and sha256.
    """
    ids, labels = (_one_array(rows.column(name)) for name in ("id", "label"))
    found = row_checks(ids, codes_of(rows.column("code"), width), labels)
    expected = rows.column("check").to_numpy(zero_copy_only=False)
    if store_number is None:
        return not np.array_equal(found, expected)
    differs = (_with_number(found, store_number) ^ expected) & _LOWER
    if _FILE_COLUMNS.issubset(rows.schema.names):
        files = _with_number(_file_checks(rows), store_number) << _HALF
        differs |= (files ^ expected) >> _HALF
    return bool(differs.any())


def codes_of(column: pa.Array | pa.ChunkedArray, width: int) -> UInt8[np.ndarray, "n bytes"]:
    """Returns a column of codes as a uint8 array ``[n, width]``, without a copy if possible."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def row_checks(
    ids: pa.Array, codes: UInt8[np.ndarray, "n bytes"], labels: pa.Array
) -> UInt64[np.ndarray, " n"]:
    """Computes a 64-bit hash of the path, code and label of each row.

    Lance does not verify the bytes that it reads, so a bit flip on the disk would silently change a
    code or a path. The hash is a sum, modulo 2^64, of the bytes, each multiplied by an odd number
    that depends on its position. It detects damage, not forgery.

    Args:
      ids: the paths, strings ``[n]``.
      codes: packed codes, uint8 ``[n, bytes]``.
      labels: the labels, strings ``[n]``, some of which may be null.

    Returns:
      The hashes, uint64 ``[n]``.
    """
    weights = _weights(codes.shape[1])
    hashes = (codes.astype(np.uint64) * weights).sum(axis=1, dtype=np.uint64)
    hashes = hashes * np.uint64(3) + _text_hashes(ids)
    present = labels.is_valid().to_numpy(zero_copy_only=False)
    return hashes * np.uint64(5) + _text_hashes(labels.fill_null("")) + present


def _file_checks(rows: pa.Table | pa.RecordBatch) -> UInt64[np.ndarray, " n"]:
    """Hashes the id, file size, modification time and SHA-256 in each row."""
    ids = _one_array(rows.column("id"))
    numbers = [_one_array(rows.column(name)).to_numpy() for name in ("size", "mtime_ns")]
    hashes = _one_array(rows.column("sha256"))
    width = hashes.type.byte_width
    start, end = hashes.offset * width, (hashes.offset + len(hashes)) * width
    content = np.frombuffer(hashes.buffers()[1] or b"", np.uint8)[start:end]
    columns = [np.ascontiguousarray(column)[:, None].view(np.uint8) for column in numbers]
    fields = np.concatenate([*columns, content.reshape(-1, width)], axis=1)
    return row_checks(ids, fields, pa.nulls(len(ids), pa.utf8()))


def _with_number(checks: UInt64[np.ndarray, " n"], number: int) -> UInt64[np.ndarray, " n"]:
    return checks + np.uint64(number)


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _text_hashes(texts: pa.Array) -> UInt64[np.ndarray, " n"]:
    """Returns a hash of the bytes and length of each string."""
    texts = texts.cast(pa.large_binary())
    _, offsets, content = texts.buffers()
    if not len(texts) or offsets is None:
        return np.zeros(0, np.uint64)
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    lengths = np.diff(ends)
    data = np.frombuffer(content or b"", np.uint8)[ends[0] : ends[-1]]
    places = np.arange(len(data)) - np.repeat(ends[:-1] - ends[0], lengths)
    weighted = data.astype(np.uint64) * _weights(int(lengths.max(initial=0)))[places]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighted, dtype=np.uint64)])
    return np.diff(sums[ends - ends[0]]) + lengths.astype(np.uint64) * np.uint64(_MULTIPLIER)


def _weights(number: int) -> UInt64[np.ndarray, " number"]:
    """Returns an odd pseudorandom integer for each position, from the SplitMix64 generator."""
    x = np.arange(1, number + 1, dtype=np.uint64) * np.uint64(_MULTIPLIER)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (x ^ (x >> np.uint64(31))) | np.uint64(1)
