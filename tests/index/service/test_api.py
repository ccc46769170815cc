"""The JSON API: searches, samples, thumbnails, and the routes for monitoring."""

import io
import threading
import urllib.parse

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from prometheus_client.parser import text_string_to_metric_families

from hashnet_jax.codes import pack_bits
from hashnet_jax.data.sources import read_squashed
from hashnet_jax.index import open_store
from hashnet_jax.index.service import Limits, Service, check_token, create_app
from hashnet_jax.model import encode
from tests.support.bad_pictures import bomb, jpeg, write_good
from tests.support.live_service import client_of, make_store, running, wait_until


def upload(content, name="query.png", kind="image/png"):
    return {"files": {"picture": (name, content, kind)}}


def search(client, content, **params):
    return client.post("/api/search/picture", params=params, **upload(content))


def ranking(snapshot, code, k):
    """(distance, id) of the k nearest, by a loop over the codes."""
    distances = [int(np.bitwise_count(code ^ other).sum()) for other in snapshot.codes]
    return sorted(zip(distances, snapshot.ids.to_pylist(), strict=True))[:k]


def found(answer):
    return [(one["distance"], one["id"]) for one in answer["neighbours"]]


def test_an_uploaded_picture_finds_its_nearest_by_a_popcount_loop(client, made):
    snapshot, params = open_store(made.store).snapshot(), made.params
    for path in made.pictures[:4]:
        response = search(client, path.read_bytes(), k=9)
        assert response.status_code == 200
        answer = response.json()
        own = pack_bits(encode(params, read_squashed(path, params.spec.resize)[None]))
        code = np.frombuffer(bytes.fromhex(answer["code"]), np.uint8)
        assert code.tolist() == np.asarray(own)[0].tolist()
        assert found(answer) == ranking(snapshot, code, 9)
        assert (answer["bits"], answer["searched"]) == (12, 30)


def test_a_picture_is_turned_upright_like_the_files_of_the_index(client, made, tmp_path):
    write_good(tmp_path)
    spec = made.params.spec
    for path in (tmp_path / "turned.jpg", tmp_path / "transparent.png"):
        own = pack_bits(encode(made.params, read_squashed(path, spec.resize)[None]))
        answer = search(client, path.read_bytes()).json()
        assert answer["code"] == np.asarray(own)[0].tobytes().hex()


def test_a_code_and_an_id_find_the_same_as_the_picture(client, made):
    by_picture = search(client, made.pictures[3].read_bytes(), k=5).json()
    by_code = client.post(
        "/api/search/code", json={"code": by_picture["code"]}, params={"k": 5}
    ).json()
    by_id = client.get("/api/search/id", params={"id": str(made.pictures[3]), "k": 5}).json()
    assert by_code == by_id == by_picture


def test_answers_have_labels_and_printable_names(client, made):
    answer = search(client, made.pictures[0].read_bytes(), k=1000).json()
    labels = {one["id"]: one["label"] for one in answer["neighbours"]}
    assert labels == dict(zip(map(str, made.pictures), made.labels, strict=True))
    assert all(one["id"].endswith(f"/{one['name']}") for one in answer["neighbours"])


def test_names_with_control_characters_are_escaped_for_the_page(made, tmp_path):
    path = tmp_path / "a\u202eb\x1b.png"
    path.write_bytes(made.pictures[0].read_bytes())
    make_store(tmp_path / "store", made.folder / "run", [path])
    with client_of(create_app(Service(made.params, tmp_path / "store", limits=Limits()))) as client:
        (neighbour,) = search(client, path.read_bytes()).json()["neighbours"]
    assert neighbour["id"] == str(path)
    assert neighbour["name"] == r"a\u202eb\x1b.png"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"json": {"code": "00"}}, "`code`: String should match pattern"),
        ({"json": {"code": "zzzz"}}, "`code`: String should match pattern"),
        ({"json": {"code": "0001"}}, "`code`: the bits after the first 12 must be zero"),
        ({"json": {}}, "`code`: Field required"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "JSON decode error"),
        ({"json": {"code": "0000"}, "params": {"k": 0}}, "`k`: Input should be greater than"),
        ({"json": {"code": "0000"}, "params": {"k": 1001}}, "`k`: Input should be less than"),
    ],
)
def test_a_wrong_parameter_is_named(client, request_, reason):
    response = client.post("/api/search/code", **request_)
    assert response.status_code == 422
    assert reason in response.json()["detail"]


def zipped_text():
    """A PNG file with a comment that unpacks to 64 MiB."""
    text = PngInfo()
    text.add_text("comment", "a" * 2**26, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


HOSTILE = {
    "empty": (b"", 422, "empty (0 bytes)"),
    "text": (b"This is not a picture.\n", 415, "supported format"),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "supported format"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", 415, "supported format"),
    "truncated": (jpeg(5, (64, 64))[:900], 422, "truncated"),
    "a part of a header": (jpeg(5)[:30], 422, "its header is damaged"),
    "400 million pixels": (bomb(), 413, "at most 50,000,000 pixels"),
    "64 million pixels": (bomb(8_000, 8_000), 413, "at most 50,000,000 pixels"),
    "a comment of 64 MiB": (zipped_text(), 422, "its header is damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_is_refused_with_the_reason(client, name):
    content, status, reason = HOSTILE[name]
    response = search(client, content)
    assert response.status_code == status
    assert reason in response.json()["detail"]
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"files": {"other": ("a.png", b"a")}}, 422),
        ({"data": {"picture": "text"}}, 422),
        ({"content": b"", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"no", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400),
        ({"content": b"\x89PNG", "headers": {"content-type": "image/png"}}, 422),
    ],
)
def test_a_wrong_multipart_body_is_refused(client, request_, status):
    response = client.post("/api/search/picture", **request_)
    assert response.status_code == status
    assert response.json()["detail"]


def test_a_sample_is_drawn_without_replacement_and_repeatable(client, made):
    samples = [
        client.get("/api/pictures", params={"number": 7, "seed": s}).json() for s in (1, 1, 2)
    ]
    assert samples[0] == samples[1] != samples[2]
    assert samples[0]["total"] == 30
    ids = {one["id"] for one in samples[0]["pictures"]}
    assert len(ids) == 7
    assert ids < set(map(str, made.pictures))
    everything = client.get("/api/pictures", params={"number": 100}).json()["pictures"]
    assert [one["id"] for one in everything] == sorted(map(str, made.pictures))


def test_a_thumbnail_is_a_small_jpeg_that_browsers_keep_until_the_file_changes(client, made):
    url, params = "/api/thumbnail", {"id": str(made.pictures[0])}
    response = client.get(url, params=params)
    assert response.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert max(picture.size) == 312  # 12 x 10 pixels, each enlarged to 26 x 26
    again = client.get(url, params=params, headers={"if-none-match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "file:///etc/passwd",
             "0000.png", "\0", "run/model.npz"],
)  # fmt: skip
def test_only_indexed_pictures_have_thumbnails(client, path):
    for params in ({"id": path}, {"id": f"/{path}"}):
        response = client.get("/api/thumbnail", params=params)
        assert response.status_code == 404
        assert response.json() == {"detail": "No picture in the index has this id."}
    assert client.get(f"/api/thumbnail/{urllib.parse.quote(path)}").status_code == 404


def test_all_responses_forbid_foreign_content(client):
    for path in ("/", "/page.js", "/api", "/nowhere", "/api/thumbnail", "/health"):
        headers = client.get(path).headers
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_a_foreign_host_name_is_refused(client):
    for host, status in (("evil.example", 400), ("localhost:99", 200), ("[::1]:99", 200)):
        assert client.get("/health", headers={"host": host}).status_code == status


def test_a_host_pattern_that_matches_nothing_is_refused(made):
    service = Service(made.params, made.store, limits=Limits())
    for host in ("a.*.example", "*example.org", "a*"):
        with pytest.raises(ValueError, match=r"`allowed_hosts` may have an asterisk only as its"):
            create_app(service, allowed_hosts=[host])
    assert create_app(service, allowed_hosts=["*", "*.example.org"])


def test_metrics_count_the_responses_by_route_and_status(made):
    with client_of(create_app(Service(made.params, made.store, limits=Limits()))) as client:
        search(client, made.pictures[0].read_bytes())
        search(client, b"no picture")
        client.get("/nowhere")
        response = client.get("/metrics")
        families = text_string_to_metric_families(response.text)
        samples = [sample for family in families for sample in family.samples]
    counts = {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in samples
        if sample.name == "hashnet_requests_total"
    }
    assert counts["/api/search/picture", "200"] == counts["/api/search/picture", "415"] == 1
    assert counts["other", "404"] == 1
    values = {sample.name: sample.value for sample in samples}
    assert values["hashnet_store_codes"] == 30
    assert values["hashnet_batch_size_count"] == 1
    assert values["hashnet_requests_in_progress"] == 0
    assert values["hashnet_store_version"] == open_store(made.store).version
    assert response.headers["content-type"].startswith("text/plain")


def test_the_api_page_lists_every_operation_of_the_openapi_document(client):
    document, page = client.get("/openapi.json").json(), client.get("/api").text
    assert len(document["paths"]) == 8
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"<code>{method.upper()} {path}</code>" in page


def test_a_service_is_not_ready_before_the_network_is_compiled(made, monkeypatch):
    release = threading.Event()
    service = Service(made.params, made.store, limits=Limits())
    compiling = service._encoder.compile
    monkeypatch.setattr(service._encoder, "compile", lambda: (release.wait(20), compiling()))
    with running(create_app(service)) as url, httpx.Client(base_url=url) as client:
        response = client.get("/ready")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["status"] == "compiling the network"
        assert search(client, jpeg()).status_code == 503
        assert client.get("/health").status_code == 200
        assert client.get("/api/search/id", params={"id": str(made.pictures[0])}).status_code == 200
        release.set()
        wait_until(lambda: client.get("/ready").status_code == 200)
        assert search(client, jpeg()).status_code == 200


@pytest.mark.parametrize("token", ["short", "", "with a space 0123456789", "ümlaut-0123456789"])
def test_a_weak_token_is_refused(token):
    with pytest.raises(ValueError, match="`token` must have at least 16 printable ASCII"):
        check_token(token)
