"""Compares hashing methods on equal terms; the machinery of `compare.py`.

All methods see the same cached features, the same batches and the same number of steps. Their
learning rates are found by the same rule, on validation images; see :mod:`._rates`.
"""
