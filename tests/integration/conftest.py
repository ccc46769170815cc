import os

# Compile with the default flags, as users do. They must be set before JAX is imported (see the root
# conftest.py).
os.environ["XLA_FLAGS"], *_ = os.environ["XLA_FLAGS"].split(" --xla_backend_optimization_level=1")
