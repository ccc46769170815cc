"""`hashnet encode` at 500 and at 5,000 pictures, which takes too long for the other tests."""

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[2] / "benchmarks" / "encode_memory.py"


def test_peak_memory_is_the_same_at_500_and_5000_pictures():
    spec = importlib.util.spec_from_file_location("encode_memory", FILE)
    encode_memory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(encode_memory)
    results = encode_memory.measure([500, 5_000], side=160)
    (few, _), (many, _) = results[500], results[5_000]
    # Held in memory, 4,500 decoded pictures more would be 330 MiB; allocators alone make runs
    # differ by up to a tenth.
    assert many < 1.25 * few
