"""Sets up all tests with fake devices, a shared compilation cache and runtime shape checks."""

import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec

import pytest

# JAX reads these variables when it is imported: use eight fake devices, do not probe for others,
# and share one compilation cache among all processes of this run and the programs they start.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="hashnet-jax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Reduce the optimization level, since tests spend minutes compiling and seconds computing. The
# integration tests use the default flags.
if "XLA_FLAGS" not in os.environ:
    _flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
    _flags += " --xla_llvm_disable_expensive_passes=true"
    # Later versions do not have this flag, and an unknown flag aborts the process.
    if version("jaxlib").startswith("0.10."):
        _flags += " --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = _flags
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
# No test may use a network. Those that download do so from a server on this machine.
os.environ["HASHNET_OFFLINE"] = "1"

import jaxtyping

# Its doctests are collected by importing it, which needs a library that only an extra installs.
collect_ignore = [] if find_spec("jax2onnx") else ["hashnet_jax/weights/_onnx.py"]

# Check types, shapes and dtypes in every call to an annotated function of the package.
jaxtyping.install_import_hook("hashnet_jax", "beartype.beartype")


@pytest.fixture(autouse=True)
def _checked_signatures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Disables the checks in tests marked ``bad_input``, which test the package's own errors."""
    unchecked = request.node.get_closest_marker("bad_input") is not None
    jaxtyping.config.update("jaxtyping_disable", unchecked)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pytest_sessionfinish() -> None:
    """Saves coverage data now, because pytest-xdist kills a worker that does not exit within 10 s.

    Coverage itself saves its data only at exit, after JAX has freed thousands of programs.
    """
    if "PYTEST_XDIST_WORKER" in os.environ and "coverage" in sys.modules:
        running = sys.modules["coverage"].Coverage.current()
        if running is not None:
            running.save()
