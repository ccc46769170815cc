"""Tests the page of search results."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.report import write_search_page

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("one.jpg", "two_<b>.jpg"):
        image = rng.integers(0, 255, (90, 120, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "link.jpg").symlink_to("one.jpg")
    return tmp_path


def write(folder, results):
    path = folder / "page.html"
    write_search_page(path, results, 48)
    return path.read_text(encoding="utf-8")


def test_the_page_shows_each_result_with_rank_distance_and_name(pictures):
    one, two = (str(pictures / name) for name in ("one.jpg", "two_<b>.jpg"))
    text = write(pictures, [(one, [(0, one), (7, two)])])
    assert text.count("data:image/jpeg;base64,") == 3
    assert '<span class="rank">2</span> <span class="distance">7 bits</span>' in text
    assert "two_<wbr>&lt;b&gt;.<wbr>jpg" in text
    assert "<b>" not in text
    assert "48-bit codes" in text
    assert "<nav" not in text


def test_the_page_shows_the_scores_and_says_what_they_are(pictures):
    one, two = (str(pictures / name) for name in ("one.jpg", "two_<b>.jpg"))
    path = pictures / "page.html"
    write_search_page(path, [(one, [(7, two), (0, one)])], 48, [[12.3456, -0.5]])
    text = path.read_text(encoding="utf-8")
    assert '<span class="distance">7 bits</span> <span class="score">score 12.35</span>' in text
    assert '<span class="score">score -0.5</span>' in text
    assert "by score (the inner product of the logits of the query and the code" in text
    assert "nearest by Hamming distance between 48-bit codes" in text
    assert '"score"' not in write(pictures, [(one, [(0, one)])])


def test_the_query_s_own_file_is_marked_whatever_its_name(pictures):
    one, two = (str(pictures / name) for name in ("one.jpg", "two_<b>.jpg"))
    link = str(pictures / "link.jpg")
    text = write(pictures, [(one, [(0, link), (1, two), (1, f"{pictures}/./one.jpg")])])
    marked = re.findall(r'<li( class="own")?>', text)
    assert marked == [' class="own"', "", ' class="own"']
    assert text.count('<span class="same">the same file</span>') == 2


def test_a_picture_that_was_moved_away_is_named_with_the_reason(pictures):
    gone = str(pictures / "gone.jpg")
    text = write(pictures, [(str(pictures / "one.jpg"), [(3, gone)])])
    assert "cannot be shown: no such file or directory" in text
    assert "gone.<wbr>jpg" in text


def test_several_queries_have_a_list_of_links(pictures):
    one = str(pictures / "one.jpg")
    text = write(pictures, [(one, [(0, one)]), (one, [(0, one)])])
    links = re.findall(r'<a href="#(query-\d)">', text)
    assert links == ["query-1", "query-2"]
    assert all(f'<section id="{link}"' in text for link in links)
    assert "2 queries" in text


@pytest.mark.slow
def test_the_page_needs_no_library_of_the_report():
    script = "import sys, hashnet_jax.report; print('matplotlib' in sys.modules)"
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout == "False\n"


def test_names_are_text_whatever_they_contain(pictures):
    one = str(pictures / "one.jpg")
    name = os.fsdecode(b"\x1b[1m<b>caf\xe9\xe2\x80\xae.jpg")
    shutil.copy(one, pictures / name)
    foreign = str(pictures / name)
    missing = "gone\0.jpg"
    page = write(pictures, [(foreign, [(0, foreign), (9, missing)])])
    shown = r"\x1b[1m&lt;b&gt;caf\xe9\u202e.jpg"
    assert f'title="{pictures}/{shown}"' in page
    assert r"gone\x00" in page
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]", page)
