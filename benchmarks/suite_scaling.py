"""Compares the time and loss of training on the same global batch with 1, 2, 4 and 8 devices.

Each device count is measured in a separate process. On a CPU, the devices are simulated and share
the cores, so equal times mean that distributing the batch has no overhead.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator

from benchmarks.measuring import ROOT, Row, measure, missing, module_command

DEVICE_COUNTS = (1, 2, 4, 8)


def run(options: argparse.Namespace) -> Iterator[Row]:
    first_loss = None
    for count in DEVICE_COUNTS:
        case = f"batch {options.batch_size} on {count} device(s)"
        done = _start(count, options)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no message"])[-1]
            yield missing("scaling", case, "hashnet_jax", why[:100])
            continue
        seconds, compile_seconds, loss = json.loads(done.stdout.splitlines()[-1])
        first_loss = loss if first_loss is None else first_loss
        row = Row("scaling", case, "hashnet_jax", seconds, options.batch_size, "images")
        row.compile_seconds = compile_seconds
        difference = abs(loss - first_loss) / abs(first_loss)
        row.note = f"loss differs from the first row by {difference:.0e} (relative)"
        yield row


def _start(count: int, options: argparse.Namespace) -> subprocess.CompletedProcess:
    """Runs this module in a new process with ``count`` devices."""
    arguments = (
        f"--devices={count}",
        f"--batch-size={options.batch_size}",
        f"--image-size={options.image_size}",
        f"--repeats={options.repeats}",
        f"--backbone={options.scaling_backbone}",
        f"--bits={options.bits}",
    )
    flag = f"--xla_force_host_platform_device_count={count}"
    environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flag}"}
    command = module_command("suite_scaling", *arguments)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def main() -> None:
    """Measures one device count in a child process; prints times, compile time and loss as JSON."""
    from benchmarks.suite_train import JaxStep

    parser = argparse.ArgumentParser()
    for name in ("devices", "batch-size", "image-size", "repeats", "bits"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--backbone")
    options = parser.parse_args()
    options.dtype = "float32"
    step = JaxStep(options.backbone, options)
    (row,) = measure([(Row("scaling", "", "hashnet_jax"), step)], options.repeats)
    print(json.dumps([row.seconds, row.compile_seconds, float(step())]))


if __name__ == "__main__":
    main()
