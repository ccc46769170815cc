"""Several processes, started as on several machines, over the loopback; see also integration/."""

from pathlib import Path

import jax
import numpy as np
import pytest
from two_processes import RUN, end, start, start_run

from hashnet_jax import processes


def test_what_one_process_cannot_do_ends_all(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    first, second = end(start_run(folder))
    assert (first[0], second[0]) == (1, 1)
    assert f"{folder} must be a new or an empty folder" in first[2].splitlines()[-1]
    assert "process 0 has stopped" in second[2].splitlines()[-1]


def test_processes_with_other_options_are_refused(tmp_path):
    def arguments(coordinator, i):
        places = ["--coordinator", coordinator, "--processes", 2, "--process", i]
        return [*places, "--run-dir", tmp_path / "run", "--seed", i]

    for status, _, errors in end(start(RUN, arguments)):
        assert status == 1
        assert "must have the same config, got another than" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("host", 2, 0), "must be HOST:PORT"),
        (("host:1234", 2, None), "needs --processes N >= 1 and --process I in 0..N-1"),
        (("host:1234", 2, 2), "got N = 2 and I = 2"),
        (("auto", 2, 0), "leave them out"),
        ((None, 2, 0), "need --coordinator HOST:PORT"),
    ],
)
def test_an_incomplete_description_says_what_is_needed(arguments, message):
    with pytest.raises(ValueError, match=message):
        processes.initialize(*arguments)


def test_shares_are_consecutive_and_make_up_the_whole(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    for n in (1, 3, 8, 10):
        rows = []
        for i in range(4):
            monkeypatch.setattr(jax, "process_index", lambda i=i: i)
            rows += range(n)[processes.share(n)]
        assert rows == list(range(n))


def test_alone_everything_is_what_was_given():
    rows = np.arange(6).reshape(3, 2)
    assert processes.is_first()
    assert processes.gather_rows(rows, 3) is rows
    assert processes.greatest(True) == 1
    assert processes.arrays_from_first({"a": rows})["a"] is rows
    processes.wait_for_all()
    processes.check_same("rows", rows)
    with pytest.raises(FileNotFoundError):
        processes.from_first(lambda: Path("no such file").read_text())
