"""Tests the wheel in a new environment, outside the checkout."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.support.cli_case import make_pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Returns the ``bin`` folder of an environment with only the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = [environment / "bin" / "pip", "--quiet", "install", f"{wheel}[experiments,serve]"]
    subprocess.run(install, check=True)
    return environment / "bin"


def test_a_wheel_trains_reports_indexes_and_searches(installed, tmp_path):
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def run(program, *arguments):
        done = subprocess.run(
            [installed / program, *arguments],
            cwd=tmp_path,
            env=variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run("python", "-c", "import hashnet_jax; print(hashnet_jax.__file__)")
    assert Path(place.strip()).is_relative_to(installed.parent)

    printed = run("hashnet", "train", "--steps", "60", "--bits", "12", "--run-dir", "run")
    assert "MAP@all" in printed
    assert (tmp_path / "run" / "report.html").is_file()
    assert "MAP@all" in run("hashnet", "report", "run", "--card")

    make_pictures(tmp_path / "pictures", 6)
    run("hashnet", "index", "update", "run", "pictures", "--store", "store")
    search = ("search", "run", "pictures/0002.png", "--store", "store", "--json")
    found = json.loads(run("hashnet", *search))
    first = found["results"][0]["neighbours"][0]
    assert first["distance"] == 0

    service = subprocess.Popen(
        [installed / "hashnet", "serve", "run", "--store", "store", "--port", "0"],
        cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        url = next(found[0] for line in service.stdout if (found := re.search(r"http://\S+", line)))
        with urllib.request.urlopen(url, timeout=60) as page:
            text = page.read().decode()
        assert "<main" in text
        (script,) = re.findall(r'<script[^>]* src="([^"]+)"', text)
        with urllib.request.urlopen(urllib.parse.urljoin(url, script), timeout=60) as asset:
            assert asset.status == 200
    finally:
        service.send_signal(signal.SIGTERM)
        service.stdout.read()
        assert service.wait(60) == 0
        service.stdout.close()
