"""Finds the encoded pictures nearest to queries, and outputs them as a table, JSON or HTML."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from hashnet_jax.codes import binarize, bytes_per_code, pack_bits
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.distributed.printing import printable
from hashnet_jax.index import (
    check_codes,
    check_same_weights,
    encode_pictures,
    expand,
    list_pictures,
    nearest,
    note_unchecked,
    open_codes,
    open_index,
    picture_logits,
    read_ids,
    read_manifest,
    rescored,
)
from hashnet_jax.model import HashNetParams, check_finite
from hashnet_jax.report import write_search_page
from hashnet_jax.weights import load

# Small, because the last batch is padded: a few queries cost as much as a full batch.
QUERY_BATCH_SIZE = 16

# A pair (query, [(distance, picture), ...]) for each query.
Results = list[tuple[str, list[tuple[int, str]]]]
# The scores of the neighbours of each query, or None without rescoring.
Scores = list[list[float]] | None


def print_nearest(
    run_dir: Path,
    codes: Path,
    queries: Sequence[str],
    *,
    k: int = 10,
    kind: str = "flat",
    rescore: int | None = None,
    as_json: bool = False,
    html: Path | None = None,
) -> None:
    """Prints the encoded pictures nearest to each query.

    With ``rescore=N``, the N nearest codes by Hamming distance are ranked by decreasing score
    ``<z, b>``, where z are the logits of the query and b is a code, and the first k are printed.

    Args:
      run_dir: run folder that contains `model.npz`.
      codes: folder of codes to search.
      queries: picture files, folders and globs.
      k: number of neighbours per query, >= 1.
      kind: index type, a key of :data:`hashnet_jax.index.KINDS`.
      rescore: number of nearest codes to rank by score, >= k; None to rank by Hamming distance.
      as_json: whether to print JSON instead of a table.
      html: output file for an HTML page that shows the pictures, or None.

    Raises:
      FileNotFoundError: if the run, the codes, a query or the parent folder of ``html`` does not
        exist.
      ModuleNotFoundError: if faiss is not installed.
      ValueError: if another network computed the codes, no query can be read, or k < 1 or
        ``rescore`` < k.
    """
    if k < 1:
        raise ValueError(f"`k` must be >= 1, got {k}.")
    if rescore is not None and rescore < k:
        raise ValueError(
            f"`rescore` must be at least the {k} neighbours that are shown (`k`), got {rescore}."
        )
    if html is not None and not html.absolute().parent.is_dir():
        raise FileNotFoundError(f"`html` must be in an existing folder, got {html}.")
    params, manifest = load(run_dir), read_manifest(codes)
    check_finite(params)
    check_same_weights(manifest, codes, run_dir)
    check_codes(codes, manifest)
    note_unchecked(codes, manifest)
    index = open_index(codes, manifest, kind)
    paths, packed, logits = _encode_queries(
        params, expand(queries), with_logits=rescore is not None
    )
    if not paths:
        raise ValueError("none of the queries could be read. Pass at least one readable picture.")
    found, scores = nearest(index, packed, rescore or k), None
    if logits is not None:
        found, scores = rescored(found, logits, open_codes(codes, manifest), k)
    ids = read_ids(codes, (i for neighbours in found for _, i in neighbours))
    results = [
        (path, [(distance, ids[i]) for distance, i in neighbours])
        for path, neighbours in zip(paths, found, strict=True)
    ]
    header = {"bits": manifest.bits, "searched": manifest.number, "index": kind}
    if rescore is not None:
        header["rescored"] = min(rescore, manifest.number)
    print(_json(header, results, scores) if as_json else _table(results, scores))
    if html is not None:
        write_search_page(html, results, manifest.bits, scores)
        print(f"page: {html}", file=sys.stderr)


def _encode_queries(
    params: HashNetParams, named: Iterable[str], *, with_logits: bool
) -> tuple[list[str], UInt8[np.ndarray, "Q bytes"], Float32[np.ndarray, "Q K"] | None]:
    """Returns the paths, packed codes and logits (if requested) of readable queries.

    The others are reported and skipped.
    """

    def skip(path: str, reason: str) -> None:
        print(f"skipped {printable(path)}: {reason}", file=sys.stderr)

    bits = params.spec.bits
    empty = (bits, np.float32) if with_logits else (bytes_per_code(bits), np.uint8)
    paths, rows = [], [np.empty((0, empty[0]), empty[1])]
    batches = (picture_logits if with_logits else encode_pictures)(
        params,
        list_pictures(named, skip),
        devices=local_devices(1),
        batch_size=QUERY_BATCH_SIZE,
    )
    for batch, reasons, batch_rows in batches:
        rows.append(batch_rows)
        for path, reason in zip(batch, reasons, strict=True):
            if reason is None:
                paths.append(os.fspath(path))
            else:
                skip(os.fspath(path), reason)
    if not with_logits:
        return paths, np.concatenate(rows), None
    logits = np.concatenate(rows)
    return paths, np.asarray(pack_bits(binarize(logits))), logits


def _table(results: Results, scores: Scores) -> str:
    lines, extra = [], "    score  " if scores is not None else ""
    for number, (path, neighbours) in enumerate(results):
        lines += ["", f"query {printable(path)}", f"rank  distance  {extra}picture"]
        for rank, (distance, picture) in enumerate(neighbours, 1):
            score = f"{scores[number][rank - 1]:9.4g}  " if scores is not None else ""
            lines.append(f"{rank:4}  {distance:8}  {score}{printable(picture)}")
    return "\n".join(lines[1:])


def _json(header: dict[str, Any], results: Results, scores: Scores) -> str:
    content = header | {
        "results": [
            {
                "query": path,
                "neighbours": [{"distance": d, "picture": picture} for d, picture in neighbours],
            }
            for path, neighbours in results
        ],
    }
    for result, row in zip(content["results"], scores or (), strict=scores is not None):
        for neighbour, score in zip(result["neighbours"], row, strict=True):
            neighbour["score"] = score
    return json.dumps(content, indent=2)
