"""Tests training in two processes, including runs that are killed, resumed and stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from hashnet_jax.distributed.devices import local_devices
from tests.support.three_steps import after_three_steps
from tests.support.two_processes import ROOT, RUN, end, lines_of, start, start_run


def arrays_of(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("n_devices", [1, 2])
def test_three_updates_in_two_processes_give_the_parameters_of_one_process(n_devices, tmp_path):
    files = [tmp_path / f"{i}.npz" for i in range(2)]
    script = ["-m", "tests.support.three_steps"]
    for status, _, errors in end(start(script, lambda c, i: [c, 2, i, files[i]], n_devices)):
        assert status == 0, errors
    state, metrics, _ = after_three_steps(local_devices(1))
    first, second = map(arrays_of, files)
    for file in (first, second):
        assert file["donated"]
        for i, leaf in enumerate(jax.tree.leaves(state.params.variables)):
            np.testing.assert_allclose(file[str(i)], leaf, rtol=0, atol=1e-6)
        for name, value in metrics.items():
            np.testing.assert_allclose(file[name], value, rtol=1e-4, err_msg=name)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_a_run_of_two_processes_killed_and_resumed_ends_like_one_never_killed(tmp_path):
    options = ["--steps", 20, "--checkpoint-every", 3]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    (status, output, errors), (_, output_of_second, _) = end(start_run(whole, *options))
    assert status == 0, errors
    assert "2 processes of 1 x cpu" in output
    assert "MAP@all" in output
    assert "MAP@all" not in output_of_second, "only the first process prints"

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
    # A single process can finish a run that two processes started.
    (killed / "result.json").unlink()
    alone = [sys.executable, *RUN[:2], "--run-dir", killed, "--resume"]
    done = subprocess.run(
        alone, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = [json.loads((folder / "result.json").read_text()) for folder in (whole, killed)]
    assert result[0]["summary"] == result[1]["summary"]


def test_stopping_one_process_stops_both_at_the_same_step_and_saves(tmp_path):
    folder = tmp_path / "run"
    started = start_run(folder, "--steps", 100_000)
    while not lines_of(folder):
        assert started[0].poll() is None, started[0].communicate()
        time.sleep(0.02)
    started[1].send_signal(signal.SIGTERM)
    answers = end(started)
    messages = [errors.splitlines()[-1] for _, _, errors in answers]
    assert [status for status, _, _ in answers] == [128 + signal.SIGTERM] * 2, messages
    stops, remedies = zip(*(message.split(" Continue") for message in messages), strict=True)
    assert stops[0] == stops[1]
    assert "--process 1" in remedies[1]
    step = int(stops[0].split("saved at step ")[1].split(".")[0])
    assert (folder / "checkpoints" / str(step)).is_dir()
