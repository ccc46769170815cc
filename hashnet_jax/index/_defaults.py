"""Default values, which the help of a program shows without importing anything else."""

# Number of lists of an IVF index that a query probes. See docs/search_store.md for the time and
# recall.
DEFAULT_PROBES = 64
