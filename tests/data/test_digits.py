"""scikit-learn's digits."""

import numpy as np

from hashnet_jax.data import DATASETS, Options


def test_digits_are_split_as_requested_and_the_same_way_for_the_same_seed():
    options = Options(queries_per_class=20, train_per_class=100, train_in_database=False)
    dataset, again = DATASETS["digits"](options), DATASETS["digits"](options)
    assert dataset.split.sizes() == {
        "train": 1000,
        "query": 200,
        "database": 597,
        "validation": 0,
    }
    np.testing.assert_array_equal(dataset.split.query, again.split.query)
    assert dataset.source[0].shape == (8, 8, 3)
    assert max(dataset.source[i].max() for i in range(20)) == 255
