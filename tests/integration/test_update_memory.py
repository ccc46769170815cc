"""Tests the memory that `hashnet index update` uses for 500 and for 5,000 pictures."""

from benchmarks import update_memory


def test_peak_memory_is_the_same_at_500_and_5000_pictures():
    results = update_memory.measure([500, 5_000], side=160)
    (few, _), (many, _) = results[500], results[5_000]
    # Holding 4,500 more decoded pictures would take 330 MiB. Because of the memory allocator, runs
    # differ by up to a tenth anyway.
    assert many < 1.25 * few
