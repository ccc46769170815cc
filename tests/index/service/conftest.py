"""A tiny network, 30 pictures and a store of their codes."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

import hashnet_jax
from hashnet_jax.index.service import Limits, Service, create_app
from tests.support.cli_case import make_pictures
from tests.support.live_service import client_of, make_store
from tests.support.tiny import TINY

TOKEN = "a-token-for-the-tests"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks the tests of the service as slow, since each of them starts a server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The network, the pictures and the store. Tests must not modify them."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "run").mkdir()
    params = hashnet_jax.init(jax.random.key(0), TINY)
    hashnet_jax.save(folder / "run", params)
    pictures = sorted(make_pictures(folder / "pictures", 30).iterdir())
    labels = ["even" if i % 2 == 0 else None for i in range(30)]
    make_store(folder / "store", folder / "run", pictures, labels)
    return SimpleNamespace(
        folder=folder, params=params, pictures=pictures, labels=labels, store=folder / "store"
    )


@pytest.fixture
def own_store(made, tmp_path):
    """A copy of the store that the test may modify."""
    return shutil.copytree(made.store, tmp_path / "store")


@pytest.fixture(scope="session")
def client(made):
    """A client of a service for the store, which cannot be written."""
    service = Service(made.params, made.store, limits=Limits())
    with client_of(create_app(service)) as client:
        yield client


@pytest.fixture
def writer(made, own_store, tmp_path):
    """A client with a token, of a service for a copy of the store."""
    service = Service(
        made.params,
        own_store,
        limits=Limits(),
        poll_seconds=0.05,
        uploads=tmp_path / "uploads",
    )
    with client_of(create_app(service, token=TOKEN)) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client
