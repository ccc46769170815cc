"""Requests are gathered into batches."""

import asyncio
import contextlib
import threading
import time

import pytest

from hashnet_jax.index.service import _batching
from hashnet_jax.index.service._batching import Batcher


async def ready(item):
    return item


class Recorder:
    """Doubles its items, and records its batches; the first one waits for ``release``."""

    def __init__(self):
        self.batches, self.release, self.started = [], threading.Event(), threading.Event()

    def __call__(self, items):
        self.batches.append(list(items))
        self.started.set()
        assert self.release.wait(10)
        if "bad" in items:
            raise ValueError("a bad item")
        return [2 * item for item in items]


@contextlib.asynccontextmanager
async def batcher_of(process, size):
    sizes = []
    batcher = Batcher(process, size=size, on_batch=sizes.append)
    batcher.sizes = sizes
    task = asyncio.create_task(batcher.run())
    yield batcher
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def submitted(batcher, items):
    return [asyncio.create_task(batcher.submit(ready(item))) for item in items]


async def first_started(process, batcher, item):
    """Submits an item, and waits until its batch is being processed."""
    (task,) = submitted(batcher, [item])
    await asyncio.to_thread(process.started.wait)
    return task


def test_items_that_arrive_during_a_batch_are_gathered_up_to_the_size():
    async def main():
        process = Recorder()
        async with batcher_of(process, 4) as batcher:
            first = await first_started(process, batcher, 0)
            others = submitted(batcher, range(1, 7))
            await asyncio.sleep(0.01)
            process.release.set()
            assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10, 12]
            assert process.batches == [[0], [1, 2, 3, 4], [5, 6]]
            assert batcher.sizes == [1, 4, 2]

    asyncio.run(main())


def test_an_error_reaches_all_items_of_the_batch_and_none_of_the_next():
    async def main():
        process = Recorder()
        async with batcher_of(process, 2) as batcher:
            first = await first_started(process, batcher, 0)
            others = submitted(batcher, ["bad", 1, 2])
            await asyncio.sleep(0.01)
            process.release.set()
            results = await asyncio.gather(first, *others, return_exceptions=True)
            assert [str(result) for result in results] == ["0", "a bad item", "a bad item", "4"]

    asyncio.run(main())


def test_an_item_that_cannot_be_prepared_is_not_processed():
    async def broken():
        raise ValueError("not a picture")

    async def main():
        process = Recorder()
        process.release.set()
        async with batcher_of(process, 2) as batcher:
            with pytest.raises(ValueError, match="not a picture"):
                await batcher.submit(broken())
            assert await batcher.submit(ready(3)) == 6
        assert process.batches == [[3]]

    asyncio.run(main())


def test_an_item_whose_request_was_given_up_is_not_processed():
    async def main():
        process = Recorder()
        async with batcher_of(process, 1) as batcher:
            first = await first_started(process, batcher, 0)
            given_up, last = submitted(batcher, [1, 2])
            await asyncio.sleep(0.01)
            given_up.cancel()
            process.release.set()
            assert await asyncio.gather(first, last) == [0, 4]
        assert process.batches == [[0], [2]]

    asyncio.run(main())


def test_a_single_request_does_not_wait_for_others(monkeypatch):
    monkeypatch.setattr(_batching, "GATHER_SECONDS", 60)

    async def main():
        process = Recorder()
        process.release.set()
        async with batcher_of(process, 8) as batcher:
            return await asyncio.wait_for(batcher.submit(ready(1)), 5)

    assert asyncio.run(main()) == 2


def test_a_batch_waits_briefly_for_pictures_that_are_being_decoded(monkeypatch):
    monkeypatch.setattr(_batching, "GATHER_SECONDS", 5)

    async def main():
        process, decoded = Recorder(), asyncio.Event()
        process.release.set()

        async def decode():
            await decoded.wait()
            return 2

        async with batcher_of(process, 2) as batcher:
            slow = asyncio.create_task(batcher.submit(decode()))
            (fast,) = submitted(batcher, [1])
            await asyncio.sleep(0.02)
            decoded.set()
            start = time.perf_counter()
            assert await asyncio.gather(fast, slow) == [2, 4]
            assert time.perf_counter() - start < 4
        assert process.batches == [[1, 2]]

    asyncio.run(main())
