"""Encodes pictures on all nodes of a Ray cluster."""

import dataclasses
import itertools
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import UInt8

from hashnet_jax.codes import bytes_per_code
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index._engine import Encoded
from hashnet_jax.index._picture_file import PictureFile
from hashnet_jax.index._stream import Files, check_batch_size, encode_files
from hashnet_jax.model import check_finite
from hashnet_jax.weights import MODEL_FILE, load, read_spec

# Paths are passed to Ray in portions to bound the memory of this process. The workers restart and
# reload the network for each portion.
PATHS_PER_PORTION = 2**20
# A worker decodes the next batches of its task while it encodes one.
BATCHES_PER_TASK = 8

_SCHEMA = pa.schema(
    [
        ("path", pa.utf8()),
        ("reason", pa.utf8()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.binary(32)),
        ("code", pa.binary()),
    ]
)


@dataclasses.dataclass(frozen=True)
class RayEngine:
    """Encodes pictures on the nodes of a Ray cluster.

    By default, there is one worker per GPU, or one per node if the cluster has no GPUs. All nodes
    must have this version of hashnet_jax installed, and be able to read the pictures at the same
    paths, e.g. on a network file system. The network is sent to all workers. A worker that is lost
    is replaced, and its pictures are encoded again.

    Attributes:
      address: address of the cluster, e.g. "ray://head:10001", or "auto" if this machine is one of
        its nodes; None to start Ray on this machine.
      batch_size: number of pictures per batch on one device. A
        :class:`hashnet_jax.index.LocalEngine` with the same batch size and one device of the same
        kind computes the same codes.
      workers: number of workers; None for one per GPU, or one per node if the cluster has no GPUs.

    Raises:
      ValueError: if ``batch_size`` or ``workers`` < 1.
    """

    address: str | None = None
    batch_size: int = 64
    workers: int | None = None

    def __post_init__(self) -> None:
        check_batch_size(self.batch_size, 1)
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"`workers` must be >= 1, got {self.workers}.")

    def __call__(self, run: str | Path, paths: Iterator[str]) -> Encoded:
        """Encodes the pictures; does not connect to Ray if there are no pictures."""
        width = bytes_per_code(read_spec(run).bits)
        while portion := list(itertools.islice(paths, PATHS_PER_PORTION)):
            ray = _connect(self.address)
            model = ray.put((Path(run) / MODEL_FILE).read_bytes())
            for table in self._encode(ray, model, portion):
                yield _unpacked(table, width)

    def _encode(self, ray: ModuleType, model: Any, paths: Sequence[str]) -> Iterator[pa.Table]:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        nodes = sum(node["Alive"] for node in ray.nodes())
        per_task = BATCHES_PER_TASK * self.batch_size
        # Each table becomes a block, and each block a task, so all batches but the last are full.
        tables = [
            pa.table({"path": paths[start : start + per_task]})
            for start in range(0, len(paths), per_task)
        ]
        encoded = ray.data.from_arrow(tables).map_batches(
            _Encoder,
            fn_constructor_args=(model, self.batch_size),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=self.workers or gpus or nodes),
            num_gpus=1 if gpus else 0,
        )
        yield from encoded.iter_batches(batch_size=None, batch_format="pyarrow")


class _Encoder:
    """A Ray worker that loads the network once and encodes batches on its device.

    Args:
      model: the bytes of `model.npz`, in Ray's object store.
      batch_size: number of pictures per batch.
    """

    def __init__(self, model: Any, batch_size: int) -> None:
        import ray

        with tempfile.TemporaryDirectory() as folder:
            Path(folder, MODEL_FILE).write_bytes(ray.get(model))
            self._params = load(folder)
        check_finite(self._params)
        self._batch_size = batch_size

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encodes the pictures whose paths are in the column ``path``."""
        batches = encode_files(
            lambda: self._params,
            table["path"].to_pylist(),
            side=self._params.spec.resize,
            devices=local_devices(1),
            batch_size=self._batch_size,
        )
        packed = [_packed(*batch) for batch in batches]
        return pa.concat_tables([_SCHEMA.empty_table(), *packed])


def _packed(paths: Sequence[Any], files: Files, codes: UInt8[np.ndarray, "n bytes"]) -> pa.Table:
    """Converts a batch to a table; ``_unpacked`` does the reverse."""
    rows, left = [], iter(codes)
    for path, file in zip(paths, files, strict=True):
        if isinstance(file, PictureFile):
            row = {"reason": None, **file._asdict(), "code": next(left).tobytes()}
        else:
            row = {"reason": file, "size": None, "mtime_ns": None, "sha256": None, "code": None}
        rows.append({"path": path, **row})
    return pa.Table.from_pylist(rows, _SCHEMA)


def _unpacked(
    table: pa.Table, width: int
) -> tuple[tuple[str, ...], Files, UInt8[np.ndarray, "n bytes"]]:
    """Returns the paths, the file states and the packed codes in a worker's table."""
    files: Files = [
        row["reason"]
        if row["code"] is None
        else PictureFile(row["size"], row["mtime_ns"], row["sha256"])
        for row in table.to_pylist()
    ]
    codes = b"".join(table["code"].drop_null().to_pylist())
    array = np.frombuffer(codes, np.uint8).reshape(-1, width)
    return tuple(table["path"].to_pylist()), files, array


def _connect(address: str | None) -> ModuleType:
    """Imports Ray and connects to the cluster."""
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "ray is needed to encode on a cluster. Install it with "
            "pip install 'hashnet_jax[cluster]'."
        ) from error
    if not ray.is_initialized():
        with warnings.catch_warnings():
            # Ray starts its processes by fork and exec, which is safe while threads of JAX are
            # running.
            warnings.filterwarnings("ignore", "(os.fork|lancedb fork)", RuntimeWarning)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    # The update shows its own progress.
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
