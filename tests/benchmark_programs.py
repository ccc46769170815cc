"""The benchmarks as a module, and what holds of each suite of theirs."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def programs():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        patch.setenv("PYTHONPATH", str(BENCHMARKS.parent))
        # Two programs are called run; this one is not to stay under that name.
        before = sys.modules.pop("run", None)
        import run as program

        sys.modules.pop("run")
        if before is not None:
            sys.modules["run"] = before
        yield program


def check_suite(programs, suite, tmp_path, capsys):
    file = tmp_path / f"{suite}.json"
    programs.main(["--suite", suite, "--small", "--peers", "eager", "--json", str(file)])
    printed = capsys.readouterr().out
    assert f"{suite}: " in printed
    assert "hashnet_jax" in printed
    content = json.loads(file.read_text())
    assert {"device", "jax", "commit", "peak_flops"} <= set(content["environment"])
    for row in content["rows"]:
        assert (row["rate"] or 0) > 0 or row["note"].startswith(("missing", "failed"))
    assert any(row["rate"] and row["by"].startswith("hashnet_jax") for row in content["rows"])
