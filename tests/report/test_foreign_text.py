"""Tests that names of classes and files are shown as they are, whatever they contain."""

import dataclasses
import os
import xml.dom.minidom
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from hashnet_jax.report import card_text, protocol_card, read_finished_run, write_report
from hashnet_jax.report._figures import STYLE, draw, literal
from hashnet_jax.report._markup import breakable, text
from tests.report.conftest import Page
from tests.support.made_runs import make_run, pictures

NOT_UTF_8 = os.fsdecode(b"caf\xe9")
# Each name, and how it is shown where control characters cannot be.
NAMES = {
    "$20_$50": "$20_$50",
    "under $5 {sale} $10": "under $5 {sale} $10",
    r"a\$b^_{x": r"a\$b^_{x",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    "&amp; \"quoted\" 'twice'": "&amp; \"quoted\" 'twice'",
    "\x1b[31mred\a\r\n": r"\x1b[31mred\x07\r\n",
    NOT_UTF_8: r"caf\xe9",
    "photo\u202egpj.exe": r"photo\u202egpj.exe",
    "noncharacter \ufffe": r"noncharacter \ufffe",
    "שלום": "שלום",
    "猫": "猫",
    "_hidden": "_hidden",
    "n" * 255: "n" * 255,
}


class Texts(HTMLParser):
    """Collects the text of a page without the line breaks inside names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


@pytest.mark.parametrize(("name", "shown"), NAMES.items())
def test_html_shows_a_name_as_text(name, shown):
    for escaped in (text(name), breakable(name)):
        assert "".join(Texts(escaped).parts) == shown
        escaped.encode()
    (image,) = Page(f'<img alt="{text(name)}">').attributes("img")
    assert image["alt"] == shown


def test_names_written_from_right_to_left_are_isolated():
    assert breakable("שלום/1") == "<bdi>שלום/<wbr>1</bdi>"
    assert breakable("مرحبا") == "<bdi>مرحبا</bdi>"
    assert "<bdi>" not in breakable("abc 猫 é")


@pytest.mark.parametrize(("name", "shown"), list(NAMES.items())[:-1])
def test_figures_show_a_name_without_math_or_a_warning(name, shown):
    drawn = []

    def plot(figure: Figure) -> str:
        axes = figure.subplots()
        drawn.append(axes.text(0, 0, literal(name)))
        drawn.append(axes.annotate(literal(name), (0.5, 0.5)))
        return ""

    figure = draw(plot, name="x", title="x", caption="", alt="")
    for label in drawn:
        assert label._preprocess_math(label.get_text()) == (shown, False)
    xml.dom.minidom.parseString(figure.svg)


def test_names_are_shortened_before_they_are_escaped():
    with matplotlib.rc_context(STYLE):
        shortened = Figure().text(0, 0, literal("$" * 30, longest=5))
    assert shortened._preprocess_math(shortened.get_text()) == ("$$$$…", False)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A run with classes and pictures of such names, and its report."""
    folder = tmp_path_factory.mktemp(f"$run$ {NOT_UTF_8}")
    _, params = make_run(folder / "run", multi_label=True)
    return folder / "run", params


@pytest.mark.slow
@pytest.mark.parametrize("names", [list(NAMES)[:5], list(NAMES)[5:10], list(NAMES)[8:13]])
def test_a_report_is_written_whatever_the_names(foreign, names):
    folder, params = foreign
    dataset = pictures(np.random.default_rng(0))
    files = tuple(f"{names[i % 5]}/{i} {names[-1]}.png" for i in range(len(dataset.names)))
    dataset = dataclasses.replace(dataset, classes=tuple(names), names=files)
    write_report(folder, dataset, params)
    content = (folder / "report.html").read_text(encoding="utf-8")
    page, shown = Page(content), "".join(Texts(content).parts)
    assert len(page.attributes("script")) == 1
    for name in names:
        assert NAMES[name] in shown
        assert any(NAMES[name] in str(image["alt"]) for image in page.attributes("img"))
    for figure in (folder / "figures").glob("*.svg"):
        xml.dom.minidom.parse(str(figure))


def test_the_card_is_printed_without_escape_sequences(foreign):
    card = protocol_card(read_finished_run(foreign[0]))
    card["data"]["notes"] = ["left out: \x1b[31m.png", NOT_UTF_8]
    printed = card_text(card)
    assert r"\x1b[31m.png" in printed
    assert r"caf\xe9" in printed
    printed.encode()
