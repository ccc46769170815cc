"""Tests that `import hashnet_jax as hj` is light and that all public names resolve."""

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

import hashnet_jax

IMPORTED_ON_FIRST_USE = ("cli", "configs", "data", "index", "report", "training")

# Libraries that `import hashnet_jax` must not import.
HEAVY = (
    *("PIL", "faiss", "grain", "matplotlib", "optax", "orbax", "safetensors"),
    *("sklearn", "tensorflow", "tensorflow_datasets", "torch", "tqdm"),
)


def run_python(script: str) -> str:
    """Runs code in a fresh interpreter and returns what it prints."""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return result.stdout


def packages() -> list[str]:
    """Returns the package and its subpackages."""
    walked = pkgutil.walk_packages(hashnet_jax.__path__, "hashnet_jax.")
    return ["hashnet_jax", *(module.name for module in walked if module.ispkg)]


def test_every_name_in_dir_resolves_and_every_public_name_is_in_dir() -> None:
    names = dir(hashnet_jax)
    assert "__version__" in names
    assert set(hashnet_jax.__all__) <= set(names)
    assert set(IMPORTED_ON_FIRST_USE) <= set(names)
    for name in names:
        assert getattr(hashnet_jax, name) is not None
    public = {name for name in vars(hashnet_jax) if not name.startswith("_")}
    # Names that the file imports for its own use. The tests' run-time checks add jaxtyping.
    own = {"Any", "TYPE_CHECKING", "importlib", "jaxtyping"}
    assert public - own <= set(names)


@pytest.mark.parametrize("package", packages())
def test_no_name_in_a_package_hides_a_submodule(package: str) -> None:
    parent = importlib.import_module(package)
    for module in pkgutil.iter_modules(parent.__path__):
        if not module.name.startswith("_"):
            submodule = importlib.import_module(f"{package}.{module.name}")
            assert getattr(parent, module.name) is submodule, f"{package}.{module.name} is hidden"


def test_every_name_in_all_resolves() -> None:
    for package in packages():
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{package}.{name}"


def test_subpackages_resolve_in_a_fresh_process_without_an_import() -> None:
    names = [name for name in dir(hashnet_jax) if name != "__version__"]
    script = f"""
import sys, types
import hashnet_jax as hj
assert not [name for name in {IMPORTED_ON_FIRST_USE!r} if "hashnet_jax." + name in sys.modules]
for name in {names!r}:
    getattr(hj, name)
assert isinstance(hj.training, types.ModuleType)
assert hj.weights.load is hj.load
assert callable(hj.metrics.mean_average_precision)
"""
    run_python(script)


def test_importing_the_package_imports_no_heavy_library() -> None:
    script = """
import json, sys
import hashnet_jax as hj
hj.losses, hj.schedules, hj.metrics, hj.hamming, hj.codes, hj.model, hj.backbones, hj.layers
hj.weights, hj.distributed
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
    imported = set(json.loads(run_python(script)))
    assert {"jax", "flax", "numpy"} <= imported
    assert not imported & set(HEAVY)


@pytest.mark.parametrize("package", packages())
def test_unknown_names_are_rejected(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match="nonexistent"):
        module.nonexistent  # noqa: B018 (the access is the test)
    with pytest.raises(ImportError, match="nonexistent"):
        exec(f"from {package} import nonexistent")
