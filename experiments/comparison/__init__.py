"""Implements `compare.py`, which compares hashing methods on equal terms.

All methods see the same cached features, the same batches and the same number of steps. Their
learning rates are found by the same rule, on validation images; see :mod:`._rates`.
"""
