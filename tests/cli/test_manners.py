"""Tests for runs that are repeated, rejected or interrupted, and for the messages printed."""

import json
import shlex

import numpy as np
import pytest

from hashnet_jax.cli import _checks, _training, main
from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._resolve import resume_command
from hashnet_jax.distributed.seals import sealed, unsealed
from hashnet_jax.training import Interrupted

SMALL = ("--steps", "4", "--bits", "12", "--batch-size", "32", "--devices", "1", "--no-report")


def interrupted(error):
    def fit(*args, **kwargs):
        raise error

    return fit


@pytest.mark.slow
def test_repeating_the_command_of_a_finished_run_shows_its_result_without_training(
    trained, tmp_path, monkeypatch, capsys
):
    command = ["train", *SMALL, "--run-dir", str(tmp_path / "run")]
    assert main(command) == 0
    capsys.readouterr()
    monkeypatch.setattr(_training, "fit", None)
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines() == [
        "MAP@all = 0.5000",
        f"already finished: {tmp_path / 'run'}",
        "To start a new run, choose a different folder with --run-dir.",
    ]
    # The location of the data may differ.
    assert main([*command, "--data-dir", "elsewhere"]) == 0


@pytest.mark.slow
def test_options_that_differ_from_those_of_a_finished_run_are_rejected_by_name(
    trained, tmp_path, capsys
):
    command = ["train", *SMALL, "--run-dir", str(tmp_path / "run")]
    assert main(command) == 0
    before = (tmp_path / "run" / "result.json").read_bytes()
    assert main([*command, "--seed", "1", "--database", "rest", "--continuous-similarity"]) == 1
    error = capsys.readouterr().err
    assert "contains a finished run with different options" in error
    for difference in (
        *("--seed 0 instead of 1", "--database rest-without-train instead of rest"),
        "--no-continuous-similarity instead of --continuous-similarity",
    ):
        assert difference in error
    assert "Choose a different folder with --run-dir" in error
    assert (tmp_path / "run" / "result.json").read_bytes() == before


@pytest.mark.slow
def test_repeating_the_command_of_an_unfinished_run_names_the_command_to_continue_it(
    trained, tmp_path, capsys
):
    folder = tmp_path / "my run"
    assert main(["train", *SMALL, "--run-dir", str(folder)]) == 0
    (folder / "result.json").unlink()
    assert main(["train", *SMALL, "--run-dir", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "contains an unfinished run" in error
    assert f"`hashnet train --run-dir '{folder}' --resume`" in error
    assert main([*shlex.split(error.split("`hashnet ")[1].split("`")[0]), "--no-report"]) == 0


@pytest.mark.slow
def test_a_run_that_fails_its_checks_removes_its_folder_unless_it_existed_before(
    trained, tmp_path, monkeypatch, capsys
):
    def refuse(run):
        raise ValueError("`batch_size` is refused.")

    folder = tmp_path / "run"
    command = ["train", *SMALL, "--run-dir", str(folder)]
    with monkeypatch.context() as late:
        late.setattr(_checks, "check_processes", refuse)
        assert main(command) == 1
        assert not folder.exists()
        folder.mkdir()
        assert main(command) == 1
        assert folder.is_dir()
    assert "--batch-size is refused." in capsys.readouterr().err
    assert main(command) == 0


@pytest.mark.slow
def test_an_interruption_names_a_command_that_can_be_pasted(trained, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "it's mine"
    command = ["train", *SMALL, "--run-dir", str(folder)]
    with monkeypatch.context() as stopped:
        stopped.setattr(_training, "fit", interrupted(Interrupted(3, 15)))
        assert main(command) == 128 + 15
    error = capsys.readouterr().err
    assert "stopped by SIGTERM; saved at step 3. Continue with: hashnet train " in error
    words = shlex.split(error.split("Continue with: ")[1])
    assert words[2:5] == ["--run-dir", str(folder), "--resume"]
    assert words[5:] == ["--no-report", "--devices", "1"]
    assert main(words[1:]) == 0
    assert json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interruption_names_a_command_only_if_the_run_has_started(
    moment, trained, tmp_path, monkeypatch, capsys
):
    function = "start_state" if moment == "before" else "fit"
    monkeypatch.setattr(_training, function, interrupted(KeyboardInterrupt()))
    command = ["train", *SMALL, "--run-dir", str(tmp_path / "run")]
    assert main(command, started_as="python experiments/run.py") == 130
    error = capsys.readouterr().err
    if moment == "before":
        assert error == "interrupted. The run had not started yet.\n"
        assert not list(tmp_path.iterdir())
    else:
        assert "Continue with: python experiments/run.py --run-dir " in error


def test_the_command_that_continues_repeats_how_the_run_is_executed(tmp_path):
    execution = Execution(devices=2, coordinator="10.0.0.1:99", processes=2, process=1)
    command = resume_command("hashnet train", tmp_path / "a b", execution)
    assert command == (
        f"hashnet train --run-dir '{tmp_path}/a b' --resume --devices 2 "
        "--coordinator 10.0.0.1:99 --processes 2 --process 1"
    )


def test_several_mistakes_are_reported_on_one_line_each(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "--steps", "0", "--bits", "0", "--run-dir", str(folder)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "hashnet train: error: --bits must be >= 1, got 0.",
        "hashnet train: error: --steps must be an integer >= 1, got 0.",
    ]


def test_mistakes_in_all_kinds_of_options_are_reported_at_once(tmp_path, capsys):
    options = {
        **{"--steps": "0", "--weight-decay": "inf", "--alpha": "inf", "--balance": "0"},
        **{"--hash-multiplier": "nan", "--decays": "-1", "--bits": "-3", "--batch-size": "1"},
        **{"--seed": "-1", "--cutoff": "0", "--checkpoint-every": "-5", "--validate-every": "-1"},
        **{"--train-per-class": "0", "--split-seed": "-2", "--workers": "-1"},
    }
    words = [word for pair in options.items() for word in pair]
    assert main(["train", *words, "--run-dir", str(tmp_path / "run")]) == 1
    lines = capsys.readouterr().err.splitlines()
    found = {line.removeprefix("hashnet train: error: ").split()[0] for line in lines}
    assert found == options.keys()
    assert len(lines) == len(options)


def test_mistakes_that_depend_on_the_data_are_reported_at_once(tmp_path, capsys):
    words = ["--batch-size", "5001", "--devices", "2", "--validate-every", "5"]
    assert main(["train", *words, "--run-dir", str(tmp_path / "run")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "multiple of the number of devices" in lines[0]
    assert "--batch-size must be in 2..1000" in lines[1]
    assert "--validate-every requires validation images" in lines[2]


@pytest.mark.slow
def test_an_unknown_field_in_a_config_is_named_and_an_older_config_is_read(
    trained, tmp_path, capsys
):
    folder = tmp_path / "run"
    assert main(["train", *SMALL, "--run-dir", str(folder)]) == 0
    (folder / "result.json").unlink()
    config = unsealed(json.loads((folder / "config.json").read_text()))
    del config["train"]["loss"]
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["train", "--run-dir", str(folder), "--resume"]) == 0
    assert json.loads((folder / "config.json").read_text()) == sealed(config)
    config["train"]["gamma"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["train", "--run-dir", str(folder), "--resume"]) == 1
    error = capsys.readouterr().err
    assert f"{folder / 'config.json'} is damaged or not the config of a run" in error
    assert "unknown field train.gamma" in error
    with np.load(folder / "split.npz") as split:
        assert set(split.files) == {"train", "query", "database", "validation", "labels"}
