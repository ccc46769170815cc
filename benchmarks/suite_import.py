"""What `import hashnet_jax` adds to `import jax, flax.linen`, each in fresh processes."""

import subprocess
import sys

from measuring import Row, measure

FORMS = {"hashnet_jax": "import hashnet_jax", "jax and flax alone": "import jax, flax.linen"}


def run(options):
    rows = []
    for by, statement in FORMS.items():
        command = [sys.executable, "-c", statement]
        row = Row("import", "a fresh process, files in the cache", by, unit="imports")
        row.compile_seconds = 0.0
        rows.append((row, lambda command=command: subprocess.run(command, check=True)))
    ours, alone = measure(rows, max(11, options.repeats) if options.repeats > 1 else 1)
    ours.note = f"{ours.median / alone.median:.2f} x jax and flax alone"
    yield from (ours, alone)
