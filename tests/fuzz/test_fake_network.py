"""The fake network of the campaign stands in for the real one in updates and in searches."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from hashnet_jax.index import open_store
from tests.fuzz.fake_network import fake_network
from tests.support.cli_case import hashnet, make_pictures, make_run

pytest.importorskip("lancedb")


def test_an_update_and_a_search_use_the_hashes_of_pixels_as_codes(tmp_path, capsys):
    run = make_run(tmp_path / "run")
    photos = make_pictures(tmp_path / "photos", 5, size=(8, 8))  # the side that the network reads
    store, options = tmp_path / "store", ("--devices", 1, "--batch-size", 4)
    with fake_network():
        assert hashnet("index", "update", run, photos, "--store", store, *options) == 0
        capsys.readouterr()
        assert hashnet("search", run, photos, "--store", store, "-k", 1, "--json") == 0
    codes = {
        row["id"]: bytes(row["code"])
        for batch in open_store(store).rows(["id", "code"])
        for row in batch.to_pylist()
    }
    assert codes == {str(path): expected_code(path) for path in photos.iterdir()}
    for result in json.loads(capsys.readouterr().out)["results"]:
        (nearest,) = result["neighbours"]
        assert nearest["distance"] == 0


def expected_code(path):
    """The first 12 bits of the SHA-256 of a picture's pixels, in two bytes."""
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB")).tobytes()
    first, second = hashlib.sha256(pixels).digest()[:2]
    return bytes([first, second & 0xF0])
