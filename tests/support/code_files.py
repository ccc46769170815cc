"""Small codes and labels, and the files that hold them, for testing `hashnet evaluate`."""

import numpy as np

# Distances of query 0 from the database: 0, 1, 1, 2, 3; of query 1: 3, 2, 2, 1, 0.
QUERIES = np.array([[1, 1, 1], [-1, -1, -1]])
DATABASE = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1], [-1, -1, -1]])
QUERY_LABELS, DATABASE_LABELS = np.array([0, 1]), np.array([0, 0, 1, 0, 2])
HOT = np.eye(3, dtype=int)


def write_arrays(folder, **arrays):
    """Writes each array to NAME.npy, and returns the options of `hashnet evaluate`."""
    given = {
        **{"query_codes": QUERIES, "database_codes": DATABASE},
        **{"query_labels": QUERY_LABELS, "database_labels": DATABASE_LABELS},
    } | arrays
    options = []
    for name, array in given.items():
        path = folder / f"{name}.npy"
        np.save(path, array, allow_pickle=array.dtype == object)
        options += [f"--{name.replace('_', '-')}", path]
    return options
