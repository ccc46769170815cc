"""Benchmarks of speed, memory use and scaling, with comparisons to other libraries."""
