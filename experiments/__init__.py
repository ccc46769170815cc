"""Experiments: the paper's results table, comparisons with other methods, and single runs."""
