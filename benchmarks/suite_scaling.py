"""The same global batch on 1, 2, 4, 8 devices: what dividing it costs, and that it is the same.

Each count is a process of its own. On a CPU the devices are fake ones that share its cores: equal
times would mean that dividing costs nothing.
"""

import argparse
import json
import os
import subprocess
import sys

COUNTS = (1, 2, 4, 8)


def run(options):
    from measuring import Row, missing

    first = None
    for count in COUNTS:
        case = f"batch {options.batch_size} on {count} device(s)"
        arguments = [f"--devices={count}", f"--batch-size={options.batch_size}"]
        arguments += [f"--image-size={options.image_size}", f"--repeats={options.repeats}"]
        arguments += [f"--backbone={options.scaling_backbone}", f"--bits={options.bits}"]
        flag = f"--xla_force_host_platform_device_count={count}"
        environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flag}"}
        command = [sys.executable, __file__, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["no message"])[-1]
            yield missing("scaling", case, "hashnet_jax", why[:100])
            continue
        seconds, compiling, loss = json.loads(done.stdout.splitlines()[-1])
        first = loss if first is None else first
        row = Row("scaling", case, "hashnet_jax", seconds, options.batch_size, "images", compiling)
        row.note = f"loss differs by {abs(loss - first) / abs(first):.0e} from the first"
        yield row


def main():
    from measuring import Row, measure
    from suite_train import JaxStep

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
