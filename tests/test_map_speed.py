import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_benchmark_of_map_prints_times_ratio_and_peak_memory():
    sizes = "--case cifar10 --queries 20 --database 500 --cutoff 50 --sample 5 --rounds 1"
    result = subprocess.run(
        [sys.executable, "benchmarks/map_speed.py", *sizes.split()],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stderr == ""
    assert re.search(r"MAP@50 = 0\.\d{4} \(ties expected; worst", result.stdout)
    assert re.search(r"ratio: \d", result.stdout)
    assert int(re.search(r"peak memory: (\d+) MiB", result.stdout).group(1)) > 20
