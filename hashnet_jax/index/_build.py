"""Encodes a stream of pictures into a codes folder.

Memory use does not grow with the number of pictures. If encoding is interrupted and resumed, the
output is byte-identical to that of an uninterrupted call.
"""

import contextlib
import functools
import itertools
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from hashnet_jax.codes import bytes_per_code
from hashnet_jax.data.decoder import FORMATS
from hashnet_jax.distributed.devices import Device, local_devices
from hashnet_jax.distributed.files import disk_faults_named, remove_folder, sha256
from hashnet_jax.distributed.printing import printable
from hashnet_jax.distributed.progress import Progress
from hashnet_jax.index._codes_folder import note_unchecked
from hashnet_jax.index._growing import GrowingFile
from hashnet_jax.index._inputs import expand, list_pictures
from hashnet_jax.index._journal import LISTING, SKIPPED, Journal, Plan, read_journal
from hashnet_jax.index._manifest import CODES, IDS, MANIFEST, Manifest, read_manifest
from hashnet_jax.index._partial_folder import (
    claim_output,
    lock,
    open_outputs,
    publish,
    read_skips,
    save_journal,
    start_journal,
    write_skip,
)
from hashnet_jax.index._stream import Paths, Reasons, check_batch_size, encode_pictures
from hashnet_jax.model import HashNetParams, ModelSpec, check_finite
from hashnet_jax.weights import MODEL_FILE, load

# Saving the journal syncs files to disk, which would be too slow after every batch.
SECONDS_BETWEEN_JOURNALS = 1.0

# Maximum number of skipped pictures to print; the rest are only counted.
MAX_SKIPS_SHOWN = 20


def encode_to_folder(
    run: str | Path,
    pictures: Iterable[str | os.PathLike[str]],
    output: str | Path,
    *,
    batch_size: int,
    devices: Sequence[Device] | None = None,
) -> None:
    """Encodes pictures into a codes folder.

    To continue after an interruption, repeat the call with the same arguments.

    Args:
      run: run folder that contains `model.npz`.
      pictures: picture files, folders and globs.
      output: folder for the codes. Must be new, empty, or from an interrupted call with the same
        arguments.
      batch_size: number of pictures per batch, a multiple of the number of devices.
      devices: devices to use, from :func:`hashnet_jax.distributed.devices.local_devices`; all local
        devices if None.

    Raises:
      FileNotFoundError: if there is no network in ``run``, or an entry of ``pictures`` matches
        nothing.
      FileExistsError: if ``output`` contains other files.
      BlockingIOError: if another process is writing to ``output``.
      ValueError: if ``batch_size`` is not a multiple of the number of devices, no picture is
        readable, a weight of the network is not finite, or a file in ``output`` is damaged.
    """
    params = load(run)
    check_finite(params, source=f"the network in {run}")
    devices = local_devices() if devices is None else devices
    check_batch_size(batch_size, len(devices))
    weights_sha256 = sha256(Path(run) / MODEL_FILE)
    plan = Plan(weights_sha256, expand(pictures), batch_size=batch_size, devices=len(devices))
    is_new = not os.path.lexists(output)
    partial = claim_output(output, plan)
    if partial is None:
        manifest = read_manifest(output)
        print(f"already finished: {_summary(manifest, output)}")
        print("Pictures added later are not included. To include them, encode into a new folder.")
        note_unchecked(output, manifest)
        return
    with lock(partial), disk_faults_named(output):
        journal = read_journal(partial, plan) or _list_inputs(partial, plan, params.spec)
        if journal.done < journal.listed:
            _encode_rest(partial, journal, params, devices, batch_size)
        manifest = _finish(partial, journal, plan, params.spec, is_new=is_new)
    print(_summary(manifest, output))


def _list_inputs(partial: Path, plan: Plan, spec: ModelSpec) -> Journal:
    print("listing pictures", file=sys.stderr, flush=True)
    pictures = functools.partial(list_pictures, plan.inputs)
    return start_journal(partial, plan, pictures, bytes_per_code(spec.bits))


def _encode_rest(
    partial: Path,
    journal: Journal,
    params: HashNetParams,
    devices: Sequence[Device],
    batch_size: int,
) -> None:
    """Encodes the listed pictures that have not been encoded yet."""
    done, total = journal.done, journal.listed
    if done:
        print(f"continuing after {done:,} of {total:,} pictures", file=sys.stderr, flush=True)
    written = 0.0
    with (
        open_outputs(partial, journal) as files,
        open(partial / LISTING, "rb") as listing,
        Progress(total, "encoding", "picture", done=done) as progress,
    ):
        left = (os.fsdecode(line[:-1]) for line in itertools.islice(listing, done, None))
        batches = encode_pictures(params, left, devices=devices, batch_size=batch_size)
        for paths, reasons, packed in batches:
            _append(files, paths, reasons, packed)
            journal.done += len(paths)
            journal.codes += len(packed)
            overdue = time.monotonic() - written > SECONDS_BETWEEN_JOURNALS
            if overdue or journal.done == total:
                save_journal(partial, journal, files)
                written = time.monotonic()
            progress.update(len(paths))


def _append(
    files: Mapping[str, GrowingFile],
    paths: Paths,
    reasons: Reasons,
    packed: UInt8[np.ndarray, "n bytes"],
) -> None:
    files[CODES].write(packed.tobytes())
    for path, reason in zip(paths, reasons, strict=True):
        if reason is None:
            files[IDS].write(os.fsencode(path) + b"\n")
        else:
            write_skip(files[SKIPPED], os.fspath(path), reason)


def _finish(
    partial: Path, journal: Journal, plan: Plan, spec: ModelSpec, *, is_new: bool
) -> Manifest:
    """Publishes the codes and reports skipped pictures; raises ValueError if there are no codes."""
    skipped = read_skips(partial)
    _show_skips(skipped, partial.parent / MANIFEST)
    if not journal.codes:
        remove_folder(partial)
        if is_new:
            with contextlib.suppress(OSError):  # somebody else has put a file there
                partial.parent.rmdir()
        raise ValueError(
            f"no readable pictures found in {', '.join(plan.inputs)} ({len(skipped):,} skipped). "
            f"Pass files in one of the formats {', '.join(FORMATS)}, or folders with such files."
        )
    manifest = Manifest.of(
        spec,
        weights_sha256=plan.weights_sha256,
        number=journal.codes,
        batch_size=plan.batch_size,
        devices=plan.devices,
        inputs=plan.inputs,
        skipped=skipped,
    )
    return publish(partial, manifest)


def _show_skips(skipped: Sequence[Mapping[str, str]], manifest: Path) -> None:
    for line in skipped[:MAX_SKIPS_SHOWN]:
        reason = printable(line["reason"])
        print(f"skipped {printable(line['path'])}: {reason}", file=sys.stderr)
    if len(skipped) > MAX_SKIPS_SHOWN:
        more = len(skipped) - MAX_SKIPS_SHOWN
        print(f"skipped {more:,} more pictures; {manifest} lists all of them", file=sys.stderr)


def _summary(manifest: Manifest, output: str | Path) -> str:
    skipped = f", {len(manifest.skipped):,} skipped" if manifest.skipped else ""
    codes = "code" if manifest.number == 1 else "codes"
    return f"{manifest.number:,} {codes} of {manifest.bits} bits in {output}{skipped}"
