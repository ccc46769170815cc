"""Damages every file that the package reads, and looks at what each of its readers does.

::

    python -m tests.fuzz.campaign --mutations 5000 --seed 0 --json campaign.json
    python -m tests.fuzz.campaign --mutations 5000 --seed 0 --case 1234      shows one case
    python -m tests.fuzz.campaign --replay tests/fuzz/corpus/cases.jsonl     past failures

Outcomes:

    clear       an error of a kind that the programs turn into one line, which names the file
    identical   the answer for the healthy file; or after a fallback, e.g. to an older checkpoint,
                which leads to the same bits
    input       a file that is valid with another content, read as what it is now, because nothing
                says what it should be: the user's own files, or a network on its own
    noted       another answer, with a line that names the file; or, for a file of version 0.1,
                whose content nothing records, with a line which says that it cannot be checked
    unnamed     such an error that does not name the file
    traceback   any other exception, or one that a library has printed
    silent      another answer than for the healthy file
    signal      the process was killed
    hang        no end within the time
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz.bench import Bench, Case, plan
from tests.fuzz.readers import warm

OUTCOMES = ("clear", "identical", "input", "noted", "unnamed", "traceback", "silent", "signal",
            "hang")  # fmt: skip
BAD = OUTCOMES[4:]
RECORDS = "records.jsonl"
CORPUS = Path(__file__).parent / "corpus" / "cases.jsonl"


def work(args: argparse.Namespace, share: slice, folder: Path) -> None:
    """Runs a share of the cases, and appends their records line by line to a file."""
    warm(args.world)
    bench = Bench(args.world, folder / "bench")
    records = _records(folder)
    with open(folder / RECORDS, "w", buffering=1) as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
        done = {record["number"] for record in records}
        for number, case in list(enumerate(_cases(args, bench)))[share]:
            if number not in done:
                file.write(json.dumps({"number": number} | bench.run(case)) + "\n")


def _cases(args: argparse.Namespace, bench: Bench) -> list[Case]:
    if args.replay is None:
        return plan(bench, args.mutations, args.seed, args.only)
    cases = [Case(**json.loads(line)) for line in args.replay.read_text().splitlines()]
    return [case for case in cases if bench.can_read(case.reader)][:: args.every]


def _records(folder: Path) -> list[dict[str, Any]]:
    """The records of a worker; a last line that a kill has cut is left out."""
    lines = (folder / RECORDS).read_text().splitlines() if (folder / RECORDS).is_file() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def table(records: list[dict[str, Any]], key: str = "reader") -> str:
    """The outcomes per reader, or per reader and file."""
    counts: dict[str, collections.Counter[str]] = {}
    for record in records:
        row = (
            record["case"]["reader"]
            if key == "reader"
            else " | ".join([record["case"]["reader"], record["case"]["file"]])
        )
        counts.setdefault(row, collections.Counter())[record["outcome"]] += 1
    rows = [*sorted(counts.items()), ("total", sum(counts.values(), collections.Counter()))]
    width = max(len(name) for name in counts) if counts else 5
    lines = [f"{'':{width}} {'cases':>6} " + " ".join(f"{o:>9}" for o in OUTCOMES)]
    for name, row in rows:
        shown = " ".join(f"{row[outcome] or '':>9}" for outcome in OUTCOMES)
        lines.append(f"{name:{width}} {sum(row.values()):6} {shown}")
    return "\n".join(lines)


def main() -> int:
    """Runs the campaign; the exit status is 1 if any outcome is a bad one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="TEXT", help="run only readers whose name "
                        "contains TEXT")  # fmt: skip
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--world", type=Path, help="healthy folders of an earlier call")
    parser.add_argument("--every", type=int, default=1, help="replay only every so many cases")
    parser.add_argument("--untrained", action="store_true", help="build only what needs no "
                        "training, and run only its readers")  # fmt: skip
    parser.add_argument("--records", type=Path, help="folder to continue a campaign in")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all records to FILE")
    parser.add_argument("--files", action="store_true", help="show one row per reader and file")
    parser.add_argument("--case", type=int, help="run only this case, and show its output")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the cases in FILE")
    parser.add_argument("--corpus", type=Path, metavar="FILE", help="append failures to FILE")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args, slice(args.worker, None, args.workers), args.folder)
        return 0
    with tempfile.TemporaryDirectory(prefix="hashnet-fuzz-") as folder:
        if args.world is None:
            args.world = Path(folder, "world")
        if not args.world.is_dir():
            build = [sys.executable, "-m", "tests.fuzz.worlds", str(args.world)]
            build += ["--untrained"] if args.untrained else []
            subprocess.run(
                build, check=True, stdout=subprocess.DEVNULL, env=environment(args.world)
            )
        if args.case is not None:
            os.environ.update(environment(args.world))  # before JAX is used
            return _show(args, Path(folder))
        records = _run_workers(args, args.records or Path(folder))
    if args.corpus:
        with open(args.corpus, "a") as file:
            file.writelines(json.dumps(record["case"]) + "\n" for record in records
                            if record["outcome"] in BAD)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(records, indent=1) + "\n")
    print(table(records, "file" if args.files else "reader"))
    bad = [record for record in records if record["outcome"] in BAD]
    for record in bad[:50]:
        print(f"--case {record['number']}: {record['outcome']}: {record['case']['reader']} reads "
              f"{record['case']['file']} ({record['case']['kind']}: {record['mutation']}): "
              f"{record['value'][:160]}")  # fmt: skip
    return 1 if bad else 0


def _show(args: argparse.Namespace, folder: Path) -> int:
    warm(args.world)
    bench = Bench(args.world, folder / "bench")
    record = bench.run(_cases(args, bench)[args.case])
    print("\n".join(f"{name}: {value}" for name, value in record.items()))
    return 1 if record["outcome"] in BAD else 0


def _run_workers(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    start, running = time.monotonic(), []
    for i in range(args.workers):
        command = [
            *(sys.executable, "-m", "tests.fuzz.campaign", "--world", str(args.world)),
            *("--mutations", str(args.mutations), "--seed", str(args.seed)),
            *("--only", args.only),
            *("--workers", str(args.workers), "--worker", str(i), "--folder", str(folder / str(i))),
            *(("--replay", str(args.replay), "--every", str(args.every)) if args.replay else ()),
        ]
        (folder / str(i)).mkdir(parents=True, exist_ok=True)
        running.append(subprocess.Popen(command, env=environment(args.world)))
    while any(process.poll() is None for process in running):
        time.sleep(10)
        done = sum(len(_records(folder / str(i))) for i in range(args.workers))
        seconds = time.monotonic() - start
        print(f"{done} cases, {seconds:.0f} s", file=sys.stderr, flush=True)
    if any(process.returncode for process in running):
        raise RuntimeError("a worker has failed, see above")
    records = [record for i in range(args.workers) for record in _records(folder / str(i))]
    return sorted(records, key=lambda record: record["number"])


def environment(world: Path) -> dict[str, str]:
    """The variables of the environment with which worlds are built and cases are run."""
    # Compiled functions are kept beside the healthy folders, since each case would compile again.
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "JAX_COMPILATION_CACHE_DIR": f"{world}.compiled",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


if __name__ == "__main__":
    sys.exit(main())
