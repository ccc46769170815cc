"""Experiments: reproducing the paper's results table, baselines, and single training runs."""
