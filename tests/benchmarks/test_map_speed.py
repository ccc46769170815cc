import os
import re
import subprocess
import sys

import pytest

from benchmarks.measuring import ROOT

SIZES = "--case cifar10 --queries 20 --database 500 --cutoff 50 --sample 5 --rounds 1"


def start(*command):
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_benchmark_of_map_prints_times_ratio_and_peak_memory():
    result = start("benchmarks/map_speed.py", *SIZES.split())
    assert result.stderr == ""
    assert re.search(r"MAP@50 = 0\.\d{4} \(expected over ties; worst", result.stdout)
    assert re.search(r"ratio: \d", result.stdout)
    assert int(re.search(r"peak memory: (\d+) MiB", result.stdout).group(1)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("program", [["benchmarks/run.py"], ["-m", "benchmarks.run"]])
def test_benchmarks_run_as_a_script_and_as_a_module(program):
    assert "--suite" in start(*program, "--help").stdout
