"""Tests for the paper's figures in the table, and the notes on their sources."""

from experiments.table import markdown

IMAGENET = {"dataset": "imagenet100", "seeds": [0], "convention": "MAP@1000"}


def rows(text):
    return {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if "|" in line}


def test_figures_that_a_second_source_confirms_are_marked():
    text = markdown({("hashnet", 48): [0.5]}, bits=[16, 48, 64], **IMAGENET)
    assert rows(text)["hashnet, paper"] == (
        "| hashnet, paper | 0.5059 | 0.6633 (read) | 0.6835 (read) |"
    )
    assert "0.5419 (read)" in rows(text)["dhn, paper"]


def test_the_footnote_gives_both_figures_where_sources_differ():
    text = markdown({("hashnet", 16): [0.5]}, bits=[16, 32], **IMAGENET)
    footnote = text.splitlines()[-1]
    for figure in (".5059", ".6306", ".442", ".606", "preprint"):
        assert figure in footnote


def test_rivals_of_the_paper_that_cannot_be_run_are_in_the_table():
    text = markdown({("hashnet", 48): [0.5]}, bits=[48], runnable={"hashnet-w", "itq"}, **IMAGENET)
    assert "dhn, paper" in rows(text)
    assert "itq, paper" not in rows(text)


def test_a_data_set_that_is_not_in_the_paper_has_only_our_rows():
    text = markdown(
        {("hashnet", 24): [0.5, 0.7]}, dataset="digits", bits=[24], seeds=[0, 1], convention="MAP"
    )
    assert rows(text)["hashnet"] == "| hashnet | 0.6000 ± 0.1414 |"
    assert "paper" not in text
