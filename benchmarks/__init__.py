"""Benchmarks of hashnet_jax: speed compared with other libraries, memory use and scaling."""
