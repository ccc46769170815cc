"""Gathers the items of concurrent requests into batches."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How long a batch waits for requests whose pictures are still being decoded. If there is only one
# request, it does not wait.
GATHER_SECONDS = 0.005


class Batcher(Generic[Item, Result]):
    """Processes items in batches in a separate thread.

    While a batch is being processed, the items that arrive are gathered for the next one. The queue
    holds up to one item per caller of :meth:`submit`, so the number of callers must be limited.

    Args:
      process: maps a list of 1 to ``size`` items to the list of their results.
      size: maximum number of items per batch.
      on_batch: function that is called for each batch with the number of items in it.
    """

    def __init__(
        self,
        process: Callable[[list[Item]], Sequence[Result]],
        *,
        size: int,
        on_batch: Callable[[int], object],
    ) -> None:
        self._process, self._size, self._on_batch = process, size, on_batch
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]]] = asyncio.Queue()
        self._coming = 0
        self._thread = ThreadPoolExecutor(1, "batch")

    async def submit(self, item: Awaitable[Item]) -> Result:
        """Waits for an item, and returns its result.

        Raises any error that ``item`` or the processing of its batch raises. If the caller is
        cancelled while the item is in the queue, the item is not processed.
        """
        self._coming += 1
        try:
            ready = await item
        finally:
            self._coming -= 1
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((ready, future))
        return await future

    async def run(self) -> None:
        """Processes batches until the task is cancelled."""
        try:
            while True:
                batch = await self._gather()
                waiting = [(item, future) for item, future in batch if not future.done()]
                if waiting:
                    await self._answer(waiting)
        finally:
            self._thread.shutdown(cancel_futures=True)

    async def _gather(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch = [await self._queue.get()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                while len(batch) < self._size and (self._coming or not self._queue.empty()):
                    batch.append(await self._queue.get())
        return batch

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        self._on_batch(len(batch))
        items = [item for item, _ in batch]
        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, self._process, items)
        except Exception as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
