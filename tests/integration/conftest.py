import os

# Compiled as for a user, before jax reads it: see ../conftest.py.
os.environ["XLA_FLAGS"], *_ = os.environ["XLA_FLAGS"].split(" --xla_backend_optimization_level=1")
