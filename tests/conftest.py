import os
import sys
import tempfile
from pathlib import Path

import pytest

# Before jax is imported anywhere: eight fake devices, no probing for others, and one compilation
# cache for all of this run's processes and the programs they start, which compile the same steps.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="hashnet-jax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Less optimised, fusions by the emitters that compile faster: tests compile for minutes and compute
# for seconds. The programs that they start as a user does are compiled as for a user, and so are
# the integration tests.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8"
    " --xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false",
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

# The same networks in torch, imported by the tests that compare with it, where it is installed.
collect_ignore_glob = ["torch_*.py"]


@pytest.fixture(scope="module")
def programs():
    """The program benchmarks/run.py as a module, its neighbours importable."""
    benchmarks = Path(__file__).parents[1] / "benchmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(benchmarks))
        patch.setenv("PYTHONPATH", str(benchmarks.parent))
        # Two programs are called run; this one is not to stay under that name.
        before = sys.modules.pop("run", None)
        import run as program

        sys.modules.pop("run")
        if before is not None:
            sys.modules["run"] = before
        yield program
