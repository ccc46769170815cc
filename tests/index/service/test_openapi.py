"""The OpenAPI document is true: schemathesis generates requests from it, checks the responses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.index.service.conftest import TOKEN

# The document cannot say which files are pictures, so most generated files are refused.
CONFIG = """
[[operations]]
include-path-regex = "/api/(search/picture|pictures)"
checks.positive_data_acceptance.expected-statuses = ["2xx", "403", "404", "415", "422"]
"""


@pytest.mark.parametrize("path", ["/api/pictures", "/api/search/code", "/health", "/"])
def test_a_method_that_does_not_exist_is_refused_with_those_that_do(client, path):
    operations = client.get("/openapi.json").json()["paths"].get(path, {"get": {}})
    response = client.request("PUT", path)
    assert response.status_code == 405
    assert response.headers["allow"] == ", ".join(method.upper() for method in operations)


@pytest.mark.slow
def test_generated_requests_get_the_documented_responses(writer, tmp_path):
    pytest.importorskip("schemathesis")
    program = Path(sys.executable).with_name("schemathesis")
    (tmp_path / "config.toml").write_text(CONFIG)
    command = [
        *(program, "--config-file", tmp_path / "config.toml"),
        *("run", f"{writer.base_url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
        *("--max-examples", "10", "--seed", "0", "--no-color"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr
    assert "Tested: 10" in result.stdout
