"""Tests processes that communicate over the loopback interface; see also tests/integration."""

from pathlib import Path

import jax
import numpy as np
import pytest

from hashnet_jax.distributed import processes
from tests.support.two_processes import RUN, end, start, start_run


@pytest.mark.slow
def test_a_failure_in_one_process_ends_all(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "notes.txt").write_text("not a run")
    first, second = end(start_run(folder))
    assert (first[0], second[0]) == (1, 1)
    assert f"must be a new or empty folder, but {folder} contains" in first[2].splitlines()[-1]
    assert "process 0 has stopped" in second[2].splitlines()[-1]


@pytest.mark.slow
def test_processes_with_different_options_are_rejected(tmp_path):
    def arguments(coordinator, i):
        places = ["--coordinator", coordinator, "--processes", 2, "--process", i]
        return [*places, "--run-dir", tmp_path / "run", "--seed", i]

    for status, _, errors in end(start(RUN, arguments)):
        assert status == 1
        assert "the same config, but process 1 differs from the first" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("host", 2, 0), "`coordinator` must be auto or the first process's HOST:PORT"),
        (("host:1234", 2, None), "requires `processes` N >= 1 and `process` I in 0..N-1"),
        (("host:1234", 2, 2), "got N = 2 and I = 2"),
        (("auto", 2, 0), "Leave them out"),
        ((None, 2, 0), "require `coordinator`, the HOST:PORT address"),
    ],
)
def test_incomplete_arguments_are_rejected_naming_what_is_missing(arguments, message):
    with pytest.raises(ValueError, match=message):
        processes.initialize(*arguments)


def test_shares_are_consecutive_and_cover_all_rows(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    for n in (1, 3, 8, 10):
        rows = []
        for i in range(4):
            monkeypatch.setattr(jax, "process_index", lambda i=i: i)
            rows += range(n)[processes.share(n)]
        assert rows == list(range(n))


def test_a_single_process_gets_its_input_back():
    rows = np.arange(6).reshape(3, 2)
    assert processes.is_first()
    assert processes.gather_rows(rows, 3) is rows
    assert processes.maximum(15) == 15
    assert processes.arrays_from_first({"a": rows})["a"] is rows
    processes.wait_for_all()
    processes.check_same("rows", rows)
    with pytest.raises(FileNotFoundError):
        processes.from_first(lambda: Path("no such file").read_text())


def test_a_single_process_computes_the_requested_maximum_when_it_is_read():
    numbers = [0]
    answer = processes.request_maximum(lambda: numbers[-1])
    numbers.append(15)
    assert answer() == 15
