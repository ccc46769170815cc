"""Implements `hashnet index`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.distributed.printing import printable
from hashnet_jax.index import (
    Engine,
    LocalEngine,
    RayEngine,
    Store,
    StoreManifest,
    add_pictures,
    create_store,
    expand,
    import_codes_folder,
    is_local,
    list_pictures,
    open_store,
    remove_pictures,
    save_snapshot,
    store_exists,
    update_store,
)

# Maximum number of unreadable pictures to print; the rest are only counted.
MAX_UNREADABLE_SHOWN = 20

_SIGNS = {"new": "+", "changed": "~", "gone": "-", "relabelled": "="}


class Unreadable:
    """Prints the paths of the first few unreadable pictures, and counts the others."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, path: str, reason: str) -> None:
        """Counts an unreadable picture; for the first few, also prints the path and the reason."""
        self._count += 1
        if self._count <= MAX_UNREADABLE_SHOWN:
            print(f"unreadable {printable(path)}: {printable(reason)}", file=sys.stderr)

    def summarize(self) -> None:
        """Prints the number of unreadable pictures that were not listed, if any."""
        more = self._count - MAX_UNREADABLE_SHOWN
        if more > 0:
            print(f"unreadable: {more:,} more", file=sys.stderr)


def update(
    uri: str,
    run: Path,
    pictures: Sequence[str],
    *,
    batch_size: int,
    devices: int | None,
    engine: str,
    address: str | None,
    workers: int | None,
    label: str | None,
    folder_labels: bool,
    only_add: bool,
    dry_run: bool,
) -> None:
    """Updates a store, or only adds pictures to it, and prints what has changed.

    Args:
      uri: store folder or location in object storage; created if it does not exist.
      run: run folder that contains `model.npz`.
      pictures: picture files, folders and globs.
      batch_size: number of pictures per batch.
      devices: number of devices to use; None for all.
      engine: where to encode, "local" (this machine) or "ray" (a Ray cluster).
      address: address of the Ray cluster, or None to start Ray on this machine.
      workers: number of Ray workers, or None; see :class:`hashnet_jax.index.RayEngine`.
      label: label of all pictures, or None.
      folder_labels: whether to label each picture with the name of its folder.
      only_add: whether pictures that are gone from disk remain in the store.
      dry_run: whether to only print what would change.
    """
    named = expand(pictures)
    if not store_exists(uri) and next(list_pictures(named, lambda *_: None), None) is None:
        raise ValueError(
            "`pictures` must contain pictures, but none was found, so no store was created. Check "
            "the path."
        )
    encode = _engine(engine, batch_size, devices, address, workers)
    label_of = (lambda path: label) if label is not None else None
    if folder_labels:
        label_of = _folder_name
    unreadable = Unreadable()
    options = {"engine": encode, "label_of": label_of, "on_unreadable": unreadable}
    if only_add:
        changes = add_pictures(_open_or_create(uri, run), run, pictures, **options)
    elif dry_run:
        changes = update_store(
            open_store(uri), run, pictures, dry_run=True, on_change=_print_change, **options
        )
    else:
        changes = update_store(_open_or_create(uri, run), run, pictures, **options)
    unreadable.summarize()
    print(f"dry run: {changes}" if dry_run else changes)
    if not dry_run:
        _save_snapshot(uri)


def remove(uri: str, pictures: Sequence[str]) -> None:
    """Deletes pictures from a store, and prints the number of deleted pictures."""
    deleted = remove_pictures(open_store(uri), pictures)
    for path, number in deleted.items():
        if not number:
            print(f"not in the store: {printable(path)}", file=sys.stderr)
    print(f"{sum(deleted.values()):,} removed")
    _save_snapshot(uri)


def import_codes(uri: str, codes: Path) -> None:
    """Imports a codes folder into a store, and prints the size of the store."""
    unreadable = Unreadable()
    store = import_codes_folder(codes, uri, on_unreadable=unreadable)
    unreadable.summarize()
    print(f"{len(store):,} pictures in {printable(uri)}")
    _save_snapshot(uri)


def print_info(uri: str) -> None:
    """Prints the properties of a store, such as its size and version."""
    store = open_store(uri)
    manifest, steps = store.manifest, store.manifest.preprocessing
    facts = {
        "store": uri,
        "pictures": f"{len(store):,}",
        "labelled": f"{store.count('label IS NOT NULL'):,}",
        "bits": f"{manifest.bits} in {manifest.code_bytes} bytes",
        "bit order": manifest.bit_order,
        "backbone": manifest.backbone,
        "preprocessing": f"resize to {steps['resize'][0]}, centre crop {steps['centre_crop'][0]}",
        "weights SHA-256": manifest.weights_sha256,
        "created by": manifest.package,
        "version": store.version,
    }
    for name, content in facts.items():
        print(f"{name + ':':<17} {printable(str(content))}")


def _engine(
    name: str, batch_size: int, devices: int | None, address: str | None, workers: int | None
) -> Engine:
    if name == "ray":
        if devices is not None:
            raise ValueError(
                "`devices` must not be given with `engine='ray'`, whose workers use one device "
                "each. Set `workers` instead."
            )
        return RayEngine(address, batch_size, workers)
    if (address, workers) != (None, None):
        raise ValueError("`address` and `workers` need `engine='ray'`.")
    return LocalEngine(batch_size, local_devices(devices))


def _folder_name(path: str) -> str:
    return Path(path).parent.name


def _open_or_create(uri: str, run: Path) -> Store:
    if store_exists(uri):
        return open_store(uri)
    return create_store(uri, StoreManifest.of_run(run))


def _save_snapshot(uri: str) -> None:
    """Saves the snapshot of a local store, so that the next search need not import LanceDB."""
    if is_local(uri):  # Nothing can be saved for other stores, and reading them is expensive.
        save_snapshot(open_store(uri))


def _print_change(kind: str, path: str) -> None:
    print(f"{_SIGNS[kind]} {printable(path)}")
