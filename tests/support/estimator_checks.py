"""Runs scikit-learn's checks on HashTransformer; prints a line of JSON per check.

This is a program of its own because SciPy reads SCIPY_ARRAY_API when it is imported, and a check is
skipped without it.
"""

import json

from sklearn.utils.estimator_checks import check_estimator

from hashnet_jax.training.scikit_learn import HashTransformer

for check in check_estimator(HashTransformer(bits=8, total_steps=20), on_fail=None, on_skip=None):
    outcome = {"name": check["check_name"], "status": check["status"]}
    print(json.dumps(outcome | {"error": repr(check["exception"])}))
