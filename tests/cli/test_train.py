"""Tests `hashnet train` in a separate process, as users run it."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.metrics import METRICS
from tests.support.cli_case import hashnet
from tests.support.same_codes import assert_codes_of

ROOT = Path(__file__).parents[2]
SMALL = ["--steps", "40", "--bits", "12", "--batch-size", "32", "--checkpoint-every", "3"]
# The same for all tests that stop a run, which then compile it once.
ENDLESS = ["--steps", "100000", *SMALL[2:6]]


def command(*args):
    # The report is disabled because it has its own tests and takes longer than these runs.
    return [sys.executable, "experiments/run.py", "--no-report", *map(str, args)]


def environment():
    flags = os.environ["XLA_FLAGS"].replace("device_count=8", "device_count=1")
    return os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}


def run(*args, **kwargs):
    return subprocess.run(
        command(*args),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        **kwargs,
    )


def model_of(folder):
    with np.load(folder / "model.npz") as file:
        return {name: file[name] for name in file.files}


def losses_of(folder):
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    return [(line["step"], line["loss"]) for line in map(json.loads, lines)]


@contextlib.contextmanager
def started(*args, **kwargs):
    """Starts a run, which is killed when the context exits if it is still running."""
    process = subprocess.Popen(command(*args), cwd=ROOT, env=environment(), text=True, **kwargs)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition, process, seconds=0.1):
    while not condition():
        assert process.poll() is None, "the run ended early"
        time.sleep(seconds)


def step_of(folder):
    """Returns the step of the latest checkpoint, or 0 if there is none."""
    path = folder / "checkpoints"
    names = [entry.name for entry in path.iterdir()] if path.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder and process of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    result = run(*SMALL, "--run-dir", folder)
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.mark.slow
def test_a_run_prints_its_config_and_map_and_leaves_a_folder_that_explains_itself(whole):
    folder, result = whole
    assert "total_steps=40" in result.stdout
    assert "1,000 train, 200 query, 597 database" in result.stdout
    assert "MAP@all = 0." in result.stdout
    assert "expected over ties" in result.stdout
    assert "training: 40/40 steps" in result.stderr
    assert "\r" not in result.stderr, "no progress bar when the output is piped"

    saved = json.loads((folder / "result.json").read_text())
    assert saved["summary"] in result.stdout
    # Other tests may have registered additional metrics in this process.
    assert {"precision_within_radius_2"} <= saved["metrics"].keys() <= METRICS.keys()
    assert json.loads((folder / "config.json").read_text())["train"]["total_steps"] == 40
    params = hashnet_jax.load(folder)
    with np.load(folder / "codes.npz") as codes, np.load(folder / "split.npz") as split:
        from sklearn.datasets import load_digits

        images = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
        queries = np.repeat(images[split["query"]][..., None], 3, axis=-1)
        assert_codes_of(params, queries, codes["query_codes"])
        assert codes["database_codes"].shape == (597, 2)
        np.testing.assert_array_equal(codes["query_indices"], split["query"])

    again = run("--run-dir", folder, "--resume")
    assert saved["summary"] in again.stdout
    assert "already finished" in again.stdout


@pytest.mark.slow
def test_killed_at_random_steps_and_resumed_a_run_ends_bit_for_bit_like_an_uninterrupted_one(
    whole, tmp_path
):
    folder = tmp_path / "run"
    rng = random.Random(0)
    kills = sorted(rng.sample(range(2, 34), 2))
    for i, step in enumerate(kills):
        resume = ["--run-dir", folder, "--resume"] if i else [*SMALL, "--run-dir", folder]
        process = subprocess.Popen(
            command(*resume), cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL
        )
        wait_until(lambda step=step: step_of(folder) >= step, process, seconds=0.005)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run was not killed during training"
    result = run("--run-dir", folder, "--resume")
    assert result.returncode == 0, result.stderr

    uninterrupted, _ = whole
    expected, got = model_of(uninterrupted), model_of(folder)
    assert expected.keys() == got.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
    assert losses_of(folder) == losses_of(uninterrupted)


@pytest.mark.slow
def test_ctrl_c_saves_prints_how_to_continue_and_exits_with_130(tmp_path):
    folder = tmp_path / "run"
    args = [*ENDLESS, "--run-dir", folder]
    with started(*args, stderr=subprocess.PIPE) as process:
        wait_until(lambda: losses_of(folder), process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert f"--run-dir {folder} --resume" in errors
    assert [path.name for path in (folder / "checkpoints").iterdir() if path.name.isdigit()]


@pytest.mark.slow
def test_stopping_the_whole_process_group_saves_a_checkpoint_even_if_the_workers_end_first(
    tmp_path,
):
    folder = tmp_path / "run"
    args = [*ENDLESS, "--workers", 1, "--run-dir", folder]
    with started(*args, stderr=subprocess.PIPE, start_new_session=True) as process:
        wait_until(lambda: losses_of(folder), process)
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "Traceback" not in errors
    assert [path.name for path in (folder / "checkpoints").iterdir() if path.name.isdigit()]


@pytest.mark.slow
def test_two_runs_at_once_in_one_folder_are_rejected(tmp_path):
    folder = tmp_path / "run"
    args = [*ENDLESS, "--run-dir", folder]
    with started(*args, stderr=subprocess.DEVNULL) as process:
        wait_until((folder / "config.json").is_file, process)
        second = run("--run-dir", folder, "--resume")
    assert second.returncode == 1
    assert "another process is writing" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--run-dir", "RUN"],
            "finished run with different options (--bits 12 instead of 48; --steps 40",
        ),
        (
            ["--run-dir", "RUN", "--resume", "--bits", "16"],
            "with --bits 16, because its config must not change",
        ),
        (["--run-dir", "RUN", "--resume", "--dataset", "mnist"], "with --dataset mnist, because"),
        (["--run-dir", "NONE", "--resume"], "there is no run to resume in"),
        (["--run-dir", "NEW", "--batch-size", "5000"], "--batch-size must be in 2..1000"),
        (["--run-dir", "NEW", "--steps", "0"], "--steps must be an integer >= 1"),
        (["--run-dir", "NEW", "--seed", "-1"], "--seed must be in 0"),
        (["--run-dir", "NEW", "--train-per-class", "-5"], "--train-per-class must be >= 1"),
        (["--run-dir", "NEW", "--validate-every", "999999"], "--validate-every must be in 0.."),
        (["--run-dir", "NEW", "--devices", "64"], "Change --devices"),
        (["--run-dir", "NEW", "--batch-size", "31", "--devices", "2"], "or --devices"),
        (["--run-dir", "NEW", "--validate-every", "5"], "--validation-per-class"),
        (["--run-dir", "NEW", "--workers", "-1"], "--workers must be >= 0"),
        (["--run-dir", "NEW", "--queries", "5"], "--queries does not apply to digits"),
        (
            ["--run-dir", "NEW", "--database", "rest", "--lists", "L"],
            "--lists does not apply to digits",
        ),
        (["--run-dir", "NEW", "--pretrained", "NONE"], "no weights file at"),
        (["--run-dir", "NEW", "--dataset", "imagenet100", "--data-dir", "NONE"], "image-net.org"),
    ],
)
def test_a_mistake_ends_with_one_line_that_names_the_remedy_and_leaves_no_folder(
    args, message, whole, tmp_path, capsys
):
    places = {"RUN": whole[0], "NONE": tmp_path / "none", "NEW": tmp_path / "new"}
    status = hashnet("train", *(places.get(arg, arg) for arg in args))
    errors = capsys.readouterr().err
    assert status == 1
    assert message in errors
    assert errors.startswith("hashnet train: error: ")
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_validation_selects_the_checkpoint_that_is_evaluated(tmp_path):
    folder = tmp_path / "run"
    result = run(
        *SMALL[:6],
        "--run-dir",
        folder,
        *("--validation-per-class", 5, "--validate-every", 10, "--select", "best"),
        *("--cutoff", 7),
    )
    assert result.returncode == 0, result.stderr
    description = "MAP@7 every 10 steps, 50 validation images against 1,000 training images"
    assert f"validation: {description}\n" in result.stdout
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["validation_map"] for line in lines if "validation_map" in line}
    assert set(scores) == {10, 20, 30, 40}
    assert {line["validation_cutoff"] for line in lines if "validation_map" in line} == {7}
    saved = json.loads((folder / "result.json").read_text())
    assert saved["step"] == max(scores, key=scores.get)
    assert saved["validation"]["cutoff"] == saved["map"]["cutoff"] == 7


@pytest.mark.slow
def test_a_run_does_not_resume_with_different_data_or_a_damaged_config(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    (folder / "result.json").unlink()
    with np.load(folder / "split.npz") as file:
        split = {name: file[name] for name in file.files}
    split["query"] = split["query"][1:]
    np.savez(folder / "split.npz", **split)
    result = run("--run-dir", folder, "--resume")
    assert result.returncode == 1
    assert "('query' does not match" in result.stderr
    config = folder / "config.json"
    config.write_text(config.read_text()[:40])
    result = run("--run-dir", folder, "--resume")
    assert result.returncode == 1
    assert f"{config} is damaged" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_run_killed_at_its_start_leaves_a_usable_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".lock", ".config.json.77.partial"):
        (folder / name).touch()
    assert run(*SMALL, "--run-dir", folder).returncode == 0
    assert not list(folder.glob(".*.partial"))


@pytest.mark.slow
def test_a_pipe_in_place_of_the_result_is_rejected(whole, tmp_path, capsys):
    folder = shutil.copytree(whole[0], tmp_path / "run")
    (folder / "result.json").unlink()
    os.mkfifo(folder / "result.json")
    for arguments in (["train", "--run-dir", folder, "--resume"], ["info", folder]):
        assert hashnet(*arguments) == 1
        assert f"{folder}/result.json is damaged" in capsys.readouterr().err
