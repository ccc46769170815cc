"""Several processes, started as on several machines, over the loopback; see also integration/."""

from pathlib import Path

import jax
import numpy as np
import pytest
from three_steps import after_three_steps
from two_processes import ROOT, RUN, end, start, start_run

from hashnet_jax import parallel, processes


def test_two_processes_of_two_devices_end_three_updates_with_the_parameters_of_one(tmp_path):
    files = [tmp_path / f"{i}.npz" for i in range(2)]
    script = [ROOT / "tests" / "three_steps.py"]
    for status, _, errors in end(start(script, lambda c, i: [c, 2, i, files[i]], n_devices=2)):
        assert status == 0, errors
    state, metrics, _ = after_three_steps(parallel.local_devices(1))
    for file in map(np.load, files):
        assert file["donated"]
        for i, leaf in enumerate(jax.tree.leaves(state.params.variables)):
            np.testing.assert_allclose(file[str(i)], leaf, rtol=0, atol=1e-6)
        for name, value in metrics.items():
            np.testing.assert_allclose(file[name], value, rtol=1e-4, err_msg=name)
    first, second = map(np.load, files)
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


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
