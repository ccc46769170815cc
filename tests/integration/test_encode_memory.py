"""The memory of `hashnet encode` at 500 and 5,000 pictures, too slow for the other tests."""

from benchmarks import encode_memory


def test_peak_memory_is_the_same_at_500_and_5000_pictures():
    results = encode_memory.measure([500, 5_000], side=160)
    (few, _), (many, _) = results[500], results[5_000]
    # 4,500 more decoded pictures in memory would take 330 MiB; allocators alone make runs differ by
    # up to a tenth.
    assert many < 1.25 * few
