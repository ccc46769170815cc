"""Tests for `hashnet search --store` and `hashnet duplicates`: output, limits and errors."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from hashnet_jax.cli import main
from hashnet_jax.codes import binarize, pack_bits, unpack_bits
from hashnet_jax.data.sources import read_squashed
from hashnet_jax.index import open_store
from hashnet_jax.model import logits, preprocess
from hashnet_jax.weights import load
from tests.support.bad_pictures import write_bad
from tests.support.cli_case import environment, hashnet, make_pictures, make_run, start

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run, and two stores of 16 and 5 of its pictures. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "run")
    make_pictures(folder / "photos" / "cats", 16)
    make_pictures(folder / "photos" / "dogs", 5)
    for label, store in (("cats", "one"), ("dogs", "two")):
        args = ("index", "add", folder / "run", folder / "photos" / label, "--label", label)
        assert hashnet(*args, "--store", folder / store, "--devices", 1, "--batch-size", 8) == 0
    return folder


@pytest.fixture
def search(made, monkeypatch, capsys):
    """A function that searches for the picture 0003.png, and returns what is printed."""
    monkeypatch.chdir(made)
    capsys.readouterr()

    def run(*args, stores=("one",), queries=("photos/cats/0003.png",), run="run"):
        named = [word for store in stores for word in ("--store", store)]
        status = hashnet("search", run, *queries, *named, *args)
        printed = capsys.readouterr()
        assert status == (1 if printed.err.startswith("hashnet search: error") else 0)
        return printed.err if status else printed.out

    return run


@pytest.fixture
def expected(made):
    """The logits of the query, and all (distance, path) of the first store, in order."""
    params = load(made / "run")
    picture = made / "photos" / "cats" / "0003.png"
    image = read_squashed(picture, params.spec.resize)
    z = logits(params, preprocess(image[None], params.spec))
    whole = open_store(made / "one").snapshot()
    distance = np.bitwise_count(np.asarray(pack_bits(binarize(z))) ^ whole.codes).sum(axis=1)
    ids = whole.ids.to_pylist()
    return np.asarray(z[0]), sorted(zip(distance.tolist(), ids, strict=True)), whole


def neighbours(text):
    (result,) = json.loads(text)["results"]
    return result["neighbours"]


def pairs(text):
    return [(one["distance"], one["picture"]) for one in neighbours(text)]


@pytest.mark.slow
def test_json_has_the_nearest_pictures_with_their_labels_and_the_version_of_the_store(
    search, made, expected
):
    text = search("-k", "5", "--json")
    content = json.loads(text)
    store = open_store(made / "one")
    described = {"store": "one", "version": store.version, "searched": 16}
    header = {"bits": 12, "searched": 16, "index": "flat", "stores": [described]}
    assert {name: content[name] for name in header} == header
    assert pairs(text) == expected[1][:5]
    assert {(one["label"], one["store"]) for one in neighbours(text)} == {("cats", "one")}
    assert search("-k", "5", "--json") == text, "from the saved snapshot"
    assert len(pairs(search("--json"))) == 10


@pytest.mark.slow
def test_a_radius_finds_all_pictures_within_it(search, expected):
    for radius in (0, 1, 12):
        within = [pair for pair in expected[1] if pair[0] <= radius]
        assert pairs(search("--radius", radius, "--json")) == within
        assert pairs(search("--radius", radius, "-k", "2", "--json")) == within[:2]


def test_several_stores_are_searched_as_one(search, made):
    text = search("--json", "-k", "30", stores=("one", "two"))
    found = [(one["distance"], one["picture"], one["store"]) for one in neighbours(text)]
    assert found == sorted(found)
    assert len(found) == 21
    assert {(one["store"], one["label"]) for one in neighbours(text)} == {
        ("one", "cats"), ("two", "dogs")
    }  # fmt: skip
    assert [store["searched"] for store in json.loads(text)["stores"]] == [16, 5]
    table = search("-k", "3", stores=("one", "two")).splitlines()
    assert table[0] == f"query {made}/photos/cats/0003.png"
    assert table[1].split() == ["rank", "distance", "store", "label", "picture"]
    first, path, _ = found[0]
    assert table[2].split() == ["1", str(first), "one", "cats", path]
    assert len(table) == 5


def test_a_filter_restricts_the_search_and_a_wrong_one_names_the_columns(search, expected):
    where = "label = 'cats' AND id LIKE '%/000%'"
    kept = [pair for pair in expected[1] if "/000" in pair[1]]
    assert pairs(search("--where", where, "--json", "-k", "30")) == kept
    assert pairs(search("--where", "label = 'dogs'", "--json")) == []
    error = search("--where", "colour = 'red'")
    assert "--where must be a SQL filter" in error
    assert all(column in error for column in ("id", "label", "size", "mtime_ns", "sha256"))


def test_rescoring_gives_the_order_of_brute_force(search, expected, made):
    z, nearest, whole = expected
    text = search("--rescore", "9", "-k", "4", "--json", "--html", made / "page.html")
    signs = np.asarray(unpack_bits(whole.codes, 12), float)
    scores = dict(zip(whole.ids.to_pylist(), (signs @ z.astype(float)).tolist(), strict=True))
    best = sorted((path for _, path in nearest[:9]), key=lambda path: -scores[path])[:4]
    found = neighbours(text)
    assert [round(one["score"], 3) for one in found] == [round(scores[path], 3) for path in best]
    assert json.loads(text)["rescored"] == 9
    assert (made / "page.html").read_text().count('<span class="score">score ') == 4


def test_the_index_of_the_store_finds_pictures_at_their_distances(search, expected):
    found = pairs(search("--index", "ivf", "--probes", "3", "--json"))
    assert [distance for distance, _ in found] == [d for d, _ in expected[1]][:10]
    assert set(found) <= set(expected[1])


def test_networks_arguments_and_stores_that_do_not_fit_are_named(search, made):
    make_run(made / "other", seed=1)
    error = search(run="other")
    assert "the codes in one were computed by a different network" in error
    for args, message in (
        (("-k", "0"), "-k must be >= 1, got 0"),
        (("--radius", "-1"), "--radius must be >= 0, got -1"),
        (("--rescore", "9"), "--rescore must be at least 10, the number of neighbours shown (-k)"),
        (("--radius", "2", "--index", "ivf"), "--radius needs --index flat"),
        (("--probes", "2"), "--probes must be >= 1 and needs --index ivf, got 2"),
        (("--index", "ivf", "--probes", "0"), "--probes must be >= 1 and needs --index ivf, got 0"),
        (("--html", "none/page.html"), "--html must be in an existing folder"),
    ):
        assert message in search(*args)
    assert "or choose another --store." in search(stores=("none",))
    assert "no file or folder matches 'none.png'" in search(queries=("none.png",))


def test_without_a_store_a_query_or_a_known_index_the_usage_is_shown(made, capsys):
    for args, message in (
        (("codes", "a.png"), "import it into a store first: hashnet index import CODES --store"),
        (("--store", "one"), "the following arguments are required: QUERY"),
        (("a.png", "--store", "one", "--index", "hnsw"), "invalid choice: 'hnsw'"),
    ):
        with pytest.raises(SystemExit) as status:
            main(["search", str(made / "run"), *args])
        assert status.value.code == 2
        assert message in capsys.readouterr().err


def test_more_queries_than_a_batch_are_encoded(search, monkeypatch):
    monkeypatch.setattr("hashnet_jax.cli._queries.MAX_QUERY_BATCH_SIZE", 2)
    out = search("-k", "1", queries=("photos/dogs", "photos/cats/0003.png"))
    assert len(re.findall("^query ", out, flags=re.MULTILINE)) == 6


def test_unreadable_queries_are_named_and_the_others_are_searched(made, tmp_path, capsys):
    reasons = write_bad(tmp_path)
    search, store = ("search", made / "run", tmp_path), ("--store", made / "one", "--json")
    capsys.readouterr()
    assert hashnet(*search, made / "photos" / "cats" / "0003.png", *store) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["results"]) == 1
    assert len(re.findall("^skipped ", printed.err, flags=re.MULTILINE)) == len(reasons)
    assert hashnet(*search, *store) == 1
    assert "none of the queries could be read" in capsys.readouterr().err


def test_the_page_embeds_its_pictures_and_describes_them(made, tmp_path, capsys):
    photos = shutil.copytree(made / "photos" / "cats", tmp_path / "photos")
    odd = tmp_path / 'odd <b>&"name".png'
    shutil.copy(photos / "0003.png", odd)
    update = ("index", "update", made / "run", photos, "--store", tmp_path / "store")
    assert hashnet(*update, "--devices", 1, "--batch-size", 8) == 0
    (photos / "0007.png").unlink()
    find = ("search", made / "run", odd, "--store", tmp_path / "store", "-k", 16, "--html")
    assert hashnet(*find, tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert len(re.findall('src="data:image/(?:jpeg|png);base64,', page)) == 16
    assert len(re.findall('<img alt="', page)) == 16
    assert "cannot be shown: no such file" in page
    assert 'name="viewport"' in page
    assert "<b>" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page), "the page must be self-contained"


@pytest.mark.slow
def test_a_reader_that_stops_early_causes_no_traceback(made):
    process = start("search", "run", "photos", "--store", "one", "-k", 16, cwd=made)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() in (0, 141)
    assert "Traceback" not in err
    assert "Error" not in err


def test_duplicates_prints_groups_and_names_what_is_missing(made, tmp_path, capsys):
    pytest.importorskip("imagehash")
    folder = shutil.copytree(made / "photos" / "dogs", tmp_path / "photos")
    shutil.copy(folder / "0001.png", folder / "copy \x1b[1m<b>.png")
    shutil.copy(folder / "0001.png", folder / "gone.png")
    args = ("--store", tmp_path / "store", "--devices", 1, "--batch-size", 8)
    assert hashnet("index", "update", made / "run", folder, *args) == 0
    (folder / "gone.png").unlink()
    capsys.readouterr()
    find = ("duplicates", "--store", tmp_path / "store", "--radius")
    assert hashnet(*find, 12, "--html", tmp_path / "page.html") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "1 group within 12 bits: 7 of 7 pictures"
    assert lines[2] == "group 1: 7 pictures"
    assert re.fullmatch(rf" +\d+ +0  same file 1    {folder}/0001\.png", lines[4])
    assert lines[5].endswith(r"same file 1    " + f"{folder}/copy \\x1b[1m<b>.png")
    assert lines[-1].endswith(f"unreadable     {folder}/gone.png (no such file or directory)")
    page = (tmp_path / "page.html").read_text()
    assert "gone.<wbr>png" in page
    assert "<b>" not in page
    assert hashnet(*find, 0, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert {name: content[name] for name in ("searched", "radius", "copy_bits", "bits")} == {
        "searched": 7, "radius": 0, "copy_bits": 8, "bits": 12
    }  # fmt: skip
    paths = [{one["picture"] for one in group} for group in content["groups"]]
    assert any({str(folder / "0001.png"), str(folder / "gone.png")} <= group for group in paths)
    assert hashnet(*find, -1) == 1
    assert "--radius must be >= 0, got -1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_second_search_imports_neither_flax_nor_lancedb(made, tmp_path):
    query = made / "photos" / "cats" / "0003.png"
    script = f"""
import sys
from hashnet_jax.cli import main
status = main(["search", {str(made / "run")!r}, {str(query)!r}, "--store", {str(made / "one")!r}])
print(status, sorted({{"flax", "lancedb", "scipy", "jax"}} & set(sys.modules)))
"""
    own = environment() | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    printed = [
        subprocess.run(
            [sys.executable, "-c", script], env=own, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    first, second = (text.splitlines() for text in printed)
    assert first[-1].startswith("0 ['flax', 'jax'")
    assert second[-1] == "0 ['jax']"
    assert first[:-1] == second[:-1]
