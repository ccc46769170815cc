"""A small version of the kills of updates of a store."""

import random

import pytest

from tests.fuzz.store_kills import Attack

pytest.importorskip("lancedb")


@pytest.mark.slow
def test_an_update_that_is_killed_and_repeated_ends_in_the_same_store(tmp_path):
    attack = Attack(tmp_path, 200, random.Random(0))
    attack.run(3)
    assert len(attack.kills) == 3
    assert attack.ends > 0
    assert (attack.differing, attack.failures) == (0, [])
