"""Tests for connected components of codes, against all pairwise distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashnet_jax.index import _components
from hashnet_jax.index._components import components


def brute_force(codes, radius):
    """Components by repeated passes over all pairs."""
    close = np.bitwise_count(codes[:, None] ^ codes[None]).sum(axis=-1) <= radius
    label = np.arange(len(codes))
    while True:
        smallest = np.where(close, label[None, :], len(codes)).min(axis=1)
        if (smallest == label).all():
            return label
        label = smallest


def same_groups(first, second):
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    return len(pairs) == len(set(first.tolist())) == len(set(second.tolist()))


@given(
    bits=st.sampled_from([3, 8, 12, 48, 64, 65, 130]),
    number=st.integers(1, 30),
    radius=st.integers(0, 9),
    flips=st.sampled_from([0.0, 0.02, 0.1, 0.5]),
    all_pairs=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=50, deadline=None)
def test_components_equal_those_of_all_pairwise_distances(
    bits, number, radius, flips, all_pairs, seed
):
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 2, (4, bits))
    flipped = rng.random((number, bits)) < flips
    codes = np.packbits(centres[rng.integers(0, 4, number)] ^ flipped, axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_components, "_COST_OF_KEYS", 2**60 if all_pairs else 0)
        patch.setattr(_components, "_PAIRS_PER_MERGE", 5)
        found = components(codes, bits, radius)
    assert same_groups(found, brute_force(codes, radius))


def test_a_chain_of_links_is_one_component():
    chain = np.packbits(np.tri(40, 40, -1, dtype=np.uint8), axis=1)
    assert set(components(chain, 40, 1).tolist()) == {0}
    assert len(set(components(chain[::2], 40, 1).tolist())) == 20
    assert set(components(chain[::2], 40, 2).tolist()) == {0}


def test_spread_codes_are_not_all_compared(monkeypatch):
    """Of 2,000 random codes, only those with an equal part are compared."""
    codes = np.random.default_rng(0).integers(0, 256, (2000, 8), dtype=np.uint8)
    compared = []
    linked = _components._linked_with_equal_keys

    def counted(words, key, radius, progress):
        compared.append(_components._count(key))
        return linked(words, key, radius, progress)

    monkeypatch.setattr(_components, "_linked_with_equal_keys", counted)
    components(codes, 64, 2)
    assert len(compared) == 3
    assert sum(compared) < 100
    del compared[:]
    components(codes, 64, 20)
    assert compared == [2000 * 1999 // 2]


def test_progress_is_shown_only_if_many_pairs_are_compared(monkeypatch, capsys):
    codes = np.arange(64, dtype=np.uint8)[:, None]
    components(codes, 8, 1)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(_components, "_SHOWN_FROM", 1)
    components(codes, 8, 1)
    assert "comparing codes: " in capsys.readouterr().err
