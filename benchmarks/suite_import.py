"""Times `import hashnet_jax`, with and without a first use, and `import jax, flax.linen`.

Each import runs in a fresh process. `import hashnet_jax` alone imports no other library; a first
use, such as of `encode`, imports JAX and Flax.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measuring import ROOT, Row, measure

STATEMENTS = {
    "hashnet_jax": "import hashnet_jax",
    "hashnet_jax, first use of encode": "import hashnet_jax; hashnet_jax.encode",
    "jax and flax alone": "import jax, flax.linen",
}

# The difference is small compared with the variation in process startup time.
MIN_REPEATS = 11


def run(options: argparse.Namespace) -> Iterator[Row]:
    rows = []
    for by, statement in STATEMENTS.items():
        command = [sys.executable, "-c", statement]
        row = Row("import", "fresh process, warm file cache", by, unit="imports")
        row.compile_seconds = 0.0
        rows.append((row, lambda command=command: subprocess.run(command, cwd=ROOT, check=True)))
    *ours, alone = measure(rows, max(MIN_REPEATS, options.repeats) if options.repeats > 1 else 1)
    for row in ours:
        row.note = f"{row.median / alone.median:.2f} x jax and flax alone"
    yield from (*ours, alone)
