"""Adding and removing pictures, new versions of the store, and several services for one store."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from hashnet_jax.index import StoreManifest, create_store, open_store, update_store
from hashnet_jax.index.service import Limits, Service, create_app
from hashnet_jax.index.service._writer import Writer
from hashnet_jax.model import ModelSpec
from tests.index.service.conftest import TOKEN
from tests.support.bad_pictures import jpeg
from tests.support.live_service import client_of, wait_until


def add(client, content=None, **data):
    content = jpeg(7) if content is None else content
    return client.post("/api/pictures", files={"picture": ("a.png", content)}, data=data)


def version(client):
    return client.get("/ready").json()["version"]


def nearest(client, content=None):
    content = jpeg(7) if content is None else content
    response = client.post("/api/search/picture", files={"picture": content}, params={"k": 1000})
    return {one["id"]: one for one in response.json()["neighbours"]}


def test_an_added_picture_is_found_and_a_removed_one_is_not(writer, own_store, tmp_path):
    response = add(writer, label="new")
    assert response.status_code == 201
    name = f"{hashlib.sha256(jpeg(7)).hexdigest()[:32]}.jpg"
    added = response.json()
    assert added["id"] == str(tmp_path / "uploads" / name)
    assert (tmp_path / "uploads" / name).read_bytes() == jpeg(7)
    wait_until(lambda: version(writer) >= added["version"])
    found = nearest(writer)[added["id"]]
    assert (found["distance"], found["label"]) == (0, "new")
    assert writer.get("/api/thumbnail", params={"id": added["id"]}).status_code == 200

    response = writer.delete("/api/pictures", params={"id": added["id"]})
    assert response.status_code == 200
    wait_until(lambda: version(writer) >= response.json()["version"])
    assert added["id"] not in nearest(writer)
    assert os.listdir(tmp_path / "uploads") == []
    assert writer.get("/api/thumbnail", params={"id": added["id"]}).status_code == 404
    assert writer.delete("/api/pictures", params={"id": added["id"]}).status_code == 404


def test_a_row_that_was_added_describes_its_file(writer, own_store):
    path = add(writer).json()["id"]
    (row,) = [
        row
        for batch in open_store(own_store).rows(["id", "size", "mtime_ns", "sha256"])
        for row in batch.to_pylist()
        if row["id"] == path
    ]
    status = os.stat(path)
    assert (row["size"], row["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
    assert row["sha256"] == hashlib.sha256(jpeg(7)).digest()


def test_an_update_of_the_index_leaves_added_pictures_alone(writer, made, own_store, tmp_path):
    add(writer)
    folders = [made.folder / "pictures", tmp_path / "uploads"]
    changes = update_store(open_store(own_store), made.folder / "run", folders, dry_run=True)
    assert (changes.new, changes.changed, changes.gone) == (0, 0, 0)


def test_the_id_of_an_added_picture_is_an_absolute_path(made, own_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = Writer(str(own_store), open_store(own_store).manifest, Path("uploads"))
    added, _ = writer.add(jpeg(7), ".jpg", np.zeros(2, np.uint8), None)
    assert Path(added).parent == tmp_path / "uploads"
    assert Path(added).read_bytes() == jpeg(7)
    writer.remove(added)
    assert not Path(added).exists()


def test_adding_a_picture_again_replaces_its_label(writer, own_store):
    first = add(writer, label="one").json()["id"]
    again = add(writer, label="two").json()
    assert again["id"] == first
    wait_until(lambda: version(writer) >= again["version"])
    assert nearest(writer)[first]["label"] == "two"
    assert len(open_store(own_store)) == 31


def test_the_file_of_an_indexed_picture_is_not_deleted_with_its_row(writer, made, tmp_path):
    mine = made.pictures[4]
    response = writer.delete("/api/pictures", params={"id": str(mine)})
    assert response.status_code == 200
    assert mine.exists()
    wait_until(lambda: version(writer) >= response.json()["version"])
    assert str(mine) not in nearest(writer)


def test_an_id_with_a_quote_removes_nothing_else(writer, own_store):
    response = writer.delete("/api/pictures", params={"id": "x' OR 'a' = 'a"})
    assert response.status_code == 404
    assert len(open_store(own_store)) == 30


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 422), (b"text", 415), (jpeg(5, (64, 64))[:900], 422)]
)
def test_a_file_that_is_not_a_picture_is_not_added(writer, own_store, tmp_path, content, status):
    assert add(writer, content).status_code == status
    assert len(open_store(own_store)) == 30
    assert not (tmp_path / "uploads").exists()


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Basic YQ==", f"Bearer {TOKEN}x", "Bearer"]
)
def test_writing_needs_the_token(writer, own_store, header):
    del writer.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header}
    responses = [
        writer.post("/api/pictures", files={"picture": jpeg(7)}, headers=headers),
        writer.delete("/api/pictures", params={"id": "a"}, headers=headers),
    ]
    for response in responses:
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert len(open_store(own_store)) == 30


def test_without_a_token_writing_is_off(client, made):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    params = {"id": str(made.pictures[0])}
    assert client.delete("/api/pictures", params=params).status_code == 403
    assert client.delete("/api/pictures", params=params, headers=headers).status_code == 403
    response = client.post("/api/pictures", files={"picture": jpeg(7)})
    assert "the service has no token" in response.json()["detail"]


def test_without_a_folder_for_uploads_nothing_can_be_added(made, own_store):
    service = Service(made.params, own_store, limits=Limits())
    with client_of(create_app(service, token=TOKEN)) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        response = add(client)
    assert response.status_code == 403
    assert "no folder for uploaded pictures" in response.json()["detail"]


def test_a_version_written_by_another_program_is_seen_without_a_restart(writer, made, own_store):
    store = open_store(own_store)
    store.delete([str(made.pictures[0])])
    wait_until(lambda: version(writer) == store.version)
    assert str(made.pictures[0]) not in nearest(writer)
    assert len(nearest(writer)) == 29


def test_several_services_share_one_store(writer, made, own_store, tmp_path):
    service = Service(
        made.params, own_store, limits=Limits(), poll_seconds=0.05, uploads=tmp_path / "uploads"
    )
    with client_of(create_app(service, token=TOKEN)) as other:
        added = add(writer, label="from the first").json()
        wait_until(lambda: version(other) >= added["version"])
        assert nearest(other)[added["id"]]["label"] == "from the first"
        other.headers["Authorization"] = f"Bearer {TOKEN}"
        removed = other.delete("/api/pictures", params={"id": added["id"]}).json()
        wait_until(lambda: version(writer) >= removed["version"])
        assert nearest(writer) == nearest(other)
        assert added["id"] not in nearest(writer)


def test_if_the_store_gets_damaged_its_last_good_version_is_used(writer, own_store, caplog):
    before = nearest(writer)
    (own_store / "pictures.lance" / "_versions").rename(own_store / "elsewhere")
    wait_until(lambda: writer.get("/ready").json()["fault"] != "")
    status = writer.get("/ready")
    assert status.status_code == 200
    assert "damaged" in status.json()["fault"]
    assert nearest(writer) == before
    assert add(writer).status_code == 503
    assert "continues with an earlier version" in caplog.text


def test_a_store_of_another_network_is_not_taken_over(writer, own_store):
    before = nearest(writer)
    manifest = StoreManifest.of(ModelSpec("small_cnn", bits=12, image_size=8, resize=8),
                                weights_sha256="f" * 64)  # fmt: skip
    shutil.rmtree(own_store)
    create_store(own_store, manifest)
    wait_until(lambda: "another network" in writer.get("/ready").json()["fault"])
    assert nearest(writer) == before
    assert add(writer).status_code == 503
    assert len(open_store(own_store)) == 0


def test_a_store_with_codes_of_another_length_is_refused(made, tmp_path):
    spec = ModelSpec("small_cnn", bits=24, image_size=8, resize=8)
    create_store(tmp_path / "store", StoreManifest.of(spec, weights_sha256="0" * 64))
    with pytest.raises(ValueError, match="`store` must contain 12-bit codes to match the network"):
        Service(made.params, tmp_path / "store", limits=Limits())


def test_an_empty_store_is_served(made, tmp_path):
    create_store(tmp_path / "store", StoreManifest.of_run(made.folder / "run"))
    service = Service(made.params, tmp_path / "store", limits=Limits())
    with client_of(create_app(service)) as client:
        assert nearest(client) == {}
        sample = client.get("/api/pictures").json()
        assert (sample["total"], sample["pictures"]) == (0, [])
