"""Kills updates of a store at random moments, repeats them, and compares with a new store.

::

    python -m tests.fuzz.store_kills --kills 50 --json store-kills.json

Pictures are added, changed, touched and removed, and `hashnet index update` is killed with SIGKILL,
which nothing can catch, at a random moment after its imports. It is started again, and killed
again, until it is left to end. Then every column of every row must equal that of a store that is
created from the pictures without a kill. Transactions are small, so that many kills fall between
two of them or inside one.
"""

import argparse
import collections
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hashnet_jax.index import Store, StoreManifest, create_store, open_store
from tests.support.bad_pictures import picture
from tests.support.cli_case import ROOT, make_pictures, make_run
from tests.support.stores import all_rows, fresh

SHARE_LEFT_TO_END = 0.15

UPDATE = """
import sys
import hashnet_jax.training, lancedb
from hashnet_jax.cli import main
from hashnet_jax.index import _row_writer
_row_writer.ROWS_PER_TRANSACTION, _row_writer.TRANSACTIONS_PER_COMPACTION = 32, 4
print("imported", flush=True)
sys.exit(main(["index", "update", *sys.argv[1:], "--devices", "1", "--batch-size", "8"]))
"""


def main() -> int:
    """Kills and compares; the exit status is 1 if a row differs or an update fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all kills to FILE")
    args = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hashnet-store-kills-") as folder:
        attack = Attack(Path(folder), args.pictures, random.Random(args.seed))
        attack.run(args.kills)
    for what, count in collections.Counter(kill["fell"] for kill in attack.kills).most_common():
        print(f"{what:20} {count:4} kills")
    print(
        f"{len(attack.kills)} kills in {time.monotonic() - start:.0f} s; {attack.ends} updates "
        f"repeated to their end; {attack.differing} rows differ; {len(attack.failures)} failed"
    )
    for failure in attack.failures:
        print(f"failed: {failure}")
    if args.json:
        args.json.write_text(json.dumps(attack.kills, indent=1) + "\n")
    return 1 if attack.differing or attack.failures else 0


class Attack:
    """The kills, and what became of the stores.

    Attributes:
      kills: a record of each kill.
      ends: number of updates that were repeated to their end and compared.
      differing: number of rows that differ from those of a new store.
      failures: the last lines of updates that ended with an error.
    """

    def __init__(self, folder: Path, pictures: int, rng: random.Random) -> None:
        self._folder, self._pictures, self._rng = folder, pictures, rng
        self.kills: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self.ends = self.differing = 0
        self._run = make_run(folder / "run")
        self._photos = make_pictures(folder / "photos", pictures)

    def run(self, kills: int) -> None:
        """Kills until there have been so many kills and the killed updates have ended."""
        uri = self._folder / "store"
        create_store(uri, StoreManifest.of_run(self._run))
        seconds = self._update(uri, None)
        while len(self.kills) < kills and not self.failures:
            self._change_pictures()
            while len(self.kills) < kills and self._rng.random() > SHARE_LEFT_TO_END:
                before = self._state(open_store(uri))
                if self._update(uri, self._rng.uniform(0, seconds)) is None:
                    self._record(before, self._state(open_store(uri)))
            self._update(uri, None)
            self._compare(open_store(uri))

    def _update(self, uri: Path, kill_after: float | None) -> float | None:
        """Runs an update; returns its seconds without the imports, or None if it was killed."""
        command = [sys.executable, "-c", UPDATE, self._run, self._photos, "--store", uri]
        environment = os.environ | {"XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
        environment["JAX_COMPILATION_CACHE_DIR"] = str(self._folder / "compiled")
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        start = time.monotonic()
        try:
            _, errors = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return None
        if process.returncode:
            self.failures.append(errors[-500:])
        return time.monotonic() - start

    def _change_pictures(self) -> None:
        """Adds, changes, touches and removes a third of the pictures."""
        paths = sorted(self._photos.iterdir())
        self._rng.shuffle(paths)
        count = self._pictures // 12
        for path in paths[:count]:
            path.unlink()
        for path in paths[count : 2 * count]:
            os.utime(path)
        for path in paths[2 * count : 3 * count]:
            picture(self._rng.randrange(2**32)).save(path)
        for _ in range(count):
            seed = self._rng.randrange(2**32)
            picture(seed).save(self._photos / f"new-{seed}.png")

    def _state(self, store: Store) -> tuple[int, list[dict[str, Any]]]:
        return store.version, all_rows(store)

    def _record(self, before: tuple[int, Any], after: tuple[int, Any]) -> None:
        fell = "inside the update" if after[0] > before[0] else "before a change"
        if after[0] == before[0] and after[1] != before[1]:
            self.failures.append("the rows of a version changed")
        self.kills.append({"fell": fell, "versions": after[0] - before[0], "rows": len(after[1])})
        print(f"{len(self.kills)} kills: {self.kills[-1]}", file=sys.stderr, flush=True)

    def _compare(self, store: Store) -> None:
        expected = all_rows(fresh(self._folder / f"fresh-{self.ends}", self._run, self._photos))
        found = all_rows(store)
        self.ends += 1
        by_id = {row["id"]: row for row in expected}
        same = sum(row == by_id.get(row["id"]) for row in found)
        self.differing += len(found) + len(expected) - 2 * same


if __name__ == "__main__":
    sys.exit(main())
