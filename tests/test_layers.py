"""The layers: a file imports only from its row and those above; `import hashnet_jax` is light."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "hashnet_jax"

# Row by row: the modules, and the libraries that they may import besides those of the rows above.
ROWS = [
    (
        {
            "losses", "pair_balance", "pair_blocks", "continuation", "hamming", "metrics",
            "counting", "counting_host", "ties", "average_precision", "curves",
            "code_statistics", "files",
        },
        {"jax", "numpy", "PIL"},
    ),
    (
        {"backbones", "model", "preprocess", "weight_names", "weight_files", "pretrained"},
        {"flax", "torch", "safetensors"},
    ),
    ({"weights", "encode", "__init__"}, set()),
    (
        {"optim", "state", "step", "frozen", "parallel", "processes", "checkpoint"},
        {"optax", "orbax"},
    ),
    ({"data", "progress"}, {"absl", "grain", "tensorflow_datasets", "tqdm", "sklearn"}),
    ({"run_folder", "evaluation", "features", "trainer"}, {"tqdm"}),
    ({"cli"}, {"faiss"}),
]  # fmt: skip

# Libraries that only these files may import.
CONFINED = {
    "flax": ("model", "backbones"),
    "torch": ("weight_files",),
    "safetensors": ("weight_files",),
    "orbax": ("checkpoint",),
    "tensorflow_datasets": ("data.tfds_source",),
    "grain": ("data.pipeline",),
    # Pictures, and the host's histograms.
    "PIL": ("data", "cli.page", "counting_host"),
    "faiss": ("cli.index",),
}


def imports_of(path):
    """Modules that a file imports, dotted, wherever in the file the statement stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module in ("hashnet_jax", "hashnet_jax.data"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules():
    """(dotted name below the package, path) of every file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__") if "." in name else name, path


def row_of(name):
    (row,) = [i for i, (names, _) in enumerate(ROWS) if name.split(".")[0] in names]
    return row


def test_every_file_has_a_row():
    for name, _ in modules():
        assert row_of(name) is not None


def test_a_file_imports_only_from_its_own_row_and_those_above():
    for name, path in modules():
        row = row_of(name)
        for imported in imports_of(path):
            parts = imported.split(".")
            if parts[0] != "hashnet_jax":
                allowed = set().union(*(libraries for _, libraries in ROWS[: row + 1]))
                assert parts[0] in allowed | set(sys.stdlib_module_names), (name, imported)
            elif len(parts) > 1 and any(parts[1] in names for names, _ in ROWS):
                assert row_of(parts[1]) <= row, f"{name} imports {imported} from a row below"


def test_libraries_are_confined_to_their_files():
    for name, path in modules():
        for imported in imports_of(path):
            places = CONFINED.get(imported.split(".")[0])
            if places is not None:
                assert any(name == place or name.startswith(f"{place}.") for place in places), (
                    name,
                    imported,
                )


def test_importing_the_package_loads_only_what_encode_needs():
    script = "import sys, hashnet_jax; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    heavy = {"optax", "orbax", "tensorflow_datasets", "grain", "matplotlib", "sklearn", "PIL"}
    heavy |= {"torch", "safetensors"}
    assert "flax" in loaded
    assert not loaded & heavy
