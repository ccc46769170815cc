"""Experiments: the paper's table, baselines, and `run.py`, which is `hashnet train`."""
