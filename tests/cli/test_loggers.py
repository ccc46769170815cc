"""`hashnet train` passes its metrics to the requested logger, and profiles the requested steps."""

import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hashnet_jax.cli import _training
from hashnet_jax.cli._execution import Execution
from hashnet_jax.cli._resolve import resume_command
from hashnet_jax.training.loggers import LOGGERS, TensorBoardLogger
from tests.support.cli_case import hashnet
from tests.support.two_processes import end, lines_of, start_run

SMALL = ["train", "--steps", "4", "--bits", "12", "--no-report"]


@pytest.fixture
def given(monkeypatch):
    """The arguments of `fit`, which does not train."""
    arguments = {}

    def fit(state, *args, **kwargs):
        arguments.update(kwargs)
        return state, None

    monkeypatch.setattr(_training, "fit", fit)
    return arguments


@pytest.mark.usefixtures("trained")
def test_the_options_reach_the_training_loop(given, tmp_path):
    assert hashnet(*SMALL, "--run-dir", tmp_path / "plain") == 0
    assert (given["callbacks"], given["profile_steps"]) == ((), 0)
    options = ["--logger", "tensorboard", "--profile", "3"]
    assert hashnet(*SMALL, "--run-dir", tmp_path / "run", *options) == 0
    (logger,) = given["callbacks"]
    assert isinstance(logger, TensorBoardLogger)
    assert given["profile_steps"] == 3


def test_a_missing_library_ends_the_run_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert hashnet(*SMALL, "--run-dir", tmp_path / "run", "--logger", "wandb") == 1
    assert "pip install 'hashnet_jax[wandb]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_unknown_loggers_and_negative_profiles_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        hashnet(*SMALL, "--run-dir", tmp_path / "run", "--logger", "paper")
    error = capsys.readouterr().err
    assert all(name in error for name in LOGGERS)
    assert hashnet(*SMALL, "--run-dir", tmp_path / "run", "--profile", "-1") == 1
    assert "error: --profile must be >= 0, got -1." in capsys.readouterr().err


def test_the_command_that_continues_repeats_the_logger(tmp_path):
    command = resume_command("hashnet train", tmp_path, Execution(logger="wandb", profile=2))
    assert command.endswith("--resume --logger wandb --profile 2")


@pytest.mark.slow
def test_of_several_processes_only_the_first_logs_and_profiles(tmp_path):
    folder = tmp_path / "run"
    options = ["--steps", 20, "--logger", "tensorboard", "--profile", 2]
    answers = end(start_run(folder, *options))
    assert [status for status, _, _ in answers] == [0, 0], answers
    (events,) = (folder / "tensorboard").iterdir()
    accumulator = EventAccumulator(str(events))
    accumulator.Reload()
    logged = [(event.step, event.value) for event in accumulator.Scalars("loss")]
    assert [step for step, _ in logged] == [10, 20]
    assert logged == [(line["step"], pytest.approx(line["loss"])) for line in lines_of(folder)]
    assert len(list(folder.glob("profile/plugins/profile/*/perfetto_trace.json.gz"))) == 1
