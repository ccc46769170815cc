"""Runs and codes written by version 0.1, in data_0_1: they can be read, resumed and imported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.cli import main
from hashnet_jax.configs import Config
from hashnet_jax.data import DATASETS
from tests.support.same_codes import assert_codes_of

DATA = Path(__file__).parent / "data_0_1"

# The folder that the pictures were in when they were encoded.
OLD_PICTURES = "/tmp/hashnet_0_1/pictures"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the files, as the working directory."""
    shutil.copytree(DATA, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hashnet(*args):
    assert main([str(arg) for arg in args]) == 0


def digits(run):
    """The data set of a run."""
    config = Config.from_json(json.loads((run / "config.json").read_text()))
    return DATASETS[config.dataset](config.data)


def steps_of(metrics):
    return [json.loads(line) for line in metrics.read_text().splitlines()]


@pytest.mark.slow
def test_the_network_encodes_the_queries_to_the_same_codes(folder):
    params = hashnet_jax.load("finished")
    source = digits(folder / "finished").source
    with np.load("finished/codes.npz") as codes:
        images = np.stack([source[i] for i in codes["query_indices"]])
        packed = codes["query_codes"]
    assert len(np.unique(packed, axis=0)) > 30
    assert_codes_of(params, images, packed)


def test_info_describes_the_run_and_the_codes(folder, capsys):
    hashnet("info", "finished")
    described = capsys.readouterr().out
    assert "small_cnn" in described
    assert "MAP@all = 0.4999" in described
    hashnet("info", "codes")
    described = capsys.readouterr().out
    assert "24 (1 skipped)" in described
    assert "hashnet_jax 0.1.0" in described


def test_the_protocol_card_is_printed(folder, capsys):
    hashnet("report", "finished", "--card")
    card = capsys.readouterr().out
    assert "digits" in card
    assert "0.4999" in card


def test_the_split_is_the_same_as_in_version_0_1(folder):
    split = digits(folder / "finished").split
    with np.load("finished/split.npz") as saved:
        for name in ("train", "query", "database", "validation"):
            np.testing.assert_array_equal(getattr(split, name), saved[name])


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_and_finished(folder, capsys):
    run = folder / "interrupted"
    before = steps_of(run / "metrics.jsonl")
    hashnet("train", "--run-dir", run, "--resume", "--no-report", "--devices", 1)
    assert "MAP@all" in capsys.readouterr().out
    assert json.loads((run / "result.json").read_text())["step"] == 60
    lines, expected = steps_of(run / "metrics.jsonl"), steps_of(folder / "resumed_by_0_1.jsonl")
    assert lines[: len(before)] == before
    assert [line["step"] for line in lines] == [line["step"] for line in expected]
    # Seven steps after the checkpoint; later, rounding lets the two runs part.
    for name in ("loss", "binary_loss", "gradient_norm", "beta"):
        np.testing.assert_allclose(lines[1][name], expected[1][name], rtol=0.02, err_msg=name)


def test_codes_are_imported_into_a_store_and_searched(folder, capsys):
    pytest.importorskip("lancedb")
    hashnet("index", "import", "codes", "--store", "store")
    printed = capsys.readouterr()
    assert printed.out == "24 pictures in store\n"
    assert "codes was written by version 0.1, without hashes" in printed.err
    query = folder / "pictures" / "03-is-3.png"
    hashnet("search", "finished", query, "--store", "store", "-k", 3, "--json")
    (result,) = json.loads(capsys.readouterr().out)["results"]
    codes = np.load("codes/codes.npy")
    paths = Path("codes/ids.txt").read_text().splitlines()
    code = codes[paths.index(f"{OLD_PICTURES}/{query.name}")]
    distances = np.sort(np.bitwise_count(codes ^ code).sum(axis=1))[:3]
    got = [neighbour["distance"] for neighbour in result["neighbours"]]
    # One bit may be within rounding of zero.
    assert np.abs(np.array(got) - distances).max() <= 1


def test_unfinished_codes_are_refused_with_a_remedy(folder, capsys):
    for command in (("index", "import", "unfinished_codes", "--store", "store"),
                    ("info", "unfinished_codes")):  # fmt: skip
        assert main([*command]) == 1
        assert capsys.readouterr().err.endswith(
            "error: the codes in unfinished_codes are incomplete, because an earlier version of "
            "hashnet_jax was interrupted. Index the pictures into a store instead.\n"
        )
    assert not Path("store").exists()
