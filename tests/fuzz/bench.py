"""Runs single cases of the campaign, and judges their outcomes."""

import random
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz import mutate
from tests.fuzz.isolate import Ending, isolated
from tests.fuzz.reader import Reader
from tests.fuzz.readers import readers

SECONDS = 40.0
# Mutations that leave a file valid. That two do not match may be said of their folders.
VALID_CONTENT = ("stranger", "member array", "array", "value", "value again", "digit", "lines")
_RANDOM_NAME = re.compile("[0-9a-f]{16}|[0-9a-f]{8}-[0-9a-f]{4}-")
# What a line about files without a hash says.
NOTE = re.compile(r"written by version 0\.1|cannot be (checked|verified)")


class Case(NamedTuple):
    """What is damaged how, and read by which reader.

    Attributes:
      reader: name of the reader.
      file: a file of :meth:`Bench.files`.
      kind: kind of the mutation.
      seed: seed of the mutation.
    """

    reader: str
    file: str
    kind: str
    seed: str


class Bench:
    """Runs cases in a folder of its own.

    Args:
      world: the healthy folders, see tests.fuzz.worlds.
      folder: a new folder.
    """

    def __init__(self, world: Path, folder: Path) -> None:
        self.world, self.folder = world, folder
        self.case, self.printed = folder / "case", folder / "printed"
        self.readers = {reader.name: reader for reader in readers()}
        self._right: dict[str, list[Any]] = {}
        self._usual_lines: dict[str, set[str]] = {}
        self._primed: dict[str, Path] = {}
        shutil.rmtree(folder, ignore_errors=True)  # of a campaign that was stopped
        folder.mkdir(parents=True)

    def can_read(self, reader: str) -> bool:
        """Whether the world has the folders of a reader."""
        folders = self.readers[reader].folders.values()
        return all((self.world / folder).is_dir() for folder in folders)

    def set_up(self, reader: Reader) -> None:
        """Copies the healthy folders that a reader reads."""
        shutil.rmtree(self.case, ignore_errors=True)
        source = self._primed.get(reader.name)
        if source is not None:
            shutil.copytree(source, self.case)
            return
        self.case.mkdir(parents=True)
        for name, healthy in reader.folders.items():
            shutil.copytree(self.world / healthy, self.case / name)
        if reader.primed:
            self._read(reader)
            self._primed[reader.name] = self.folder / f"primed-{len(self._primed)}"
            shutil.copytree(self.case, self._primed[reader.name])

    def right_answers(self, reader: Reader) -> list[Any]:
        """The answers for the healthy folders, of which the first is the usual one."""
        if reader.name not in self._right:
            answers = []
            for change in (lambda case: None, *reader.also):
                self.set_up(reader)
                change(self.case)
                ending = self._read(reader)
                if ending.how != "answer":
                    raise RuntimeError(f"{reader.name} fails on healthy files: {ending}")
                answers.append(ending.value)
                self._usual_lines.setdefault(reader.name, set(ending.printed.splitlines()))
            self._right[reader.name] = answers
        return self._right[reader.name]

    def files(self, reader: Reader) -> list[str]:
        """The files that a reader reads, and the folders of checkpoints.

        A random name is given as its rank by size among those beside it: ``state/d/#0``.
        """
        self.set_up(reader)
        found = {
            path
            for pattern in reader.files
            for path in self.case.glob(pattern)
            if path.is_file() or path.parent.name == "checkpoints"
        }
        return sorted(self._name(path) for path in found)

    def path(self, root: Path, file: str) -> Path | None:
        """The path of a file of :meth:`files`; None if there is none below ``root``."""
        path = root
        for name in Path(file).parts:
            if name.startswith("#"):
                beside = _by_size(path)
                name = beside[int(name[1:])].name if int(name[1:]) < len(beside) else name
            path = path / name
        return path if path.exists() else None

    def stranger(self, reader: Reader, file: str) -> Path | None:
        """The file of the same name in the stranger's folder."""
        top, _, rest = file.partition("/")
        other = reader.strangers.get(top)
        return None if other is None else self.path(self.world / other, rest)

    def _name(self, path: Path) -> str:
        names, folder = [], self.case
        for name in path.relative_to(self.case).parts:
            is_random = _RANDOM_NAME.search(name)
            names.append(f"#{_by_size(folder).index(folder / name)}" if is_random else name)
            folder = folder / name
        return "/".join(names)

    def run(self, case: Case) -> dict[str, Any]:
        """Runs a case, and returns its record."""
        reader, rng = self.readers[case.reader], random.Random(case.seed)
        right = self.right_answers(reader)
        self.set_up(reader)
        path, stranger = self.path(self.case, case.file), self.stranger(reader, case.file)
        if path is None:
            raise ValueError(f"there is no file {case.file} for {reader.name}")
        said = mutate.apply(case.kind, path, rng, stranger)
        ending = self._read(reader)
        return {
            "case": case._asdict(),
            "mutation": said,
            "outcome": self._judge(reader, case, path, ending, right),
            "how": ending.how,
            "value": str(ending.value).replace(str(self.case), "CASE")[:600],
            "printed": ending.printed.replace(str(self.case), "CASE")[-1500:],
            "seconds": round(ending.seconds, 2),
        }

    def _read(self, reader: Reader) -> Ending:
        read = reader.read
        return isolated(lambda: read(self.case, self.world), self.printed, seconds=SECONDS)

    def _judge(
        self, reader: Reader, case: Case, path: Path, ending: Ending, right: list[Any]
    ) -> str:
        if ending.how in ("hang", "signal", "traceback"):
            return ending.how
        if reader.is_program and "Traceback (most recent call last)" in ending.printed:
            return "traceback"
        if ending.how == "error":
            text = f"{ending.value} {ending.printed}"
            return "clear" if self._is_named(reader, case, path, text) else "unnamed"
        if ending.value in right:
            return "identical"
        if reader.is_input or case.kind in reader.others_right:
            return "input"
        if reader.is_old and NOTE.search(ending.printed):
            return "noted"
        usual = self._usual_lines[reader.name]
        said = "\n".join(line for line in ending.printed.splitlines() if line not in usual)
        return "noted" if self._is_named(reader, case, path, said) else "silent"

    def _is_named(self, reader: Reader, case: Case, path: Path, text: str) -> bool:
        """Whether a text names the damaged file or, if two do not match, the other one."""
        names = {path.name, *(Path(file).name for file in reader.files if "*" not in file)}
        if "checkpoints" in path.parts:
            names = {"/checkpoints"}
        if "pictures.lance" in path.parts:
            names = {"/store"}  # the user knows no file of LanceDB
        if reader.is_named_by_folder or case.kind in VALID_CONTENT:
            names.add(str(path.parent))
        if reader.is_named_by_folder:
            names.add(str(self.case / Path(case.file).parts[0]))
        return any(name in text for name in names)


def _by_size(folder: Path) -> list[Path]:
    """The folders in a folder, and then its files by size."""
    paths = list(folder.iterdir()) if folder.is_dir() else []
    sizes = {path: path.stat().st_size if path.is_file() else -1 for path in paths}
    return sorted(paths, key=lambda path: (sizes[path], path.name))


def plan(bench: Bench, mutations: int, seed: int, only: str = "") -> list[Case]:
    """Chooses the cases: every mutation of every file for every reader, then random ones.

    Args:
      bench: the bench.
      mutations: number of cases.
      seed: seed of the choice and of the mutations.
      only: text in the names of the readers that are used.
    """
    rng = random.Random(seed)
    every, weights = [], []
    for reader in (
        reader for name, reader in bench.readers.items() if only in name and bench.can_read(name)
    ):
        files = bench.files(reader)
        for file in files:
            path = bench.path(bench.case, file)
            assert path is not None
            for kind in mutate.kinds_for(path, bench.stranger(reader, file)):
                every.append((reader.name, file, kind))
                weights.append(reader.weight / len(files) ** 0.5)
    rng_order = rng.sample(range(len(every)), len(every))
    chosen = [every[i] for i in rng_order[:mutations]]
    chosen += rng.choices(every, weights, k=max(mutations - len(chosen), 0))
    return [Case(*choice, seed=f"{seed}-{number}") for number, choice in enumerate(chosen)]
