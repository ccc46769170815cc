import os

# Compiled as for a user, before jax reads it: see the conftest.py of the repository.
os.environ["XLA_FLAGS"], *_ = os.environ["XLA_FLAGS"].split(" --xla_backend_optimization_level=1")
