"""Tests the page of duplicates."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.report import DuplicateTile, _duplicates_page, write_duplicates_page
from tests.report.conftest import Page


@pytest.fixture
def path(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "one.jpg")
    return str(tmp_path / "one.jpg")


def tile(path, distance=0, copies=None, pixels=None, same=False, unreadable=None):
    return DuplicateTile(path, distance, copies, pixels, same, unreadable)


def write(folder, groups):
    file = folder / "page.html"
    write_duplicates_page(file, groups, searched=90, bits=48, radius=2, copy_bits=8)
    return file.read_text(encoding="utf-8")


def test_each_group_shows_its_copies_apart_from_other_pictures(path, tmp_path):
    group = [
        tile(path, 0, 1, 0, True),
        tile(path, 1, 1, 3, True),
        tile(path, 2),
        tile(str(tmp_path / "gone.jpg"), 1, unreadable="no such file or directory"),
    ]
    text = write(tmp_path, [group, [tile(path), tile(path)]])
    page = Page(text)
    assert text.count("data:image/jpeg;base64,") == 5
    headings = re.findall(r"<h[23][^>]*>(.*)</h[23]>", text)
    assert headings == [
        "Group 1: 4 pictures, 2 near copies",
        "Near copies: 2 pictures",
        "Similar codes, different pixels",
        "Cannot be read",
        "Group 2: 2 pictures",
        "Similar codes, different pixels",
    ]
    assert '<span class="distance">code 1 bit</span> <span class="score">pixels 3 bits' in text
    assert text.count('<span class="same">same bytes</span>') == 2
    assert "cannot be read: no such file or directory" in text
    assert "6 of 90 pictures" in text
    assert "at most 2 bits of its 48-bit code" in text
    assert "at most 8 of 64&nbsp;bits" in text
    assert len([one for one in page.attributes("img") if one["alt"] == "one.jpg"]) == 5


def test_the_page_can_be_used_by_keyboard(path, tmp_path):
    page = Page(write(tmp_path, [[tile(path), tile(path)]] * 3))
    links = [attributes["href"] for attributes in page.attributes("a")]
    assert links == ["#groups", "#group-1", "#group-2", "#group-3"]
    ids = {attributes.get("id") for _, attributes in page.elements}
    assert all(link[1:] in ids for link in links)
    labels = [section["aria-labelledby"] for section in page.attributes("section")]
    assert set(labels) <= ids
    assert not page.attributes("script")


def test_a_page_of_very_many_pictures_says_what_it_leaves_out(path, tmp_path, monkeypatch):
    monkeypatch.setattr(_duplicates_page, "MAX_PICTURES", 4)
    text = write(tmp_path, [[tile(path)] * 3] * 5)
    assert text.count('<section id="group-') == 2
    assert "3 more groups not shown" in text
    assert "5 groups of pictures" in text


def test_a_store_without_duplicates_has_a_page_too(tmp_path):
    text = write(tmp_path, [])
    Page(text)
    assert "0 groups of pictures" in text
    assert "<nav" not in text


def test_names_and_reasons_are_text_whatever_they_contain(tmp_path):
    name = os.fsdecode(b"\x1b[1m<b>caf\xe9\xe2\x80\xae.jpg")
    group = [tile(str(tmp_path / name), unreadable='<i>"&'), tile("gone\0.jpg")]
    text = write(tmp_path, [group])
    assert r"\x1b[1m&lt;b&gt;caf\xe9\u202e.jpg" in text
    assert "cannot be read: &lt;i&gt;&quot;&amp;" in text
    assert "<b>" not in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", text)
