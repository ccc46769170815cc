"""The readers of codes and labels from other programs: `hashnet evaluate`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.reader import Reader, command

# The files of each form, see tests.fuzz.worlds_of_codes; the codes in the archives are packed.
FORMS = {
    "npy": ("q.npy", "db.npy", "q_labels.npy", "db_labels.npy"),
    "npz": ("q.npz", "all.npz:db", "q_labels.npz", "all.npz:db_labels", "--bits", "16"),
    "text": ("q.txt", "db.txt", "q_labels.txt", "db_labels.csv"),
}
_OPTIONS = ("--query-codes", "--database-codes", "--query-labels", "--database-labels")


def _evaluate(form: str) -> Callable[[Path, Path], Any]:
    def read(case: Path, world: Path) -> Any:
        files = [case / "evaluation" / name for name in FORMS[form][:4]]
        given = [part for pair in zip(_OPTIONS, files, strict=True) for part in pair]
        return command(case, "evaluate", *given, *FORMS[form][4:], "--json")

    return read


def evaluations() -> Iterator[Reader]:
    """The readers of codes and labels from other programs."""
    folders, other = {"evaluation": "evaluation"}, {"evaluation": "evaluation_x"}
    for form, names in FORMS.items():
        files = sorted({f"evaluation/{name.partition(':')[0]}" for name in names[:4]})
        yield Reader(f"evaluate {form}", folders, tuple(files), _evaluate(form), other,
                     is_input=True)  # fmt: skip
