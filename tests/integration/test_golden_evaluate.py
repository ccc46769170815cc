"""Compares `hashnet evaluate` with the authors' evaluation code, on files of every kind."""

import json

import numpy as np
import pytest

from hashnet_jax.metrics import CONVENTIONS
from tests.integration import SHARED
from tests.support.cli_case import hashnet

MAP_NAMES = {"drop": "map_no_hit_dropped", "zero": "map_no_hit_zero"}
CONVENTIONS_CHECKED = ("hashnet-pytorch", "deephash-pytorch")


@pytest.fixture(scope="module")
def golden():
    with np.load(SHARED / "golden" / "average_precision.npz") as file:
        return dict(file)


def write_npy(folder, name, array):
    np.save(folder / f"{name}.npy", array)
    return folder / f"{name}.npy"


def write_npz(folder, name, array):
    """Writes packed codes, and other arrays as booleans."""
    is_code = name.endswith("codes")
    np.savez(folder / f"{name}.npz", a=np.packbits(array > 0, axis=1) if is_code else array > 0)
    return f"{folder / name}.npz:a"


def write_text(folder, name, array):
    np.savetxt(folder / f"{name}.txt", array > 0, fmt="%d", delimiter="")
    if name.endswith("labels"):
        np.savetxt(folder / f"{name}.txt", array, fmt="%d")
    return folder / f"{name}.txt"


@pytest.mark.parametrize(("case", "write"), [*enumerate((write_npy, write_npz, write_text))])
@pytest.mark.parametrize("query", range(6))
def test_map_of_files_equals_the_authors_under_both_conventions(
    case, write, query, golden, tmp_path, capsys
):
    own = {
        name.removeprefix(f"case{case}_query{query}_"): value
        for name, value in golden.items()
        if name.startswith(f"case{case}_query{query}_")
    }
    arrays = {
        **{"query-codes": own["query"][None], "query-labels": own["query_label"][None]},
        **{"database-codes": own["database"], "database-labels": own["database_labels"]},
    }
    options = ["--cutoff", int(own["topk"]), "--bits", own["query"].size, "--json"]
    for name, array in arrays.items():
        options += [f"--{name}", write(tmp_path, name, array)]
    assert hashnet("evaluate", *options) == 0
    entries = json.loads(capsys.readouterr().out)["map"]
    for tool in CONVENTIONS_CHECKED:
        expected = float(own[MAP_NAMES[CONVENTIONS[tool]["no_hit"]]])
        (entry,) = [e for e in entries if tool in e["used_by"] and e["cutoff"] is not None]
        for name in ("worst", "expected", "best"):
            value = np.nan if entry[name] is None else entry[name]
            np.testing.assert_allclose(value, expected, atol=1e-9, equal_nan=True)
