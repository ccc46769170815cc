"""`hashnet encode`: a stream of pictures to a folder of codes.

Nothing is held in memory that grows with the number of pictures, and what is killed half-way ends,
when continued, in the same bytes as what was not.
"""

import functools
import itertools
import os
import shutil
import sys
import time
from pathlib import Path

from hashnet_jax import parallel
from hashnet_jax.cli import journal as partials
from hashnet_jax.cli.codes_folder import CODES, IDS, MANIFEST, Manifest, read_manifest
from hashnet_jax.cli.inputs import expand, list_pictures
from hashnet_jax.cli.stream import encode_pictures
from hashnet_jax.data.pictures import printable
from hashnet_jax.progress import Progress
from hashnet_jax.weight_files import sha256
from hashnet_jax.weights import FILE as MODEL
from hashnet_jax.weights import load

JOURNAL_SECONDS = 1.0  # between two journals, each of which waits for the disk

SHOWN = 20  # skipped pictures that are named; the rest are counted


def encode_to_folder(run, pictures, output, *, batch_size, n_devices=None):
    """Writes the codes of pictures to a folder; the same call continues what was interrupted.

    Args:
      run: folder with `model.npz`.
      pictures: files, folders and globs.
      output: folder for the codes, new, empty, or of the same call interrupted.
      batch_size: pictures at a time, a multiple of the number of devices.
      n_devices: how many to use; None for all.

    Raises:
      FileNotFoundError: if the run is not finished, or no picture is there.
      FileExistsError: if ``output`` holds anything else.
      BlockingIOError: if another process is writing to it.
      ValueError: if the batch does not divide over the devices, or no picture can be read.
    """
    params, devices = load(run), parallel.local_devices(n_devices)
    parallel.check_splits(batch_size, len(devices))
    plan = {
        "weights_sha256": sha256(Path(run) / MODEL),
        "inputs": expand(pictures),
        "batch_size": batch_size,
        "devices": len(devices),
    }
    partial = partials.claim(output, plan)
    if partial is None:
        print(f"already finished: {_summary(read_manifest(output), output)}")
        return
    with partials.locked(partial):
        journal = partials.begun(partial, plan)
        if journal is None:
            print("listing pictures", file=sys.stderr, flush=True)
            found = functools.partial(list_pictures, plan["inputs"])
            journal = partials.begin(partial, plan, found, -(-params.spec.bits // 8))
        if journal["done"] < journal["listed"]:
            _append(partial, journal, params, devices, batch_size)
        skipped = partials.read_skips(partial)
        _show(skipped, output)
        if not journal["codes"]:
            shutil.rmtree(partial)
            raise ValueError(
                f"there must be a picture that can be read in {', '.join(plan['inputs'])}, got "
                f"none ({len(skipped):,} skipped)."
            )
        manifest = Manifest.of(params.spec, number=journal["codes"], skipped=skipped, **plan)
        partials.publish(partial, manifest)
    print(_summary(manifest, output))


def _append(partial, journal, params, devices, batch_size):
    """Encodes what is listed and not done yet."""
    done, total = journal["done"], journal["listed"]
    if done:
        print(f"continuing after {done:,} of {total:,} pictures", file=sys.stderr, flush=True)
    written = 0.0
    with (
        partials.opened(partial, journal) as files,
        open(partial / partials.LISTING, "rb") as listing,
        Progress(total, "encoding", "picture", done=done) as progress,
    ):
        left = (os.fsdecode(line[:-1]) for line in itertools.islice(listing, done, None))
        batches = encode_pictures(params, left, devices=devices, batch_size=batch_size)
        for paths, reasons, packed in batches:
            files[CODES].write(packed.tobytes())
            for path, reason in zip(paths, reasons, strict=True):
                if reason is None:
                    files[IDS].write(os.fsencode(path) + b"\n")
                else:
                    partials.write_skip(files[partials.SKIPPED], path, reason)
            journal["done"] += len(paths)
            journal["codes"] += len(packed)
            if time.monotonic() - written > JOURNAL_SECONDS or journal["done"] == total:
                partials.record(partial, journal, files)
                written = time.monotonic()
            progress.update(len(paths))


def _show(skipped, output):
    for line in skipped[:SHOWN]:
        print(f"skipped {printable(line['path'])}: {line['reason']}", file=sys.stderr)
    if len(skipped) > SHOWN:
        more = f"{len(skipped) - SHOWN:,} more, which {Path(output) / MANIFEST} names"
        print(f"skipped {more}", file=sys.stderr)


def _summary(manifest, output):
    skipped = f", {len(manifest.skipped):,} skipped" if manifest.skipped else ""
    return f"{manifest.number:,} codes of {manifest.bits} bits in {output}{skipped}"
