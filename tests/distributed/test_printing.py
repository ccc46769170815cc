"""Tests that foreign text cannot act on a terminal."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashnet_jax.distributed.printing import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain.jpg", "plain.jpg"),
        ("naïve ☃ картинка 👩‍👩‍👧 $5 {x}.jpg", "naïve ☃ картинка 👩‍👩‍👧 $5 {x}.jpg"),
        ("a\x1b[2Jb\x07\r\n\t", r"a\x1b[2Jb\x07\r\n\t"),
        ("cod\u202egpj.exe", r"cod\u202egpj.exe"),
        ("\x9b31m\u2028\u2066\x85", r"\x9b31m\u2028\u2066\x85"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_text_that_a_terminal_would_act_on_is_escaped(text, shown):
    assert printable(text) == shown


@given(st.text(st.characters(codec=None)))
def test_the_result_is_one_line_of_valid_unicode_and_unchanged_by_escaping_again(text):
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert printable(shown) == shown
