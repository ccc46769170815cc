"""Starts a PostgreSQL server for one test."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.live_service import wait_until

SECONDS_TO_STOP = 30
# In ICU's order of English, b comes before C. In a database of this locale, a test notices if a
# query does not sort ids by code point.
LOCALE = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en")
# A server for a few seconds: it listens only on a socket in its folder, and never waits for a disk.
SETTINGS = {"listen_addresses": "", "fsync": "off", "shared_buffers": "16MB"}


def program(name: str) -> str:
    """Returns the path to a program of the PostgreSQL server."""
    # Debian keeps the server out of the path.
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name)
    )
    path = os.pathsep.join([*map(str, reversed(versions)), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    assert found, f"this test needs {name} of PostgreSQL: apt-get install postgresql"
    return found


@contextlib.contextmanager
def running_postgres() -> Iterator[dict[str, str]]:
    """Runs an empty server; yields the environment variables with which programs connect to it.

    PostgreSQL refuses to run as root, so root starts it as nobody.
    """
    owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    identity = {}
    if os.geteuid() == 0:
        identity = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    # Not a folder of pytest, because those of root are closed to other users.
    with tempfile.TemporaryDirectory(prefix="hashnet-postgres-") as folder:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        data, log = Path(folder, "data"), Path(folder, "log")
        connect = {"PGHOST": folder, "PGUSER": "test", "PGDATABASE": "postgres"}
        create = [program("initdb"), "-D", data, "-A", "trust", "-U", "test", "--no-sync", *LOCALE]
        made = subprocess.run(create, cwd=folder, capture_output=True, text=True, **identity)
        assert made.returncode == 0, made.stderr
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = [program("postgres"), "-D", data, "-k", folder, *settings]
        with open(log, "wb") as output:
            server = subprocess.Popen(
                command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, **identity
            )
        try:
            ready = [program("pg_isready"), "-q"]
            wait_until(lambda: _answers(server, ready, os.environ | connect, log))
            yield connect
        finally:
            _stop(server)


def _answers(
    server: subprocess.Popen, ready: list[str], environment: dict[str, str], log: Path
) -> bool:
    assert server.poll() is None, log.read_text()
    return subprocess.run(ready, env=environment).returncode == 0


def _stop(server: subprocess.Popen) -> None:
    """Closes all connections and stops the server, by force if it does not stop in time."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)
        server.wait(SECONDS_TO_STOP)
