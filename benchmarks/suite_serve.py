"""Measures `hashnet serve` under load, compared with running the same network picture by picture.

The service runs in a separate process, and the clients connect through the loopback interface. Each
client sends its next request when it has received the response to the last one. The last row shows
the memory of the service before and after many requests.
"""

import argparse
import asyncio
import contextlib
import functools
import http.client
import importlib.util
import io
import itertools
import math
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from PIL import Image

import hashnet_jax
from benchmarks.measuring import ROOT, Row, missing
from hashnet_jax import HashNetParams, ModelSpec, pack_bits
from hashnet_jax.data.sources import decode_squashed
from hashnet_jax.hamming import top_k
from hashnet_jax.index import StoreManifest, create_store, make_rows, open_store

CLIENTS = (1, 8, 32)
BATCH_SIZES = (4, 1, 8)
SECONDS_PER_ROW = 20.0
REQUESTS_FOR_MEMORY = 20_000
IMAGE_SIZE, PHOTOGRAPH_SIZE = 64, (500, 375)
CODES = 100_000
BOUNDARY = "boundary-of-a-part"

# Sizes for the smoke test.
SMALL_SECONDS, SMALL_REQUESTS, SMALL_CODES = 0.2, 50, 500


def run(options: argparse.Namespace) -> Iterator[Row]:
    small = options.small
    backbone, size = ("small_cnn", 16) if small else ("efficientnet_lite0", IMAGE_SIZE)
    codes = SMALL_CODES if small else CODES
    case = f"{backbone}, {size} px, {codes:,} codes of {options.bits} bits"
    if importlib.util.find_spec("fastapi") is None:
        yield missing("serve", case, "hashnet_jax serve", "fastapi is not installed")
        return
    seconds = SMALL_SECONDS if small else SECONDS_PER_ROW
    with tempfile.TemporaryDirectory() as temporary:
        folder, pictures = pathlib.Path(temporary), make_pictures(8)
        params = write_run(folder, ModelSpec(backbone, options.bits, image_size=size, resize=size))
        write_store(folder, codes)
        yield one_by_one(case, folder, params, pictures, seconds)
        for batch_size in BATCH_SIZES[:1] if small else BATCH_SIZES:
            with served(folder, batch_size) as (host, port):
                requests = [request_of(picture) for picture in pictures]
                load = functools.partial(send, host, port, requests)
                for clients in CLIENTS:
                    by = f"hashnet_jax serve, batch {batch_size}, {clients} clients"
                    yield row_of(case, by, *load(clients, seconds=seconds))
                if batch_size == BATCH_SIZES[0]:
                    number = SMALL_REQUESTS if small else REQUESTS_FOR_MEMORY
                    yield memory_row(case, load, (host, port), number)


def make_pictures(number: int) -> list[bytes]:
    """Returns JPEG files of smooth random pictures."""
    rng, pictures = np.random.default_rng(0), []
    for _ in range(number):
        few = Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8))
        buffer = io.BytesIO()
        few.resize(PHOTOGRAPH_SIZE, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        pictures.append(buffer.getvalue())
    return pictures


def write_run(folder: pathlib.Path, spec: ModelSpec) -> HashNetParams:
    """Writes the run folder of a random network."""
    (folder / "run").mkdir()
    params = hashnet_jax.init(jax.random.key(0), spec)
    hashnet_jax.save(folder / "run", params)
    return params


def write_store(folder: pathlib.Path, number: int) -> None:
    """Writes a store with random codes, whose pictures do not exist."""
    manifest = StoreManifest.of_run(folder / "run")
    store = create_store(folder / "store", manifest)
    codes = np.random.default_rng(0).integers(0, 256, (number, manifest.code_bytes), np.uint8)
    zeros = np.zeros(number, np.int64)
    rows = make_rows(
        manifest,
        ids=[f"pictures/{i:08}.jpg" for i in range(number)],
        codes=codes,
        sizes=zeros,
        mtimes_ns=zeros,
        sha256s=[bytes(32)] * number,
    )
    store.upsert(rows)


@contextlib.contextmanager
def served(folder: pathlib.Path, batch_size: int) -> Iterator[tuple[str, int]]:
    """Runs the service; yields its host and port."""
    command = [sys.executable, "-m", "hashnet_jax.cli", "serve", folder / "run"]
    command += ["--store", folder / "store", "--port", "0", "--batch-size", str(batch_size)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if "http" not in line:
            raise RuntimeError(f"hashnet serve exited with status {process.wait()}.")
        url = urllib.parse.urlsplit(line.split()[-1])
        yield url.hostname, url.port
    finally:
        process.terminate()
        process.communicate()


def request_of(picture: bytes) -> bytes:
    """Returns the bytes of a request that searches for a picture."""
    body = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n'
    ).encode()
    body += picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = (
        "POST /api/search/picture?k=24 HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send(
    host: str,
    port: int,
    requests: Sequence[bytes],
    clients: int,
    *,
    seconds: float = math.inf,
    number: int | None = None,
) -> tuple[list[float], float]:
    """Sends requests for a given time, or a given number of them; any status but 200 is an error.

    Returns:
      ``(latencies, total)``: the time of each request, and the total time, in seconds.
    """
    left, latencies = itertools.cycle(requests), []
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() < end and (number is None or len(latencies) < number):
            start = time.perf_counter()
            writer.write(next(left))
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split()[0]))
            latencies.append(time.perf_counter() - start)
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(f"the service answered {head.splitlines()[0].decode()}.")
        writer.close()
        await writer.wait_closed()

    async def all_clients() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    start = time.perf_counter()
    asyncio.run(all_clients())
    return latencies, time.perf_counter() - start


def one_by_one(
    case: str,
    folder: pathlib.Path,
    params: HashNetParams,
    pictures: Sequence[bytes],
    seconds: float,
) -> Row:
    """Decodes, encodes and searches in a loop, without a service."""
    database = open_store(folder / "store").snapshot().codes
    encode = jax.jit(lambda params, images: pack_bits(hashnet_jax.encode(params, images)))

    def search(picture: bytes) -> None:
        image = decode_squashed(picture, params.spec.resize)
        top_k(np.asarray(encode(params, image[None])), database, 24)[1].block_until_ready()

    database = jax.device_put(database)
    search(pictures[0])
    latencies, start = [], time.perf_counter()
    for picture in itertools.cycle(pictures):
        before = time.perf_counter()
        search(picture)
        latencies.append(time.perf_counter() - before)
        if time.perf_counter() - start > seconds:
            break
    return row_of(case, "hashnet_jax, one by one", latencies, time.perf_counter() - start)


def row_of(case: str, by: str, latencies: Sequence[float], total: float) -> Row:
    """Returns a row with the rate, and the percentiles of the latency in its note."""
    p50, p99 = (1e3 * np.percentile(latencies, q) for q in (50, 99))
    note = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, no errors"
    return Row("serve", case, by, [total], items=len(latencies), unit="requests", note=note)


def memory_row(
    case: str, load: Callable[..., tuple[list[float], float]], address: tuple[str, int], number: int
) -> Row:
    """Sends many requests; the note has the memory of the service before and after."""
    before = resident_mib(*address)
    latencies, total = load(8, number=number)
    row = row_of(case, f"hashnet_jax serve, {number:,} requests", latencies, total)
    row.memory = resident_mib(*address)
    row.note = f"resident memory {before:.0f} MiB before and {row.memory:.0f} MiB after"
    return row


def resident_mib(host: str, port: int) -> float:
    """Returns the resident memory that the service reports."""
    connection = http.client.HTTPConnection(host, port)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    (value,) = [line.split()[1] for line in lines if line.startswith("process_resident_memory")]
    return float(value) / 2**20
