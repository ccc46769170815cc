"""The readers of what users bring: lists, CSV files, pictures, weights, prepared data sets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hashnet_jax import weights
from hashnet_jax.data import DATASETS, FileSource, Options
from hashnet_jax.data.sources import decode, decode_squashed
from hashnet_jax.distributed.files import refuse_pipe
from tests.fuzz.read_store import index_new
from tests.fuzz.reader import Reader, digest
from tests.fuzz.worlds import FORMATS, read_tfds


def _lists(case: Path, world: Path) -> Any:
    options = Options(lists=str(case / "lists"), image_root=str(world), allow_overlap=True)
    return _described(DATASETS["lists"](options))


def _csv(case: Path, world: Path) -> Any:
    options = Options(csv=str(case / "csv" / "labels.csv"), image_root=str(world))
    return _described(DATASETS["folder"](options))


def _described(dataset: Any) -> Any:
    names = dataset.names or getattr(dataset.source, "paths", ())
    parts = dataset.split.parts()
    return [list(names), dataset.labels.tolist(), list(dataset.classes), digest(parts)]


def _picture(suffix: str) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        source = FileSource([case / "formats" / f"a.{suffix}"])
        return digest([source[0], source.squashed(0, 8)])

    return read


def _decode(suffix: str) -> Callable[[Path, Path], Any]:
    """Decodes bytes of a prepared data set, which is named by whoever holds them."""

    def read(case: Path, world: Path) -> Any:
        path = case / "formats" / f"a.{suffix}"
        refuse_pipe(path)
        data = path.read_bytes()
        try:
            return digest([decode(data), decode_squashed(data, 8)])
        except (ValueError, OSError) as error:
            raise type(error)(f"{path.name}: {error}") from error

    return read


def _tensors(suffix: str) -> Callable[[Path, Path], Any]:
    return lambda case, world: digest(weights.read_tensors(case / "tensors" / f"w.{suffix}"))


def _tfds(name: str) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        dataset = read_tfds(case / "tfds", name)
        images = [dataset.source[i] for i in range(len(dataset.source))]
        return [_described(dataset), digest(images)]

    return read


def inputs() -> Iterator[Reader]:
    """The readers of what users bring."""
    lists = tuple(f"lists/{part}.txt" for part in ("train", "test", "database"))
    yield Reader("lists", {"lists": "lists"}, lists, _lists, is_input=True)
    yield Reader("CSV", {"csv": "csv"}, ("csv/labels.csv",), _csv, is_input=True)
    pictures, others = {"formats": "formats"}, {"formats": "formats_x"}
    for suffix in FORMATS:
        for name, read in (("picture", _picture), ("decode", _decode)):
            files = (f"formats/a.{suffix}",)
            yield Reader(f"{name} {suffix}", pictures, files, read(suffix), others, is_input=True,
                         weight=0.5)  # fmt: skip
    yield Reader("index a picture", {"run": "run"} | pictures, ("formats/*",), index_new, others,
                 is_input=True, weight=0.3)  # fmt: skip
    for suffix in ("safetensors", "pth"):
        yield Reader(f"weights {suffix}", {"tensors": "tensors"}, (f"tensors/w.{suffix}",),
                     _tensors(suffix), {"tensors": "tensors_x"}, is_input=True)  # fmt: skip
    for name in ("mnist", "coco/2014"):
        yield Reader(f"TFDS {name}", {"tfds": "tfds"}, (f"tfds/{name}/**/*",), _tfds(name),
                     {"tfds": "tfds_x"}, is_input=True, is_named_by_folder=True, primed=True,
                     weight=0.5)  # fmt: skip
    yield Reader("TFDS label cache", {"tfds": "tfds"}, ("tfds/cache/**/*",), _tfds("coco/2014"),
                 primed=True)  # fmt: skip
