"""Compares our MAP with the authors' evaluation code on rankings without ties."""

import numpy as np
import pytest

from hashnet_jax.metrics import CONVENTIONS, evaluate
from tests.integration import SHARED

NAMES = ("query", "database", "query_label", "database_labels", "topk")
MAP_NAMES = {"drop": "map_no_hit_dropped", "zero": "map_no_hit_zero"}


@pytest.mark.parametrize("convention", ["hashnet-pytorch", "deephash-pytorch"])
@pytest.mark.parametrize("case", range(3))
def test_map_equals_the_authors_under_both_no_hit_conventions(convention, case):
    with np.load(SHARED / "golden" / "average_precision.npz") as file:
        golden = dict(file)
    options = CONVENTIONS[convention]
    for query in range(6):
        arrays = {name: golden[f"case{case}_query{query}_{name}"] for name in NAMES}
        expected = golden[f"case{case}_query{query}_{MAP_NAMES[options['no_hit']]}"]
        result = evaluate(
            np.packbits(arrays["query"][None] > 0, axis=1),
            np.packbits(arrays["database"] > 0, axis=1),
            arrays["query_label"][None],
            arrays["database_labels"],
            bits=arrays["query"].size,
            cutoff=int(arrays["topk"]),
            **options,
        ).mean_average_precision
        for value in (result.worst, result.expected, result.best):
            np.testing.assert_allclose(value, expected, atol=1e-9, equal_nan=True)
