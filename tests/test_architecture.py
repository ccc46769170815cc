"""The house: rooms and what they may import, sizes, annotations, a light `import hashnet_jax`."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import hashnet_jax

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hashnet_jax"

# A file imports only from its own row and the rows above it.
ROWS = (
    ("codes", "schedules", "hamming", "losses", "metrics", "distributed"),
    ("layers", "backbones", "model"),
    ("weights",),
    ("data",),
    ("training",),
    ("index", "report", "configs"),
    ("cli",),
)
# Rooms that import nothing of the package.
ALONE = {"distributed"}
# The facade re-exports from this row and those above.
FACADE_ROW = 2

# Libraries that only these rooms or files import.
CONFINED = {
    "flax": ("layers", "backbones", "model"),
    "torch": ("weights",),
    "safetensors": ("weights",),
    "jax2onnx": ("weights._onnx",),
    "onnx_ir": ("weights._onnx",),
    "orbax": ("training._orbax_folder",),
    "tensorflow_datasets": ("data.tfds_source",),
    "grain": ("data.pipeline",),
    "PIL": ("data", "report", "metrics._counts_host", "index.service._pictures"),
    "faiss": ("index",),
    "lancedb": ("index",),
    "ray": ("index._ray",),
    "imagehash": ("data.perceptual",),
    "pooch": ("weights._download",),
    "huggingface_hub": ("weights._hub", "weights._hub_errors"),
    "fastapi": ("index.service",),
    "uvicorn": ("index.service._server",),
    "prometheus_client": ("index.service._metrics",),
    "matplotlib": ("report",),
    "tensorboardX": ("training.loggers.tensorboard",),
    "wandb": ("training.loggers.wandb",),
    # A transformer subclasses scikit-learn's classes, so its module is imported only by name.
    "sklearn": ("report", "data.digits", "training.scikit_learn"),
}

# What `import hashnet_jax` must not load.
HEAVY = {
    "optax", "orbax", "tensorflow_datasets", "grain", "matplotlib", "sklearn", "PIL", "torch",
    "safetensors", "faiss", "tqdm", "pyarrow", "lancedb", "ray", "fastapi", "uvicorn",
    "tensorboardX", "wandb", "pooch", "requests", "huggingface_hub",
    "jax2onnx", "onnx",
}  # fmt: skip

MAX_ENTRIES = 18
MAX_FUNCTION_LINES = 60
USUAL_FUNCTION_LINES = 30
USUAL_SHARE = 0.9

FLAG = re.compile(r"(?<![\w-])--[a-z]")


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name below the package, path) of every file; of a package, the name of its folder."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


def parsed_modules() -> Iterator[tuple[str, ast.Module]]:
    for name, path in modules():
        yield name, ast.parse(path.read_text())


def room_of(name: str) -> str:
    """The room of a dotted name; the facade's is empty."""
    return name.split(".")[0]


def row_of(room: str) -> int:
    if room == "":
        return FACADE_ROW
    (row,) = [i for i, rooms in enumerate(ROWS) if room in rooms]
    return row


def imported_names(tree: ast.Module) -> Iterator[str]:
    """Dotted names of all imports, also of those inside functions, but not for type checkers."""
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_rooms(tree: ast.Module) -> set[str]:
    """Rooms of the package that a file imports from; the facade's name is empty."""
    rooms = set()
    for name in imported_names(tree):
        parts = name.split(".")
        if parts[0] == "hashnet_jax":
            is_room = len(parts) > 1 and any(parts[1] in row for row in ROWS)
            rooms.add(parts[1] if is_room else "")
    return rooms


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its decorators and docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= first.end_lineno - first.lineno + 1
    return lines


def check_none(offenders: Iterable[str]) -> None:
    """Fails with every offender, one per line."""
    lines = sorted(offenders)
    assert not lines, "\n" + "\n".join(lines)


def test_every_file_belongs_to_a_room():
    rooms = {room for row in ROWS for room in row} | {""}
    check_none(name for name, _ in modules() if room_of(name) not in rooms)


def test_a_file_imports_only_from_its_own_layer_and_the_layers_above():
    offenders = []
    for name, tree in parsed_modules():
        room = room_of(name)
        for imported in imported_rooms(tree) - {room}:
            if room in ALONE or row_of(imported) > row_of(room):
                offenders.append(f"{name} imports from {imported or 'the facade'}")
    check_none(offenders)


def test_rooms_have_no_import_cycles():
    edges: dict[str, set[str]] = {}
    for name, tree in parsed_modules():
        room = room_of(name)
        if room:
            edges.setdefault(room, set()).update(imported_rooms(tree) - {room, ""})
    left = dict(edges)
    while removable := [room for room, needs in left.items() if not needs & left.keys()]:
        for room in removable:
            del left[room]
    check_none(f"{room} needs {sorted(needs & left.keys())}" for room, needs in left.items())


def test_libraries_are_confined_to_their_rooms():
    offenders = []
    for name, tree in parsed_modules():
        for imported in imported_names(tree):
            places = CONFINED.get(imported.split(".")[0])
            if places is not None and not any(
                name == place or name.startswith(f"{place}.") for place in places
            ):
                offenders.append(f"{name} imports {imported}")
    check_none(offenders)


def test_every_layer_with_a_cpu_implementation_can_be_made_plain():
    layers = {
        name: {
            node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
        }
        for name, tree in parsed_modules()
        if room_of(name) == "layers"
    }
    chosen = {name for name, called in layers.items() if "platform_dependent" in called}
    assert chosen
    check_none(name for name in chosen if "is_plain" not in layers[name])


def test_the_package_has_few_top_level_entries():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "hashnet_jax"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    entries = {path.relative_to(PACKAGE).parts[0] for path in paths if path.exists()}
    assert len(entries) <= MAX_ENTRIES, sorted(entries)


def test_no_function_is_long_and_nine_in_ten_are_short():
    lengths = {
        f"{name}:{function.lineno} {function.name}": length(function)
        for name, tree in parsed_modules()
        for function in functions(tree)
    }
    check_none(f"{name}: {n} lines" for name, n in lengths.items() if n > MAX_FUNCTION_LINES)
    long = [f"{name}: {n} lines" for name, n in lengths.items() if n >= USUAL_FUNCTION_LINES]
    if len(long) > (1 - USUAL_SHARE) * len(lengths):
        check_none(long)


def test_every_function_is_annotated():
    offenders = []
    for name, tree in parsed_modules():
        for function in functions(tree):
            arguments = [
                *function.args.posonlyargs,
                *function.args.args,
                *function.args.kwonlyargs,
                *filter(None, (function.args.vararg, function.args.kwarg)),
            ]
            missing = [
                argument.arg
                for argument in arguments
                if argument.annotation is None and argument.arg not in ("self", "cls")
            ]
            if function.returns is None and function.name != "__init__":
                missing.append("return")
            if missing:
                place = f"{name}:{function.lineno} {function.name}"
                offenders.append(f"{place}: {', '.join(missing)}")
    check_none(offenders)


def test_only_the_programs_mention_command_line_flags():
    offenders = []
    for name, tree in parsed_modules():
        if room_of(name) == "cli":
            continue
        excepted = constants_that_may_hold_flags(name, tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = FLAG.search(node.value)
                if found and node not in excepted:
                    line = node.value[found.start() :].splitlines()[0]
                    offenders.append(f"{name}:{node.lineno} {line[:40]}")
    check_none(offenders)


def constants_that_may_hold_flags(name: str, tree: ast.Module) -> set[ast.expr]:
    """The flag of a field, ``{"flag": "--steps"}``, and the command at the top of a config."""
    constants = {
        value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "flag"
    }
    if room_of(name) == "configs" and ast.get_docstring(tree) is not None:
        constants.add(tree.body[0].value)
    return constants


@pytest.mark.parametrize("first_use", ["", "; hashnet_jax.encode"])
def test_importing_the_package_loads_nothing_and_encode_only_what_it_needs(first_use):
    script = f"import sys, hashnet_jax{first_use}; print(*{{n.split('.')[0] for n in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert loaded & {"jax", "flax", "numpy"} == ({"jax", "flax", "numpy"} if first_use else set())
    assert sorted(loaded & HEAVY) == []


STUBS = sorted(PACKAGE.rglob("*.pyi"))


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.parent.name)
def test_every_public_name_of_a_stub_is_imported_in_it_and_resolves(stub):
    *imports, public = ast.parse(stub.read_text()).body
    imported = {alias.name: node.module for node in imports for alias in node.names}
    assert ast.unparse(public.targets[0]) == "__all__"
    assert sorted(imported) == sorted(ast.literal_eval(public.value))
    package = importlib.import_module(f"hashnet_jax.{stub.parent.name}")
    for name, module in imported.items():
        source = importlib.import_module(f"{package.__name__}.{module}")
        assert getattr(package, name) is getattr(source, name)


def test_the_rooms_with_a_stub_are_those_that_import_lazily():
    lazy = {path.parent for _, path in modules() if "attach_stub(" in path.read_text()}
    assert {stub.parent for stub in STUBS} == lazy


def test_the_facade_takes_its_functions_from_its_own_row_and_the_rows_above():
    rooms = hashnet_jax._FUNCTIONS
    check_none(room for room in rooms if row_of(room) > FACADE_ROW)
    for room, names in rooms.items():
        for name in names:
            assert getattr(hashnet_jax, name) is getattr(getattr(hashnet_jax, room), name)
