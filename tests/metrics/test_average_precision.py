"""Compares average precision over all orders of ties with brute force and scikit-learn."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from hashnet_jax.metrics import DIVISORS, DistanceCounts, average_precision
from hashnet_jax.metrics._ties import harmonic_difference, hits_within


def all_orders(relevant, total):
    """Returns the ranking for every order of ties, all equally likely, as 0/1 relevance by rank."""
    groups = [
        [np.isin(np.arange(n), hits).astype(float) for hits in itertools.combinations(range(n), r)]
        for r, n in zip(relevant, total, strict=True)
    ]
    return [np.concatenate(order) for order in itertools.product(*groups)]


def ap_of_ranking(ranking, cutoff, divisor):
    """Returns (AP@R, whether there is a hit) for one ranking, computed from the definition."""
    first = ranking[:cutoff]
    total = np.sum(np.cumsum(first) / np.arange(1, len(first) + 1) * first)
    divisors = {"hits": first.sum(), "min": min(cutoff, ranking.sum()), "cutoff": cutoff}
    return (total / divisors[divisor], True) if first.any() else (0.0, False)


@st.composite
def group_counts(draw, max_group=5, max_groups=4):
    total = draw(st.lists(st.integers(0, max_group), min_size=2, max_size=max_groups))
    total[0] += sum(total) == 0
    return [draw(st.integers(0, n)) for n in total], total


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(group_counts(), st.integers(1, 14), st.sampled_from(DIVISORS))
def test_worst_expected_and_best_equal_brute_force_over_all_orders(counts, cutoff, divisor):
    relevant, total = counts
    result = average_precision(
        DistanceCounts(np.array([relevant]), np.array([total])), cutoff=cutoff, divisor=divisor
    )
    values = [ap_of_ranking(ranking, cutoff, divisor) for ranking in all_orders(relevant, total)]
    with_hit = [ap for ap, hit in values if hit] or [0.0]
    np.testing.assert_allclose(result.worst, min(with_hit), atol=1e-13)
    np.testing.assert_allclose(result.expected, np.mean([ap for ap, _ in values]), atol=1e-13)
    np.testing.assert_allclose(result.best, max(with_hit), atol=1e-13)
    np.testing.assert_allclose(result.hit_probability, np.mean([hit for _, hit in values]))
    assert result.may_miss == any(not hit for _, hit in values)


def test_no_cutoff_equals_a_cutoff_at_the_size_of_the_database():
    counts = random_counts(queries=20, database=300, bits=12, classes=4)
    for divisor in DIVISORS:
        for a, b in zip(
            average_precision(counts, divisor=divisor),
            average_precision(counts, cutoff=300, divisor=divisor),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-13)


def test_the_fewest_hits_at_the_cutoff_do_not_always_give_the_lowest_ap():
    # Ranks 1..2 are hits; of the next six codes, three of them relevant, four are within R = 6.
    # The worst order has two of them last: (1 + 1 + 3/5 + 4/6) / 4, against (1 + 1 + 3/6) / 3.
    counts = DistanceCounts(np.array([[2, 3]]), np.array([[2, 6]]))
    np.testing.assert_allclose(
        average_precision(counts, cutoff=6).worst, (2 + 3 / 5 + 4 / 6) / 4, rtol=1e-14
    )


@pytest.mark.parametrize("divisor", DIVISORS)
def test_tie_free_rankings_equal_scikit_learn(divisor):
    rng = np.random.default_rng(3)
    relevant = (rng.random((30, 65)) < 0.2).astype(int)
    relevant[:, 40] = 1
    result = average_precision(DistanceCounts(relevant, np.ones_like(relevant)), divisor=divisor)
    scores = -np.arange(65.0)
    expected = np.array([average_precision_score(row, scores) for row in relevant])
    if divisor == "cutoff":
        expected *= relevant.sum(axis=1) / 65
    for value in (result.worst, result.expected, result.best):
        np.testing.assert_allclose(value, expected, atol=1e-12)


def random_counts(queries, database, bits, classes, seed=0):
    """Generates counts in which relevant codes are nearer than the rest, as for trained codes."""
    rng = np.random.default_rng(seed)
    distance = np.arange(bits + 1)
    near, far = (
        np.exp(-(((distance - center * bits) / (0.06 * bits)) ** 2)) for center in (0.2, 0.5)
    )
    own = rng.integers(1, 2 * database // classes + 1, queries)
    relevant = rng.multinomial(own, near / near.sum())
    others = rng.multinomial(database - own, 0.1 * near / near.sum() + 0.9 * far / far.sum())
    return DistanceCounts(relevant.astype(np.int32), (relevant + others).astype(np.int32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("database", "cutoff", "bits", "divisor"),
    [
        (40, 7, 7, "hits"),
        (1000, 100, 12, "min"),
        (100_000, 5_000, 64, "hits"),
        (100_000, 5_000, 64, "cutoff"),
        (100_000, None, 16, "hits"),
        (1_000_000, 50_000, 64, "hits"),
    ],
)
def test_float32_on_device_equals_float64_to_1e_minus_6(database, cutoff, bits, divisor):
    counts = random_counts(queries=40, database=database, bits=bits, classes=10)
    jitted = jax.jit(average_precision, static_argnames=("cutoff", "divisor"))
    on_device = jitted(jax.tree.map(jnp.asarray, counts), cutoff=cutoff, divisor=divisor)
    on_host = average_precision(counts, cutoff=cutoff, divisor=divisor)
    for name in ("worst", "expected", "best", "hit_probability"):
        value = getattr(on_device, name)
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, getattr(on_host, name), atol=1e-6, rtol=0)
    np.testing.assert_array_equal(on_device.may_miss, on_host.may_miss)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-15), (jnp.float32, 3e-7)])
def test_harmonic_differences_keep_their_relative_precision(dtype, rtol):
    low = np.array([0, 0, 3, 15, 16, 17, 99_990, 99_999, 50, 7])
    high = np.array([0, 1, 20, 16, 17, 40, 100_000, 100_000, 100_000, 7])
    exact = [math.fsum(1 / k for k in range(a + 1, b + 1)) for a, b in zip(low, high, strict=True)]
    xp = np if dtype is np.float64 else jnp
    result = harmonic_difference(xp.asarray(low, dtype), xp.asarray(high, dtype))
    np.testing.assert_allclose(result, exact, rtol=rtol)


@pytest.mark.parametrize(
    ("size", "hits", "inside"), [(9, 4, 3), (9, 9, 3), (9, 0, 3), (9, 5, 0), (2000, 700, 400)]
)
def test_hits_within_equal_binomial_coefficients(size, hits, inside):
    numbers, probabilities = hits_within(
        *(np.array([[float(x)]]) for x in (size, hits, inside)), reach=120
    )
    for number, probability in zip(numbers[0].astype(int), probabilities[0], strict=True):
        ways = 0
        if 0 <= number <= min(hits, inside) and inside - number <= size - hits:
            ways = math.comb(hits, number) * math.comb(size - hits, inside - number)
        np.testing.assert_allclose(probability, ways / math.comb(size, inside), atol=1e-14)


def test_the_expectation_includes_every_number_of_hits_at_a_large_cutoff():
    # A group of 20,000 straddles R = 1,200 after 200 codes with 120 hits, all of them first.
    before, size, relevant, inside = 200, 20_000, 9_000, 1_000
    counts = DistanceCounts(np.array([[120, 0, relevant]]), np.array([[120, 80, size]]))
    places = np.arange(inside)
    expected = 0.0
    for hits in range(1, inside + 1):
        ways = math.comb(relevant, hits) * math.comb(size - relevant, inside - hits)
        found = 120 + 1 + places * (hits - 1) / (inside - 1)
        total = 120 + hits / inside * np.sum(found / (before + 1 + places))
        expected += ways / math.comb(size, inside) * total / (120 + hits)
    result = average_precision(counts, cutoff=before + inside)
    np.testing.assert_allclose(result.expected, expected, rtol=1e-13)


@pytest.mark.bad_input
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"divisor": "relevant"},
            ValueError,
            r"`divisor` must be one of \('hits', 'min', 'cutoff'\)",
        ),
        ({"cutoff": 0}, ValueError, "`cutoff` must be >= 1, got 0"),
        ({"cutoff": 10.0}, TypeError, "`cutoff` must be an int, got float 10.0"),
    ],
)
def test_options_out_of_range_are_rejected(options, error, message):
    with pytest.raises(error, match=message):
        average_precision(random_counts(2, 10, 7, 2), **options)


@pytest.mark.bad_input
def test_malformed_counts_are_rejected():
    ones = np.ones((2, 8), int)
    with pytest.raises(ValueError, match=r"\[Q, K\+1\].*got \(2, 8\) and \(2, 7\)"):
        average_precision(DistanceCounts(ones, ones[:, 1:]))
    with pytest.raises(ValueError, match="at least one query"):
        average_precision(DistanceCounts(ones[:0], ones[:0]))
    with pytest.raises(TypeError, match="must have an integer dtype, got float64"):
        average_precision(DistanceCounts(ones / 2, ones))
