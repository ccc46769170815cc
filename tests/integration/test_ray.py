"""Tests for `RayEngine` on a local cluster of two nodes, one of which is killed half-way."""

import os
import subprocess
import sys

import pytest

from tests.support.bad_pictures import write_bad
from tests.support.cli_case import ROOT, make_pictures, make_run

pytest.importorskip("ray")
pytest.importorskip("lancedb")

# In its own process, because Ray and the fake devices of the tests do not go together.
SCRIPT = """
import sys, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.index import (
    Changes, LocalEngine, RayEngine, StoreManifest, create_store, update_store
)

folder, lose = Path(sys.argv[1]), sys.argv[2] == "lose"
run, photos = folder / "run", folder / "photos"

def rows(name, engine, on_change=None):
    store = create_store(folder / name, StoreManifest.of_run(run))
    start = time.monotonic()
    changes = update_store(store, run, [photos], engine=engine, on_change=on_change)
    print(name, changes, f"{time.monotonic() - start:.1f} s", flush=True)
    columns = ["id", "code", "size", "mtime_ns", "sha256", "label"]
    found = [row for batch in store.rows(columns) for row in batch.to_pylist()]
    return changes, sorted(found, key=lambda row: row["id"])

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
second = cluster.add_node(num_cpus=2)
seen, lost = [], []

def on_change(kind, path):
    seen.append(path)
    if lose and len(seen) >= 80 and not lost:
        lost.append(second)
        cluster.remove_node(second, allow_graceful=False)

found = rows("ray", RayEngine(cluster.address, 8, 2), on_change)
expected = rows("local", LocalEngine(8, local_devices(1)))
assert found == expected
assert len(seen) == found[0].new > 300
assert bool(lost) == lose
ray.shutdown()
cluster.shutdown()
print("equal", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("fate", ["keep", "lose"])
def test_a_cluster_of_two_nodes_writes_the_store_of_one_process(fate, tmp_path):
    make_run(tmp_path / "run")
    make_pictures(tmp_path / "photos", 400)
    write_bad(tmp_path / "photos")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), fate]
    result = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    print(result.stdout)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.splitlines()[-1] == "equal"
