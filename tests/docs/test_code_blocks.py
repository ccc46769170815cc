"""Code, commands, names and links in the README, the documentation and CONTRIBUTING work."""

import argparse
import contextlib
import importlib
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

import hashnet_jax
from experiments import baselines
from hashnet_jax.data import augmentation
from hashnet_jax.index import import_faiss, open_store, search_snapshots
from hashnet_jax.training import TrainSpec, configured_loss, loggers
from tests.support.stores import store_with_ties

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDE = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", *GUIDE, *sorted((ROOT / "docs/api").glob("*.md"))]
NOTEBOOK = ROOT / "docs/notebooks/digits.ipynb"
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]

REGISTRIES = [
    hashnet_jax.backbones.BACKBONES,
    hashnet_jax.losses.LOSSES,
    hashnet_jax.metrics.METRICS,
    hashnet_jax.schedules.SCHEDULES,
    hashnet_jax.data.DATASETS,
    hashnet_jax.configs.CONFIGS,
    augmentation.AUGMENTATIONS,
    loggers.LOGGERS,
    baselines.BASELINES,
    baselines.RIVALS,
]

# The module of each program, and the arguments that it prepends to the user's.
PROGRAMS: dict[str, tuple[str, list[str]]] = {
    "hashnet": ("hashnet_jax.cli", []),
    "experiments/run.py": ("hashnet_jax.cli", ["train"]),
    "experiments/report.py": ("hashnet_jax.cli", ["report"]),
    "experiments/reproduce.py": ("experiments.reproduce", []),
    "experiments/compare.py": ("experiments.compare", []),
    "benchmarks/run.py": ("benchmarks.run", []),
    "benchmarks/cost.py": ("benchmarks.cost", []),
    "benchmarks/map_speed.py": ("benchmarks.map_speed", []),
    "benchmarks/full_size.py": ("benchmarks.full_size", []),
    "benchmarks/exported.py": ("benchmarks.exported", []),
    "benchmarks/ray_workers.py": ("benchmarks.ray_workers", []),
    "benchmarks/update_memory.py": ("benchmarks.update_memory", []),
    "benchmarks/store_search.py": ("benchmarks.store_search", []),
}
COMMANDS = (
    "train",
    "report",
    "evaluate",
    "search",
    "serve",
    "duplicates",
    "info",
    "push",
    "index",
    "export",
)
# Options of other programs that the pages mention.
FOREIGN_OPTIONS = {
    *("--sample", "--keep-going", "--data-urlencode", "--logdir"),
    # Options of the programs in tests/fuzz.
    *("--mutations", "--kills", "--every"),
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    pattern = rf"^```{language}\n(.*?)^```"
    return re.findall(pattern, page.read_text(), flags=re.DOTALL | re.MULTILINE)


def notebook_text() -> str:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Creates the run folder that examples load, in the current directory."""
    monkeypatch.chdir(tmp_path)
    run_dir = tmp_path / "runs" / "digits-small_cnn-48bits-seed0"
    run_dir.mkdir(parents=True)
    spec = hashnet_jax.ModelSpec("small_cnn", bits=48, image_size=8, resize=8)
    hashnet_jax.save(run_dir, hashnet_jax.init(jax.random.key(0), spec))


@pytest.fixture
def restored_registries() -> Iterator[None]:
    """Undoes registrations after the test."""
    before = [dict(registry) for registry in REGISTRIES]
    yield
    for registry, content in zip(REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(content)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
@pytest.mark.usefixtures("run_folder", "restored_registries")
def test_python_blocks_of_a_page_run_in_order(page: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 3)).astype(np.uint8)
    names: dict[str, Any] = {"images": images}
    prepare = PREPARATIONS.get(name_of(page))
    if prepare is not None:
        prepare()
    for block in blocks(page, "python"):
        exec(compile(block, name_of(page), "exec"), names)
    check = CHECKS.get(name_of(page))
    if check is not None:
        check(names)


def check_readme(names: dict[str, Any]) -> None:
    assert names["codes"].shape == (6, 48)
    assert names["codes"].dtype == np.int8
    assert names["packed"].shape == (6, 6)
    assert names["distance"][:, 0].tolist() == [0, 0]


def check_beyond(names: dict[str, Any]) -> None:
    assert names["distance"].shape == (2, 5)
    assert names["distance"][:, 0].tolist() == [0, 0]
    assert names["codes_of_two"].shape == (2, 48)


def prepare_export() -> None:
    pytest.importorskip("jax2onnx")


def check_export(names: dict[str, Any]) -> None:
    expected = hashnet_jax.pack_bits(hashnet_jax.encode(names["params"], names["resized"]))
    assert names["codes"].shape == (6, 6)
    np.testing.assert_array_equal(names["codes"], expected)
    np.testing.assert_array_equal(names["codes_of_two"], expected[:2])


def prepare_scale() -> None:
    store_with_ties(Path("store"), next(Path("runs").iterdir()))
    import_faiss("run the page")  # without the warnings of the first import


def check_scale(names: dict[str, Any]) -> None:
    store, queries = open_store("store"), names["queries"]
    names["write_parts"](store, Path("several"), rows_per_part=70)
    several = [names["open_part"](folder) for folder in sorted(Path("several").iterdir())]
    assert len(several) > 2
    for k in (1, 10, 1_000):
        exact = search_snapshots([store.snapshot()], queries, k=k)
        expected = [[(one.distance, one.id) for one in row] for row in exact]
        found = [names["search_part"](part, queries, k) for part in several]
        assert names["merge"](found, k) == expected
        assert k != 10 or names["found"] == expected
    mapped = Path("/proc/self/maps").read_text()
    for number in range(len(several)):
        assert f"several/{number:04}/codes.faiss" in mapped
        assert f"several/{number:04}/ids.arrow" in mapped


def check_contributing(names: dict[str, Any]) -> None:
    assert hashnet_jax.encode(names["params"], names["images"]).shape == (6, 48)
    labels, codes = jax.numpy.array([0, 0, 1]), jax.numpy.ones((3, 4))
    loss, plain = (
        configured_loss(TrainSpec(loss=name), labels, bits=4) for name in ("spread", "hashnet")
    )
    assert loss.share(codes) == plain.share(codes) + 1
    counts = hashnet_jax.metrics.DistanceCounts(np.zeros((1, 3), int), np.array([[1, 1, 2]]))
    assert names["median_distance"](counts) == 1
    assert float(names["linear_schedule"](total_steps=9)(3)) == 4
    dataset = hashnet_jax.data.DATASETS["noise"](hashnet_jax.data.Options())
    assert dataset.split.sizes() == {"train": 40, "query": 20, "database": 80, "validation": 0}
    features = np.random.default_rng(0).normal(size=(5, 3))
    (logits,) = baselines.BASELINES["random_projection"](features, [features], bits=12, seed=0)
    assert (logits.shape, logits.dtype.kind) == ((5, 12), "f")
    image = jax.numpy.arange(16.0).reshape(1, 4, 4, 1)
    pooled = names["mean_pool"](image)
    assert pooled[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert "slice" in str(jax.make_jaxpr(names["mean_pool"])(image))
    with hashnet_jax.layers.plain_layers():
        assert "slice" not in str(jax.make_jaxpr(names["mean_pool"])(image))


def check_loops(names: dict[str, Any]) -> None:
    for loop in ("pure", "linen", "nnx"):
        losses = names[f"{loop}_losses"]
        assert losses[-1] < 0.1 < losses[0]
        packed, labels = np.asarray(hashnet_jax.pack_bits(names[f"{loop}_codes"])), names["labels"]
        parts = (packed[:40], packed[40:], labels[:40], labels[40:])
        found = hashnet_jax.metrics.evaluate(*parts, bits=12)
        assert found.mean_average_precision.expected == 1
    assert len(names["devices"]) == 8
    assert len(names["on_all"][1].sharding.device_set) == 8
    for one, all_ in (("on_one", "on_all"), ("metrics_on_one", "metrics_on_all")):
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), names[one], names[all_])
    assert names["found"].mean_average_precision.expected == 1
    assert names["classifier"].score(names["test_x"], names["test_y"]) > 0.9
    assert (names["digit_codes"].shape, names["digit_codes"].dtype) == ((450, 4), np.uint8)


def prepare_pytorch() -> None:
    pytest.importorskip("torch")


def check_pytorch(names: dict[str, Any]) -> None:
    z = np.asarray(names["z"])
    np.testing.assert_array_equal(names["back"].numpy(), np.where(z >= 0, 1, -1))
    assert names["back"].data_ptr() == names["codes"].unsafe_buffer_pointer()
    assert 0.3 < names["found"].mean_average_precision.expected <= 1
    assert names["losses"][-1] < 0.1 < names["losses"][0]
    outputs = names["network"](names["features"]).detach()
    assert jax.numpy.from_dlpack(outputs).unsafe_buffer_pointer() == outputs.data_ptr()


def check_loggers(names: dict[str, Any]) -> None:
    assert list(names["keep_beta"].betas) == [2, 4, 6, 8, 10, 12]
    run = Path("runs/mine")
    assert list(run.glob("tensorboard/events.out.tfevents.*"))
    assert list(run.glob("profile/plugins/profile/*/perfetto_trace.json.gz"))
    with loggers.LOGGERS["csv"](run, {}) as logger:
        logger.start(0)
        logger.log(1, {"loss": 0.5})
    assert (run / "loss.csv").read_text() == "1,0.5\n"


PREPARATIONS = {
    "docs/export.md": prepare_export,
    "docs/pytorch.md": prepare_pytorch,
    "docs/scale.md": prepare_scale,
}
CHECKS = {
    "README.md": check_readme,
    "docs/beyond.md": check_beyond,
    "docs/export.md": check_export,
    "docs/loggers.md": check_loggers,
    "docs/loops.md": check_loops,
    "docs/pytorch.md": check_pytorch,
    "docs/scale.md": check_scale,
    "CONTRIBUTING.md": check_contributing,
}


def test_readme_is_short_and_starts_with_two_commands() -> None:
    assert len(README.read_bytes()) < 8_192
    assert blocks(README, "bash")[0].splitlines() == [
        "pip install -e '.[experiments]' && python experiments/run.py",
        "pip install -e '.[test]' && python -m pytest",
    ]
    assert README.read_text().index("```bash") == README.read_text().index("```")


def dotted_names(text: str) -> set[str]:
    found = re.findall(r"(?<![\w./])(?:hashnet_jax|hj)((?:\.[A-Za-z_]\w*)+)(?![\w/])", text)
    # Names such as hashnet_jax.losses.md are pages.
    return {name.removesuffix(".md") for name in found} - {""}


def resolve(name: str) -> Any:
    """Returns the object named ``hashnet_jax`` + ``name``."""
    found: Any = hashnet_jax
    for part in name.split(".")[1:]:
        if not hasattr(found, part) and isinstance(found, ModuleType):
            importlib.import_module(f"{found.__name__}.{part}")
        found = getattr(found, part)
    return found


def test_every_dotted_name_resolves() -> None:
    texts = {name_of(page): page.read_text() for page in PAGES}
    texts[name_of(NOTEBOOK)] = notebook_text()
    # Skip the left column, which has the names in 0.1.0.
    moved = re.findall(r"^  \| `.*? \| (.*) \|$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    texts["CHANGELOG.md"] = "\n".join(moved)
    names = {(place, name) for place, text in texts.items() for name in dotted_names(text)}
    assert len(names) > 50
    for place, name in sorted(names):
        try:
            resolve(name)
        except (AttributeError, ImportError) as error:
            pytest.fail(f"{place} mentions hashnet_jax{name}, which does not resolve: {error}")


class Parsed(BaseException):
    """Raised once a program has accepted its arguments, so that it does not run."""


@pytest.fixture
def seen_parsers(monkeypatch: pytest.MonkeyPatch) -> list[argparse.ArgumentParser]:
    """Makes programs stop after parsing their arguments; returns the parsers that they used."""
    seen = []
    parse_args = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> None:
        seen.append(self)
        parse_args(self, *args, **kwargs)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    return seen


def parse(command: str) -> None:
    """Parses a command with its program's parser.

    Raises:
      Parsed: if the program accepts it.
    """
    words = shlex.split(command)
    if words[0] == "python":
        del words[0]
    module, first = PROGRAMS[words[0]]
    importlib.import_module(module).main([*first, *words[1:]])


def commands() -> Iterator[tuple[str, str]]:
    """Yields (page, command) for our commands in shell blocks and our scripts in inline code."""
    starts = tuple(f"python {name}" for name in PROGRAMS if "/" in name)
    for page in PAGES:
        lines = [
            part.strip()
            for block in blocks(page, "bash")
            for line in block.replace("\\\n", " ").splitlines()
            for part in line.split("&&")
        ]
        for line in lines:
            if line.startswith((*starts, "hashnet ")):
                yield name_of(page), line
            assert not line.startswith("python benchmarks/") or line.startswith(starts), line
        for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text()):
            if span.startswith(starts):
                yield name_of(page), span


@pytest.mark.slow
@pytest.mark.usefixtures("seen_parsers")
def test_every_command_is_accepted_by_its_program(capsys: pytest.CaptureFixture[str]) -> None:
    found = sorted(set(commands()))
    assert len(found) > 20
    for page, command in found:
        try:
            parse(command)
        except Parsed:
            continue
        except SystemExit:
            pass
        pytest.fail(f"{page}: `{command}` is rejected: {capsys.readouterr().err}")


def options(parser: argparse.ArgumentParser) -> set[str]:
    found = set()
    for action in parser._actions:
        found |= set(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found |= options(command)
    return found


def test_every_mentioned_option_exists(
    seen_parsers: list[argparse.ArgumentParser],
) -> None:
    # Most commands declare their options only when they are first used.
    for command in (*PROGRAMS, *(f"hashnet {name}" for name in COMMANDS)):
        with contextlib.suppress(Parsed, SystemExit):
            parse(command)
    known = FOREIGN_OPTIONS.union(*map(options, seen_parsers))
    for page in PAGES:
        mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w])", page.read_text()))
        unknown = {name for name in mentioned - known if not name.startswith("--xla")}
        assert not unknown, f"{name_of(page)} mentions {unknown}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_every_relative_link_has_a_target(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(page)} links to {target}"


def test_every_subpackage_has_a_page_in_the_reference() -> None:
    pages = {page.stem for page in (ROOT / "docs/api").glob("hashnet_jax.*.md")}
    rooms = {
        f"hashnet_jax.{name}"
        for name in hashnet_jax.__all__
        if inspect.ismodule(getattr(hashnet_jax, name))
    }
    assert pages == rooms


def test_the_version_is_the_same_everywhere() -> None:
    version = hashnet_jax.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{version}] - " in (ROOT / "CHANGELOG.md").read_text()
    assert f'"hashnet_jax-{version}-py3-none-any.whl[experiments]"' in notebook_text()
