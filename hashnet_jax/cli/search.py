"""`hashnet search`: the nearest of encoded pictures to others."""

import json
import sys
from pathlib import Path

import numpy as np

from hashnet_jax import parallel
from hashnet_jax.cli.codes_folder import check_same_weights, read_ids, read_manifest
from hashnet_jax.cli.index import nearest, open_index
from hashnet_jax.cli.inputs import expand, list_pictures
from hashnet_jax.cli.page import write_page
from hashnet_jax.cli.stream import encode_pictures
from hashnet_jax.data.pictures import printable
from hashnet_jax.weights import load

BATCH = 16  # queries at a time; the last batch is filled up, so one of few costs as much


def print_nearest(run, folder, queries, *, k=10, kind="flat", as_json=False, html=None):
    """Prints the nearest of the encoded pictures to each query.

    Args:
      run: folder with `model.npz`.
      folder: of codes.
      queries: files, folders and globs.
      k: neighbours of a query.
      kind: of the index, a name in :data:`hashnet_jax.cli.index.KINDS`.
      as_json: print JSON, not a table.
      html: file for a page of the pictures, or None.

    Raises:
      FileNotFoundError: if run, codes, queries or the folder of ``html`` are not there.
      ModuleNotFoundError: if faiss is missing.
      ValueError: if the codes are not of this run's network, no query can be read, or k < 1.
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}: change -k.")
    if html is not None and not Path(html).absolute().parent.is_dir():
        raise FileNotFoundError(f"--html must name a file in a folder that is there, got {html}.")
    params, manifest = load(run), read_manifest(folder)
    check_same_weights(manifest, folder, run)
    index = open_index(folder, manifest, kind)
    asked, packed = _encode(params, expand(queries))
    if not asked:
        raise ValueError("there must be a query that can be read, got none.")
    found = nearest(index, packed, k)
    ids = read_ids(folder, (i for neighbours in found for _, i in neighbours))
    results = [
        (path, [(distance, ids[i]) for distance, i in neighbours])
        for path, neighbours in zip(asked, found, strict=True)
    ]
    print(_json(results, manifest, kind) if as_json else _table(results))
    if html is not None:
        write_page(html, results, manifest.bits)
        print(f"page: {html}", file=sys.stderr)


def _encode(params, named):
    """Paths and packed codes uint8 ``[Q, ceil(K/8)]`` of the queries; the unreadable are named."""

    def skip(path, reason):
        print(f"skipped {printable(path)}: {reason}", file=sys.stderr)

    paths, codes = [], [np.empty((0, -(-params.spec.bits // 8)), np.uint8)]
    batches = encode_pictures(
        params,
        list_pictures(named, skip),
        devices=parallel.local_devices(1),
        batch_size=BATCH,
    )
    for batch, reasons, packed in batches:
        codes.append(packed)
        for path, reason in zip(batch, reasons, strict=True):
            if reason is None:
                paths.append(path)
            else:
                skip(path, reason)
    return paths, np.concatenate(codes)


def _table(results):
    lines = []
    for path, found in results:
        lines += ["", f"query {printable(path)}", "rank  distance  picture"]
        for rank, (distance, neighbour) in enumerate(found, 1):
            lines.append(f"{rank:4}  {distance:8}  {printable(neighbour)}")
    return "\n".join(lines[1:])


def _json(results, manifest, kind):
    content = {
        "bits": manifest.bits,
        "searched": manifest.number,
        "index": kind,
        "results": [
            {
                "query": path,
                "neighbours": [{"distance": d, "picture": neighbour} for d, neighbour in found],
            }
            for path, found in results
        ],
    }
    return json.dumps(content, indent=2)
