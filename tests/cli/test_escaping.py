"""Tests that foreign text in the messages of the programs cannot act on a terminal."""

import pytest

from hashnet_jax.cli import main

ESCAPES = "a\x1b[2J\x07\r\u202eb"
SHOWN = r"a\x1b[2J\x07\r\u202eb"


def check(printed):
    assert SHOWN in printed
    for character in "\x1b\x07\r\u202e":
        assert character not in printed


@pytest.mark.parametrize(
    "argv",
    [
        ["info", ESCAPES],
        ["index", "info", "--store", ESCAPES],
        ["train", "--dataset", "folder", "--image-root", ESCAPES],
        ["train", "--dataset", "folder", "--csv", ESCAPES],
    ],
)
def test_names_in_errors_are_escaped(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 1
    check(capsys.readouterr().err)


@pytest.mark.parametrize("argv", [["info", "x", ESCAPES], ["train", "--steps", ESCAPES], [ESCAPES]])
def test_arguments_that_are_quoted_in_usage_errors_are_escaped(argv, capsys):
    with pytest.raises(SystemExit):
        main(argv)
    printed = capsys.readouterr().err
    assert "error:" in printed
    for character in "\x1b\x07\r\u202e":
        assert character not in printed


def test_a_message_of_several_lines_stays_on_several_lines(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text("a\x1b,x,y\nb\x1b,x,y\n", "utf-8")
    assert main(["train", "--dataset", "folder", "--csv", "labels.csv"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:3][-1] for line in lines[1:]] == [
        "  labels.csv, line 1",
        "  labels.csv, line 2",
    ]
