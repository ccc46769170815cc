"""Finds the pictures in a codes folder that are nearest to each query."""

from collections.abc import Sequence
from pathlib import Path

from hashnet_jax.cli._queries import batch_size_of, encode_queries, list_queries
from hashnet_jax.cli._query_network import load_query_network
from hashnet_jax.cli._search_output import Results, check_output, output
from hashnet_jax.index import (
    Neighbour,
    check_codes,
    check_same_weights,
    nearest,
    note_unchecked,
    open_codes,
    open_index,
    read_ids,
    read_manifest,
    rescored,
)


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
      codes: codes folder to search.
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
      ValueError: if another network computed the codes, no query can be read, k < 1, or
        ``rescore`` < k.
    """
    check_numbers(k, rescore)
    check_output(html)
    pictures, manifest = list_queries(queries), read_manifest(codes)
    network = load_query_network(run_dir, batch_size_of(pictures))
    check_same_weights(manifest, codes, run_dir)
    check_codes(codes, manifest)
    note_unchecked(codes, manifest)
    index = open_index(codes, manifest, kind)
    paths, packed, logits = encode_queries(network, pictures)
    found, scores = nearest(index, packed, rescore or k), None
    header = {"bits": manifest.bits, "searched": manifest.number, "index": kind}
    if rescore is not None:
        found, scores = rescored(found, logits, open_codes(codes, manifest), k)
        header["rescored"] = min(rescore, manifest.number)
    neighbours = _neighbours(codes, found, scores)
    output(Results(header, paths, neighbours), as_json=as_json, html=html)


def check_numbers(k: int, rescore: int | None) -> None:
    """Raises a ValueError if k < 1 or ``rescore`` < k."""
    if k < 1:
        raise ValueError(f"`k` must be >= 1, got {k}.")
    if rescore is not None and rescore < k:
        raise ValueError(
            f"`rescore` must be at least {k}, the number of neighbours shown (`k`), got {rescore}."
        )


def _neighbours(
    codes: Path,
    found: Sequence[Sequence[tuple[int, int]]],
    scores: Sequence[Sequence[float]] | None,
) -> list[list[Neighbour]]:
    ids = read_ids(codes, (i for row in found for _, i in row))
    shown = [[None] * len(row) for row in found] if scores is None else scores
    return [
        [
            Neighbour(distance, ids[i], 0, None, b"", score)
            for (distance, i), score in zip(row, row_scores, strict=True)
        ]
        for row, row_scores in zip(found, shown, strict=True)
    ]
