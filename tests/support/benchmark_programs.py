"""Checks what every benchmark suite must print and write."""

import json

from benchmarks import run


def check_suite(suite, tmp_path, capsys):
    file = tmp_path / f"{suite}.json"
    run.main(["--suite", suite, "--small", "--peers", "eager", "--json", str(file)])
    printed = capsys.readouterr().out
    assert f"{suite}: " in printed
    assert "hashnet_jax" in printed
    content = json.loads(file.read_text())
    assert {"device", "jax", "commit", "peak_flops"} <= set(content["environment"])
    for row in content["rows"]:
        assert (row["rate"] or 0) > 0 or row["note"].startswith(("missing", "failed"))
    assert any(row["rate"] and row["by"].startswith("hashnet_jax") for row in content["rows"])
