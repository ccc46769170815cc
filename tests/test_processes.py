"""Several processes, started as on several machines, over the loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from three_steps import after_three_steps

from hashnet_jax import parallel, processes

ROOT = Path(__file__).parents[1]
RUN = ["experiments/run.py", "--no-report", "--bits", "12", "--batch-size", "32"]


def start(script, arguments_of, n_devices=1):
    """Two processes of ``script``, whose arguments are a function of coordinator and number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"--xla_force_host_platform_device_count={n_devices}"
    environment = os.environ | {
        "XLA_FLAGS": flags,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, [*script, *arguments_of(coordinator, i)])],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]


def end(started):
    """(exit status, output, errors) of each."""
    try:
        answers = [process.communicate(timeout=240) for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [(process.returncode, *answer) for process, answer in zip(started, answers, strict=True)]


def start_run(folder, *options, script=RUN):
    def arguments(coordinator, i):
        places = ["--coordinator", coordinator, "--processes", 2, "--process", i]
        return [*options, "--run-dir", folder, *places]

    return start(script, arguments)


def lines_of(folder):
    path = folder / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.mark.parametrize("n_devices", [1, 2])
def test_two_processes_end_three_updates_with_the_parameters_of_one(n_devices, tmp_path):
    files = [tmp_path / f"{i}.npz" for i in range(2)]
    script = [ROOT / "tests" / "three_steps.py"]
    for status, _, errors in end(start(script, lambda c, i: [c, 2, i, files[i]], n_devices)):
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


def test_a_run_of_two_processes_killed_and_resumed_ends_as_one_never_killed(tmp_path):
    options = ["--steps", 20, "--checkpoint-every", 3]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    (status, output, errors), (_, of_second, _) = end(start_run(whole, *options))
    assert status == 0, errors
    assert "2 processes of 1 x cpu" in output
    assert "MAP@all" in output
    assert "MAP@all" not in of_second, "the first one speaks for both"

    started = start_run(killed, *options)
    while not lines_of(killed):
        assert started[0].poll() is None, started[0].communicate()
        time.sleep(0.02)
    for process in started:
        process.send_signal(signal.SIGKILL)
    end(started)
    for status, _, errors in end(start_run(killed, "--resume", script=RUN[:2])):
        assert status == 0, errors
    with np.load(whole / "model.npz") as expected, np.load(killed / "model.npz") as got:
        for name in expected.files:
            np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    with np.load(whole / "codes.npz") as expected, np.load(killed / "codes.npz") as got:
        for name in expected.files:
            np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
    assert lines_of(killed) == lines_of(whole)
    # What two processes began one can finish, and the reverse.
    (killed / "result.json").unlink()
    alone = [sys.executable, *RUN[:2], "--run-dir", killed, "--resume"]
    done = subprocess.run(
        alone, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = [json.loads((folder / "result.json").read_text()) for folder in (whole, killed)]
    assert result[0]["summary"] == result[1]["summary"]


def test_a_stop_of_one_process_stops_both_at_one_step_and_saves(tmp_path):
    folder = tmp_path / "run"
    started = start_run(folder, "--steps", 100_000)
    while not lines_of(folder):
        assert started[0].poll() is None, started[0].communicate()
        time.sleep(0.02)
    started[1].send_signal(signal.SIGTERM)
    answers = end(started)
    said = [errors.splitlines()[-1] for _, _, errors in answers]
    assert [status for status, _, _ in answers] == [128 + signal.SIGTERM] * 2, said
    assert [line.split(" Continue")[0] for line in said] == [said[0].split(" Continue")[0]] * 2
    assert "--process 1" in said[1]
    step = int(said[0].split("saved at step ")[1].split(".")[0])
    assert (folder / "checkpoints" / str(step)).is_dir()


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
