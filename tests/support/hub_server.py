"""A minimal Hugging Face Hub for tests, which keeps repositories in memory."""

import base64
import contextlib
import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

TOKEN = "hf_the_right_token"
MAIN = "main"

_RESOLVE = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/([\w.]+)")
_BATCH = re.compile(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch")
_API = re.compile(r"/api/models/([\w.-]+/[\w.-]+)/(preupload|commit)/main")


@dataclasses.dataclass
class Repository:
    """A repository: its files by commit, oldest commit first."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = dataclasses.field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        """Adds a commit that changes some files, and returns its hash."""
        before = list(self.commits.values())[-1] if self.commits else {}
        oid = hashlib.sha1(f"{len(self.commits)}".encode() + b"".join(files.values())).hexdigest()
        self.commits[oid] = before | files
        return oid

    def find(self, revision: str) -> str | None:
        """Returns the hash of a commit; None if there is no such revision."""
        if revision == MAIN:
            return list(self.commits)[-1]
        return revision if revision in self.commits else None


@dataclasses.dataclass
class Hub:
    """A running server.

    Attributes:
      url: URL of the server.
      repositories: the repositories, keyed by OWNER/NAME.
      uploads: the content of the large files, keyed by hash.
      is_full: whether it refuses large files.
      requests: (method, path) of each request so far.
    """

    url: str
    repositories: dict[str, Repository] = dataclasses.field(default_factory=dict)
    uploads: dict[str, bytes] = dataclasses.field(default_factory=dict)
    is_full: bool = False
    requests: list[tuple[str, str]] = dataclasses.field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests that huggingface_hub makes to load and to upload a folder."""

    server: Any

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def do_HEAD(self) -> None:
        self._resolve()

    def do_GET(self) -> None:
        self._resolve()

    def do_PUT(self) -> None:
        self.hub.requests.append(("PUT", self.path))
        self.hub.uploads[self.path.rpartition("/")[2]] = self._body()
        self._answer(403 if self.hub.is_full else 200)

    def do_POST(self) -> None:
        self.hub.requests.append(("POST", self.path))
        body = self._body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json(403, {"error": "Forbidden"})
        if self.path == "/api/validate-yaml":
            return self._json(200, {})
        if self.path == "/api/repos/create":
            return self._create(json.loads(body))
        if found := _BATCH.fullmatch(self.path):
            return self._batch(json.loads(body))
        found = _API.fullmatch(self.path)
        assert found, self.path
        name, what = found.groups()
        if what == "preupload":
            return self._preupload(json.loads(body))
        return self._commit(name, [json.loads(line) for line in body.splitlines()])

    def log_message(self, format: str, *args: Any) -> None:
        """Prints nothing."""

    def _resolve(self) -> None:
        self.hub.requests.append((self.command, self.path))
        found = _RESOLVE.fullmatch(self.path)
        if found is None:  # huggingface_hub asks for more, but does without
            return self._answer(404)
        name, revision, file = found.groups()
        repository = self.hub.repositories.get(name)
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.private and not is_known):
            return self._answer(401, {"X-Error-Code": "RepoNotFound"})
        if (oid := repository.find(revision)) is None:
            return self._answer(404, {"X-Error-Code": "RevisionNotFound"})
        if (content := repository.commits[oid].get(file)) is None:
            return self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid})
        etag = hashlib.sha256(content).hexdigest()
        self._answer(200, {"ETag": f'"{etag}"', "X-Repo-Commit": oid}, content)

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        url = {"url": f"{self.hub.url}/{name}"}
        if name in self.hub.repositories:
            return self._json(409, url | {"error": "You already created this model repo"})
        is_private = wanted.get("visibility", wanted.get("private")) in ("private", True)
        self.hub.repositories[name] = Repository(is_private)
        self._json(200, url)

    def _preupload(self, wanted: dict[str, Any]) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in wanted["files"]
        ]
        self._json(200, {"files": files})

    def _batch(self, wanted: dict[str, Any]) -> None:
        objects = [
            {**file, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{file['oid']}"}}}
            for file in wanted["objects"]
        ]
        self._json(200, {"transfer": "basic", "objects": objects})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.uploads[value["oid"]]
        oid = self.hub.repositories[name].commit(files)
        url = f"{self.hub.url}/{name}/commit/{oid}"
        self._json(200, {"commitUrl": url, "commitOid": oid, "success": True})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _answer(
        self, status: int, headers: dict[str, str] | None = None, content: bytes = b""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """Runs a server on a free port of the loopback interface."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
        server.hub = hub  # pyright: ignore[reportAttributeAccessIssue]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def use(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes huggingface_hub, which has read its environment, use a server and a cache folder."""
    constants = pytest.importorskip("huggingface_hub.constants")
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HASHNET_OFFLINE", "0")
