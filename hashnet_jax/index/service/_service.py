"""The state of a search service: the compiled network, and the newest snapshot of the store."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from jaxtyping import Int64, UInt8

from hashnet_jax.distributed.devices import Device, local_devices
from hashnet_jax.index._store import open_store
from hashnet_jax.index.service._batching import Batcher
from hashnet_jax.index.service._encoder import Encoder
from hashnet_jax.index.service._limits import Limits, try_again
from hashnet_jax.index.service._metrics import Metrics
from hashnet_jax.index.service._pictures import Thumbnails, decode_upload, picture_format
from hashnet_jax.index.service._searcher import Searcher
from hashnet_jax.index.service._writer import Writer, reopen
from hashnet_jax.model import HashNetParams

_log = logging.getLogger("hashnet_jax")

Value = TypeVar("Value")
Code = UInt8[np.ndarray, " bytes"]
# The searched snapshot, and the distances and rows of the neighbours in it.
Found = tuple[Searcher, Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]


class Service:
    """Encodes pictures and searches a store, for any number of concurrent requests.

    The service keeps no state except what it has read from the store, so several services can share
    one store. Its coroutines may only be called inside the context of :meth:`running`.

    Args:
      params: the network.
      store: store folder or location in object storage, with codes computed by this network.
      limits: limits on requests.
      batch_size: number of pictures per batch, >= 1.
      poll_seconds: number of seconds between checks for a new version of the store.
      uploads: folder for uploaded pictures; None to refuse uploads.
      device: device for the network; None for the first local device.

    Attributes:
      limits: limits on requests.
      metrics: the metrics of the service.
      current: the searcher of the newest snapshot.
      fault: the reason that the newest version of the store cannot be read, or "".
      failure: the exception that prevented the network from being compiled, or None.

    Raises:
      FileNotFoundError: if there is no store.
      ValueError: if the store is damaged, its codes and the network differ in number of bits, or an
        argument is out of range.
    """

    def __init__(
        self,
        params: HashNetParams,
        store: str | os.PathLike[str],
        *,
        limits: Limits,
        batch_size: int = 4,
        poll_seconds: float = 1.0,
        uploads: Path | None = None,
        device: Device | None = None,
    ) -> None:
        if not poll_seconds > 0:
            raise ValueError(f"`poll_seconds` must be > 0, got {poll_seconds}.")
        self.limits, self.metrics, self._thumbnails = limits, Metrics(), Thumbnails()
        self.fault, self.failure = "", None
        self._uri, self._poll_seconds = os.fspath(store), poll_seconds
        opened = open_store(store)
        if opened.manifest.bits != params.spec.bits:
            raise ValueError(
                f"`store` must contain {params.spec.bits}-bit codes to match the network, but the "
                f"codes in {self._uri} have {opened.manifest.bits} bits. Choose a store with codes "
                "from this network."
            )
        self._use(Searcher(opened.snapshot()))
        self._writer = Writer(self._uri, opened.manifest, uploads)
        device = local_devices(1)[0] if device is None else device
        self._encoder = Encoder(params, batch_size=batch_size, device=device)
        self._batcher: Batcher[UInt8[np.ndarray, "S S 3"], Code] = Batcher(
            self._encoder, size=batch_size, on_batch=self.metrics.batch_size.observe
        )
        workers = os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(workers, "decode")
        self._searchers = ThreadPoolExecutor(workers, "search")
        self._watching = ThreadPoolExecutor(1, "watch")
        self._writing = ThreadPoolExecutor(1, "write")
        self._compiled, self._changed = asyncio.Event(), asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the network has been compiled."""
        return self._compiled.is_set()

    @contextlib.asynccontextmanager
    async def running(self, on_compiled: Callable[[], object]) -> AsyncIterator[None]:
        """Compiles the network in the background, and watches the store.

        Args:
          on_compiled: called once, when the network has been compiled or has failed to compile.
        """
        tasks = [
            asyncio.create_task(work)
            for work in (self._compile(on_compiled), self._batcher.run(), self._watch())
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for pool in (self._decoders, self._searchers, self._watching, self._writing):
                pool.shutdown(cancel_futures=True)

    async def search_picture(self, file: BinaryIO, k: int) -> tuple[Code, Found]:
        """Returns the code of an uploaded picture, and its k nearest neighbours."""
        code, _ = await self._encode(file)
        return code, await self.search_code(code, k)

    async def search_code(self, code: Code, k: int) -> Found:
        """Returns the k nearest neighbours of a packed code."""
        searcher = self.current
        return searcher, *await self._in(self._searchers, searcher.nearest, code, k)

    async def add(self, file: BinaryIO, label: str | None) -> tuple[str, int]:
        """Adds an uploaded picture to the store; returns its id and the new version."""
        code, data = await self._encode(file)
        suffix = picture_format(data, max_pixels=self.limits.max_pixels)
        added = await self._in(self._writing, self._writer.add, data, suffix, code, label)
        self._changed.set()
        return added

    async def remove(self, picture: str) -> int:
        """Removes a picture from the store; returns the new version."""
        version = await self._in(self._writing, self._writer.remove, picture)
        self._changed.set()
        return version

    async def thumbnail(self, path: str, known: str | None) -> tuple[str, bytes | None]:
        """Returns the tag and the content of a thumbnail, see :meth:`Thumbnails.jpeg`."""
        return await self._in(self._decoders, self._thumbnails.jpeg, path, known)

    async def _encode(self, file: BinaryIO) -> tuple[Code, bytes]:
        """Returns the code and the content of an uploaded picture."""
        if not self.ready:
            raise try_again(503, "The network is still being compiled.")
        content = b""

        def decode() -> UInt8[np.ndarray, "S S 3"]:
            nonlocal content
            content = file.read()  # in this thread, because an upload can be a file on disk
            side, max_pixels = self._encoder.side, self.limits.max_pixels
            return decode_upload(content, side=side, max_pixels=max_pixels)

        code = await self._batcher.submit(self._in(self._decoders, decode))
        return code, content

    async def _in(
        self, pool: ThreadPoolExecutor, function: Callable[..., Value], *args: object
    ) -> Value:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    async def _compile(self, on_compiled: Callable[[], object]) -> None:
        try:
            await self._in(self._watching, self._encoder.compile)
        except Exception as error:  # reported by the caller that started the service
            self.failure = error
        else:
            self._compiled.set()
        on_compiled()

    async def _watch(self) -> None:
        """Replaces the snapshot whenever the store has changed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._changed.wait()
            self._changed.clear()
            try:
                newest = await self._in(self._watching, self._newest)
            except Exception as error:  # whatever the error, the version in use is still valid
                self._note_fault(str(error))
            else:
                self.fault = ""
                if newest is not None:
                    self._use(newest)

    def _newest(self) -> Searcher | None:
        """Reads the newest version of the store; returns None if that version is already in use."""
        # An open store does not notice if it is replaced with another one, which could even have
        # the same version.
        used = self.current.snapshot
        store = reopen(self._uri, used.manifest)
        if (store.version, len(store)) == (used.version, len(used)):
            return None
        return Searcher(store.snapshot())

    def _use(self, searcher: Searcher) -> None:
        self.current = searcher
        self.metrics.version.set(searcher.snapshot.version)
        self.metrics.codes.set(len(searcher))

    def _note_fault(self, fault: str) -> None:
        self.metrics.faults.inc()
        if fault != self.fault:
            _log.warning("the service continues with an earlier version of the store: %s", fault)
        self.fault = fault
