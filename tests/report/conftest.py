"""Fixtures for synthetic runs whose reports are written once per session."""

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hashnet_jax.data import Dataset
from hashnet_jax.model import HashNetParams
from hashnet_jax.report import write_report
from tests.support.made_runs import make_run

VOID = ("meta", "link", "img", "wbr")


class Page(HTMLParser):
    """Collects the elements of a page as (tag, attributes), and checks that tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def attributes(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@dataclasses.dataclass(frozen=True, eq=False)
class MadeRun:
    """A finished run with its data set and network; only some of these runs have a report."""

    folder: Path
    dataset: Dataset
    params: HashNetParams

    def page(self) -> Page:
        return Page((self.folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(
    scope="session", params=["digits", pytest.param("pictures", marks=pytest.mark.slow)]
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    """A run with its report, on digits or on named pictures with several labels."""
    folder = tmp_path_factory.mktemp("runs") / request.param
    run = MadeRun(folder, *make_run(folder, multi_label=request.param == "pictures"))
    write_report(folder, run.dataset, run.params)
    return run


@pytest.fixture
def collapsed(tmp_path: Path) -> MadeRun:
    """A run without a report whose codes are all equal."""
    folder = tmp_path / "collapsed"
    return MadeRun(folder, *make_run(folder, collapsed=True))


@pytest.fixture
def digits_run(tmp_path: Path) -> Path:
    """The folder of a finished run on digits, without a report."""
    make_run(tmp_path / "digits")
    return tmp_path / "digits"
