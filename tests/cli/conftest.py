"""Replaces the slow stages of `hashnet train`."""

import pytest

from hashnet_jax.cli import _training
from hashnet_jax.report import bound_result

RESULT = {
    "summary": "MAP@all = 0.5000",
    "map": {
        **{"worst": 0.5, "expected": 0.5, "best": 0.5, "queries": 1, "queries_without_hit": 0.0},
        **{"cutoff": None, "divisor": "hits", "no_hit": "zero"},
    },
    "codes": {"codes": 1, "distinct": 1, "constant_bits": 0, "ones": [0.5], "alarms": []},
    **{"step": 4, "sizes": {"query": 1, "database": 1}, "overlaps": {}, "notes": []},
    **{"variant": "hashnet", "devices": "1 x cpu", "seconds": 1.0},
    "versions": {"hashnet_jax": "0.2.0"},
}


@pytest.fixture
def trained(monkeypatch):
    """Replaces training and evaluation with stubs."""

    def write_result(run, params, *, step, started):
        run.folder.write_json("result.json", bound_result(RESULT, run.folder.path))

    monkeypatch.setattr(_training, "fit", lambda state, *args, **kwargs: (state, None))
    monkeypatch.setattr(_training, "write_result", write_result)
