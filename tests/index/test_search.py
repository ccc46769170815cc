"""Tests for `hashnet search` and `hashnet info`."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from hashnet_jax.codes import binarize, pack_bits, unpack_bits
from hashnet_jax.data.sources import read_squashed
from hashnet_jax.hamming import rescore, top_k
from hashnet_jax.index import (
    KINDS,
    Manifest,
    nearest,
    open_codes,
    open_index,
    read_ids,
    read_manifest,
    rescored,
)
from hashnet_jax.model import ModelSpec, logits, preprocess
from hashnet_jax.weights import load
from tests.support.bad_pictures import write_bad
from tests.support.cli_case import hashnet, make_pictures, make_run, start

faiss = pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a run, 40 pictures and their codes. Tests must not modify it."""
    folder = tmp_path_factory.mktemp("made")
    make_run(folder / "run")
    make_pictures(folder / "pictures", 40)
    args = ("encode", folder / "run", folder / "pictures", "-o", folder / "codes")
    assert hashnet(*args, "--devices", 1) == 0
    return folder


@pytest.fixture
def case(made, tmp_path, monkeypatch):
    """A copy of the folder ``made``, which is the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_codes(folder, packed, bits):
    """Writes a codes folder without pictures."""
    folder.mkdir()
    np.save(folder / "codes.npy", packed)
    (folder / "ids.txt").write_text("".join(f"{i}.jpg\n" for i in range(len(packed))))
    spec = ModelSpec("small_cnn", bits=bits, image_size=8, resize=8)
    manifest = Manifest.of(
        spec,
        weights_sha256="0" * 64,
        number=len(packed),
        batch_size=8,
        devices=1,
        inputs=[],
        skipped=[],
    )
    manifest.write(folder)
    return manifest


@pytest.mark.parametrize("bits", [12, 48, 64])
def test_faiss_top_k_and_a_loop_over_bits_give_the_same_distances(tmp_path, bits):
    rng = np.random.default_rng(bits)
    codes = rng.choice([-1, 1], (300, bits)).astype(np.int8)
    packed = np.asarray(pack_bits(codes))
    queries, k = packed[:7], 20
    manifest = write_codes(tmp_path / "codes", packed, bits)
    by_faiss = nearest(open_index(tmp_path / "codes", manifest, "flat"), queries, k)
    by_top_k, _ = top_k(queries, packed, k)
    for query, found, distances in zip(queries, by_faiss, np.asarray(by_top_k), strict=True):
        loop = [
            sum(int(a ^ b).bit_count() for a, b in zip(query, code, strict=True)) for code in packed
        ]
        assert [d for d, _ in found] == distances.tolist() == sorted(loop)[:k]
        assert all(loop[i] == d for d, i in found)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [12, 64])
def test_rescoring_what_faiss_found_equals_rescoring_on_device(tmp_path, bits):
    rng = np.random.default_rng(bits)
    packed = np.asarray(pack_bits(rng.choice([-1, 1], (400, bits))))
    z = rng.normal(size=(6, bits)).astype(np.float32)
    queries = np.asarray(pack_bits(binarize(z)))
    manifest = write_codes(tmp_path / "codes", packed, bits)
    index = open_index(tmp_path / "codes", manifest, "flat")
    found, scores = rescored(nearest(index, queries, 50), z, packed, 9)

    distance, nearest_codes = top_k(queries, packed, 50)
    score, order = rescore(z, packed, nearest_codes)
    assert [[i for _, i in row] for row in found] == order[:, :9].tolist()
    np.testing.assert_array_equal(scores, score[:, :9])
    pairs = zip(nearest_codes.tolist(), distance.tolist(), strict=True)
    by_id = [dict(zip(*row, strict=True)) for row in pairs]
    assert all(by_id[q][i] == d for q, row in enumerate(found) for d, i in row)


def test_queries_for_which_an_index_finds_fewer_codes_are_rescored_too():
    z = np.array([[1.0, 0.5, 0.25], [1.0, 1.0, 1.0]], np.float32)
    codes = np.asarray(pack_bits(np.array([[1, 1, 1], [1, 1, -1], [-1, 1, 1]])))
    found, scores = rescored([[(0, 0), (1, 1), (1, 2)], [(1, 2)]], z, codes, 2)
    assert found == [[(0, 0), (1, 1)], [(1, 2)]]
    assert scores == [[1.75, 1.25], [1.0]]
    assert rescored([[], []], z, codes, 2) == ([[], []], [[], []])


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"flat"}))
def test_an_approximate_index_finds_most_of_the_nearest_at_their_true_distances(tmp_path, kind):
    rng = np.random.default_rng(0)
    centres = rng.choice([-1, 1], (50, 48))
    codes = np.repeat(centres, 60, axis=0) * np.where(rng.random((3000, 48)) < 0.04, -1, 1)
    packed = np.asarray(pack_bits(codes))
    manifest = write_codes(tmp_path / "codes", packed, 48)
    index = open_index(tmp_path / "codes", manifest, kind)
    queries = packed[::100]
    found = nearest(index, queries, 5)
    exact, _ = top_k(queries, packed, 5)
    for query, row in zip(queries, found, strict=True):
        assert all(np.bitwise_count(query ^ packed[i]).sum() == d for d, i in row)
    hits = [
        distance == nearest_one
        for row, distances in zip(found, np.asarray(exact), strict=True)
        for (distance, _), nearest_one in zip(row, distances, strict=False)
    ]
    assert np.mean(hits) > 0.8
    saved = nearest(open_index(tmp_path / "codes", manifest, kind), queries, 5)
    assert saved == found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [1, 5])
def test_every_kind_of_index_accepts_few_codes_and_short_codes(tmp_path, kind, number):
    packed = np.asarray(pack_bits(np.tile([[1, -1, 1]], (number, 1))))
    manifest = write_codes(tmp_path / "codes", packed, 3)
    (found,) = nearest(open_index(tmp_path / "codes", manifest, kind), packed[:1], 10)
    assert found == [(0, i) for i in range(number)]


def test_the_index_is_stored_in_the_format_of_faiss(case, capsys):
    assert hashnet("search", "run", "codes", "pictures/0003.png") == 0
    assert "building flat.faiss for 40 codes" in capsys.readouterr().err
    index = faiss.read_index_binary("codes/flat.faiss")
    assert (index.ntotal, index.d) == (40, 16)
    assert hashnet("search", "run", "codes", "pictures/0003.png") == 0
    assert "building" not in capsys.readouterr().err


def test_a_table_names_the_neighbours_and_their_distances(case, capsys):
    assert (
        hashnet("search", "run", "codes", "pictures/0003.png", "pictures/001?.png", "-k", "3") == 0
    )
    out = capsys.readouterr().out
    assert len(re.findall("^query ", out, flags=re.MULTILINE)) == 11
    first = out.split("\n\n")[0].splitlines()
    assert first[0] == f"query {case / 'pictures' / '0003.png'}"
    assert first[1].split() == ["rank", "distance", "picture"]
    assert len(first) == 5
    assert first[2].split()[:2] == ["1", "0"]


def test_json_contains_the_same_results(case, capsys):
    assert hashnet("search", "run", "codes", "pictures/0003.png", "-k", "50", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["bits"], content["searched"], content["index"]) == (12, 40, "flat")
    (result,) = content["results"]
    manifest = read_manifest("codes")
    codes, ids = open_codes("codes", manifest), read_ids("codes", range(40))
    place = {name.rsplit("/", 1)[1]: i for i, name in ids.items()}
    distance = np.bitwise_count(codes ^ codes[place["0003.png"]]).sum(axis=1)
    neighbours = result["neighbours"]
    assert len(neighbours) == 40, "there are only 40 codes"
    assert [n["distance"] for n in neighbours] == sorted(distance.tolist())
    for n in neighbours:
        assert distance[place[n["picture"].rsplit("/", 1)[1]]] == n["distance"]


@pytest.mark.slow
def test_rescoring_ranks_the_nearest_codes_by_the_logits_of_the_query(case, capsys):
    search = ("search", "run", "codes", "pictures/0003.png", "-k", "20")
    assert hashnet(*search, "--rescore", "20", "--json", "--html", "page.html") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["rescored"] == 20

    params, manifest = load("run"), read_manifest("codes")
    image = read_squashed("pictures/0003.png", params.spec.resize)
    z = logits(params, preprocess(image[None], params.spec))
    packed = open_codes("codes", manifest)
    _, candidates = top_k(pack_bits(binarize(z)), packed, 20)
    scores = np.asarray(unpack_bits(packed, 12), float) @ np.asarray(z[0], float)
    best = np.sort(scores[np.asarray(candidates[0])])[::-1]
    neighbours = content["results"][0]["neighbours"]
    np.testing.assert_allclose([n["score"] for n in neighbours], best, rtol=1e-4)
    place = {name: i for i, name in read_ids("codes", range(40)).items()}
    for n in neighbours:
        np.testing.assert_allclose(n["score"], scores[place[n["picture"]]], rtol=1e-4)
    assert (case / "page.html").read_text().count('<span class="score">score ') == 20
    assert hashnet(*search, "--rescore", "20") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[1].split() == ["rank", "distance", "score", "picture"]
    assert float(table[2].split()[2]) == pytest.approx(best[0], rel=1e-3)


def test_rescoring_fewer_codes_than_are_shown_is_rejected(case, capsys):
    assert hashnet("search", "run", "codes", "pictures/0003.png", "--rescore", "9") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.endswith(
        "--rescore must be at least 10, the number of neighbours shown (-k), got 9."
    )


def test_the_page_embeds_its_pictures_and_describes_them(case, made, capsys):
    (made / "pictures" / "0007.png").rename(made / "pictures" / "moved.png")
    try:
        query = case / "pictures" / "0003.png"
        odd = case / 'odd <b>&"name".png'
        shutil.copy(query, odd)
        assert hashnet("search", "run", "codes", odd, "-k", "40", "--html", "page.html") == 0
    finally:
        (made / "pictures" / "moved.png").rename(made / "pictures" / "0007.png")
    page = (case / "page.html").read_text()
    assert len(re.findall('src="data:image/(?:jpeg|png);base64,', page)) == 40
    assert len(re.findall('<img alt="', page)) == 40
    assert "cannot be shown: no such file" in page
    assert 'name="viewport"' in page
    assert "<b>" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page), "the page must be self-contained"


def test_codes_from_another_network_are_rejected(case, capsys):
    make_run(case / "other", seed=1)
    assert hashnet("search", "other", "codes", "pictures/0003.png") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the codes in codes were computed by a different network (weights SHA-256" in error
    assert "from the one in other/model.npz (SHA-256" in error


def test_unreadable_queries_are_named_and_the_others_are_searched(case, capsys):
    (case / "queries").mkdir()
    reasons = write_bad(case / "queries")
    assert hashnet("search", "run", "codes", "queries", "pictures/0003.png", "--json") == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["results"]) == 1
    assert len(re.findall("^skipped ", printed.err, flags=re.MULTILINE)) == len(reasons)
    assert hashnet("search", "run", "codes", "queries") == 1
    assert "none of the queries could be read" in capsys.readouterr().err


def test_without_faiss_the_error_names_the_command_that_installs_it(case, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert hashnet("search", "run", "codes", "pictures/0003.png") == 1
    assert "faiss is needed to search. Install faiss-cpu" in capsys.readouterr().err


def test_damaged_files_are_named_with_a_remedy(case, capsys):
    def error_of(*args):
        assert hashnet("search", "run", "codes", "pictures/0003.png", *args) == 1
        return capsys.readouterr().err.splitlines()[-1]

    assert "error: -k must be >= 1, got 0" in error_of("-k", "0")
    assert "--html must be in an existing folder" in error_of("--html", "no/page.html")
    (case / "codes" / "flat.faiss").write_bytes(b"nothing")
    (case / "codes" / "flat.faiss.json").write_text("{}")
    assert "flat.faiss.json is damaged" in error_of()
    (case / "codes" / "flat.faiss.json").unlink()
    np.save("codes/codes.npy", np.zeros((3, 2), np.uint8))
    assert "it must be uint8 [40, 2] to match manifest.json, got uint8 [3, 2]" in error_of()
    (case / "codes" / "codes.npy").write_bytes(b"nothing")
    assert "codes.npy is damaged or not the codes described by manifest.json" in error_of()
    (case / "codes" / "manifest.json").write_text("{}")
    assert "is damaged or not a codes manifest" in error_of()
    (case / "codes" / "manifest.json").unlink()
    assert "no codes found in codes (manifest.json is missing)" in error_of()
    (case / "codes" / ".partial").mkdir()
    assert "the codes in codes are incomplete" in error_of()


def test_info_describes_runs_and_codes(case, capsys):
    assert hashnet("info", "run") == 0
    out = capsys.readouterr().out
    assert "small_cnn" in out
    assert "resize to 8 x 8, centre crop 8" in out
    hashnet("search", "run", "codes", "pictures/0003.png", "--index", "hnsw")
    capsys.readouterr()
    assert hashnet("info", "codes") == 0
    out = capsys.readouterr().out
    assert re.search(r"pictures: +40 \(0 skipped\)", out)
    assert re.search(r"bits: +12 in 2 bytes", out)
    assert re.search(r"indexes: +hnsw", out)
    assert hashnet("info", "pictures") == 1
    assert "contains neither a finished run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_reader_that_stops_early_causes_no_traceback(case):
    process = start("search", "run", "codes", "pictures", "-k", "40", cwd=case)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() in (0, 141)
    assert "Traceback" not in err
    assert "Error" not in err
