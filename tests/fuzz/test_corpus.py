"""Replays past failures of the campaign, each of which now has a right answer or a clear error.

A case names the reader, the file, and the mutation with its seed; see tests.fuzz.campaign. Here,
those that need a network to be trained are left out, and every fourth of the others is replayed.
All are replayed by ``python -m tests.fuzz.campaign --replay tests/fuzz/corpus/cases.jsonl``.
"""

import collections
import json
import os
import subprocess
import sys

import pytest

from tests.fuzz.campaign import BAD, CORPUS
from tests.support.cli_case import ROOT


@pytest.mark.slow
def test_past_failures_are_clear_now(tmp_path):
    pytest.importorskip("lancedb")
    pytest.importorskip("torch")
    records = tmp_path / "records.json"
    command = ["--replay", CORPUS, "--untrained", "--every", 4, "--workers", 1, "--json", records]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.campaign", *map(str, command)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert records.is_file(), done.stderr[-3000:]
    replayed = json.loads(records.read_text())
    bad = [record for record in replayed if record["outcome"] in BAD]
    assert not bad, json.dumps(bad, indent=1)
    assert len(replayed) > 25
    counts = collections.Counter(record["outcome"] for record in replayed)
    assert counts["clear"] > len(replayed) / 2
