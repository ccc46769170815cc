"""The authors' evaluation, run on tie-free rankings, against ours."""

import os
from pathlib import Path

import numpy as np
import pytest

from hashnet_jax.metrics import CONVENTIONS, evaluate

SHARED = Path(os.environ.get("HASHNET_SHARED", Path(__file__).parents[3] / "shared"))
KEYS = ("query", "database", "query_label", "database_labels", "topk")


@pytest.mark.parametrize("convention", ["hashnet-pytorch", "deephash-pytorch"])
def test_map_equals_the_authors_figures_under_both_no_hit_conventions(convention):
    golden = np.load(SHARED / "golden" / "average_precision.npz")
    options = CONVENTIONS[convention]
    name = {"drop": "map_no_hit_dropped", "zero": "map_no_hit_zero"}[options["no_hit"]]
    checked = 0
    for case in range(3):
        for query in range(6):
            of = {key: golden[f"case{case}_query{query}_{key}"] for key in KEYS} | {
                "map": golden[f"case{case}_query{query}_{name}"]
            }
            result = evaluate(
                np.packbits(of["query"][None] > 0, axis=1),
                np.packbits(of["database"] > 0, axis=1),
                of["query_label"][None],
                of["database_labels"],
                bits=of["query"].size,
                cutoff=int(of["topk"]),
                **options,
            ).mean_average_precision
            for value in (result.worst, result.expected, result.best):
                np.testing.assert_allclose(value, of["map"], atol=1e-9, equal_nan=True)
            checked += 1
    assert checked == 18
