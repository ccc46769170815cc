"""Finds the encoded pictures nearest to queries, and outputs them as a table, JSON or HTML."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.codes import bytes_per_code
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.distributed.printing import printable
from hashnet_jax.index import (
    Manifest,
    check_codes,
    check_same_weights,
    encode_pictures,
    expand,
    list_pictures,
    nearest,
    note_unchecked,
    open_index,
    read_ids,
    read_manifest,
)
from hashnet_jax.model import HashNetParams, check_finite
from hashnet_jax.report import write_search_page
from hashnet_jax.weights import load

# Small, because the last batch is padded: a few queries cost as much as a full batch.
QUERY_BATCH_SIZE = 16

# A pair (query, [(distance, picture), ...]) for each query.
Results = list[tuple[str, list[tuple[int, str]]]]


def print_nearest(
    run_dir: Path,
    codes: Path,
    queries: Sequence[str],
    *,
    k: int = 10,
    kind: str = "flat",
    as_json: bool = False,
    html: Path | None = None,
) -> None:
    """Prints the encoded pictures nearest to each query.

    Args:
      run_dir: run folder that contains `model.npz`.
      codes: folder of codes to search.
      queries: picture files, folders and globs.
      k: number of neighbours per query, >= 1.
      kind: index type, a key of :data:`hashnet_jax.index.KINDS`.
      as_json: whether to print JSON instead of a table.
      html: output file for an HTML page that shows the pictures, or None.

    Raises:
      FileNotFoundError: if the run, the codes, a query or the parent folder of ``html`` does not
        exist.
      ModuleNotFoundError: if faiss is not installed.
      ValueError: if another network computed the codes, no query can be read, or k < 1.
    """
    if k < 1:
        raise ValueError(f"`k` must be >= 1, got {k}.")
    if html is not None and not html.absolute().parent.is_dir():
        raise FileNotFoundError(f"`html` must be in an existing folder, got {html}.")
    params, manifest = load(run_dir), read_manifest(codes)
    check_finite(params)
    check_same_weights(manifest, codes, run_dir)
    check_codes(codes, manifest)
    note_unchecked(codes, manifest)
    index = open_index(codes, manifest, kind)
    paths, packed = _encode_queries(params, expand(queries))
    if not paths:
        raise ValueError("none of the queries could be read. Pass at least one readable picture.")
    found = nearest(index, packed, k)
    ids = read_ids(codes, (i for neighbours in found for _, i in neighbours))
    results = [
        (path, [(distance, ids[i]) for distance, i in neighbours])
        for path, neighbours in zip(paths, found, strict=True)
    ]
    print(_json(results, manifest, kind) if as_json else _table(results))
    if html is not None:
        write_search_page(html, results, manifest.bits)
        print(f"page: {html}", file=sys.stderr)


def _encode_queries(
    params: HashNetParams, named: Iterable[str]
) -> tuple[list[str], UInt8[np.ndarray, "Q bytes"]]:
    """Returns the paths and packed codes of readable queries; reports and skips the others."""

    def skip(path: str, reason: str) -> None:
        print(f"skipped {printable(path)}: {reason}", file=sys.stderr)

    paths, codes = [], [np.empty((0, bytes_per_code(params.spec.bits)), np.uint8)]
    batches = encode_pictures(
        params,
        list_pictures(named, skip),
        devices=local_devices(1),
        batch_size=QUERY_BATCH_SIZE,
    )
    for batch, reasons, packed in batches:
        codes.append(packed)
        for path, reason in zip(batch, reasons, strict=True):
            if reason is None:
                paths.append(os.fspath(path))
            else:
                skip(os.fspath(path), reason)
    return paths, np.concatenate(codes)


def _table(results: Results) -> str:
    lines = []
    for path, neighbours in results:
        lines += ["", f"query {printable(path)}", "rank  distance  picture"]
        for rank, (distance, picture) in enumerate(neighbours, 1):
            lines.append(f"{rank:4}  {distance:8}  {printable(picture)}")
    return "\n".join(lines[1:])


def _json(results: Results, manifest: Manifest, kind: str) -> str:
    content = {
        "bits": manifest.bits,
        "searched": manifest.number,
        "index": kind,
        "results": [
            {
                "query": path,
                "neighbours": [{"distance": d, "picture": picture} for d, picture in neighbours],
            }
            for path, neighbours in results
        ],
    }
    return json.dumps(content, indent=2)
