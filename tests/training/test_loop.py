"""Tests that an interrupted or killed training loop resumes as if nothing had happened."""

import concurrent.futures
import dataclasses
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.training import Checkpoints, Interrupted, init_state
from hashnet_jax.training._stop_signals import catch_stop_signals
from tests.support.short_runs import (
    TRAIN,
    assert_equal_bit_for_bit,
    fresh_state,
    lines,
    train,
)
from tests.support.tiny import TINY


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=5, train_per_class=10))


@pytest.mark.slow
def test_an_interrupted_run_saves_and_resumes_as_if_never_interrupted(digits, tmp_path):
    whole, _ = train(digits, tmp_path / "whole")

    class InterruptAtStep6:
        """An image source that sends SIGINT while the sixth batch is being read."""

        in_memory = False

        def __init__(self):
            self.reads = 0

        def __len__(self):
            return len(digits.source)

        def __getitem__(self, index):
            return digits.source[index]

        def squashed(self, index, size):
            self.reads += 1
            if self.reads == 6 * 16:
                os.kill(os.getpid(), signal.SIGINT)
            return digits.source.squashed(index, size)

    stopping = dataclasses.replace(digits, source=InterruptAtStep6())
    with pytest.raises(Interrupted, match="SIGINT; saved at step"):
        train(stopping, tmp_path / "stopped")
    steps = [line["step"] for line in lines(tmp_path / "stopped")]
    assert 0 < steps[-1] < 12
    resumed, _ = train(digits, tmp_path / "stopped", resume=True)
    assert_equal_bit_for_bit(resumed, whole)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole")


@pytest.mark.slow
def test_a_kill_between_validation_and_checkpoint_loses_no_line(digits, tmp_path, monkeypatch):
    validation = {"validate": lambda params: 0.5, "validate_every": 4}
    train(digits, tmp_path / "whole", **validation)
    save = Checkpoints.save

    def killed(self, state, **kwargs):
        if int(state.step) == 8:
            raise KeyboardInterrupt
        save(self, state, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            train(digits, tmp_path / "killed", **validation)
    train(digits, tmp_path / "killed", resume=True, **validation)
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")


@pytest.mark.slow
def test_a_run_whose_latest_checkpoint_is_damaged_ends_as_if_nothing_had_happened(digits, tmp_path):
    whole, _ = train(digits, tmp_path / "whole")
    train(digits, tmp_path / "damaged", state=fresh_state())
    shutil.rmtree(tmp_path / "damaged" / "checkpoints" / "12" / "state")
    said = []
    resumed, _ = train(digits, tmp_path / "damaged", resume=True, say=said.append)
    assert_equal_bit_for_bit(resumed, whole)
    assert lines(tmp_path / "damaged") == lines(tmp_path / "whole")
    assert len(said) == 1
    assert "checkpoints/12 is damaged" in said[0]
    assert "Continuing from step 8." in said[0]


@pytest.mark.slow
def test_a_resumed_run_decays_towards_the_same_initial_values(digits, tmp_path):
    pulled = dataclasses.replace(TRAIN, weight_decay=0.5, decay_target="initial")
    whole, _ = train(digits, tmp_path / "whole", state=fresh_state(pulled))
    train(digits, tmp_path / "resumed", state=fresh_state(pulled))
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "12" / "state")
    other = init_state(jax.random.key(1), TINY, pulled)
    resumed, _ = train(
        digits, tmp_path / "resumed", state=other, resume=True, say=lambda line: None
    )
    assert_equal_bit_for_bit(resumed, whole)


@pytest.mark.slow
def test_checkpoints_and_metrics_from_another_run_are_rejected(digits, tmp_path):
    train(digits, tmp_path / "run", run="mine")
    with pytest.raises(DamagedFile, match="it was written by another run"):
        train(digits, tmp_path / "run", resume=True, run="other")
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"step": 3', '"step": 2'))
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "12")
    with pytest.raises(DamagedFile, match=r"metrics\.jsonl .* do not match their SHA-256"):
        train(digits, tmp_path / "run", resume=True, run="mine")


def test_the_callers_state_stays_valid_and_training_works_outside_the_main_thread(digits, tmp_path):
    state = fresh_state()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(train, digits, tmp_path / "run", state=state).result()
    assert int(state.step) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_training_restores_the_signal_handlers(digits, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(digits, tmp_path / "run")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_fitting_a_finished_run_again_returns_its_last_state(digits, tmp_path):
    whole, _ = train(digits, tmp_path / "run")
    again, _ = train(digits, tmp_path / "run", resume=True)
    assert_equal_bit_for_bit(again, whole)
    assert int(again.step) == 12


def test_damaged_metrics_of_a_finished_run_are_named_when_it_is_fitted_again(digits, tmp_path):
    train(digits, tmp_path / "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    text = metrics.read_text()
    metrics.write_text(text.replace('"loss": ', '"loss": 1', 1))
    with pytest.raises(DamagedFile, match=r"metrics.jsonl is damaged.*SHA-256"):
        train(digits, tmp_path / "run", resume=True)


@pytest.mark.slow
def test_the_best_on_validation_and_the_last_checkpoints_are_kept(digits, tmp_path):
    scores = iter([0.2, 0.9, 0.4, 0.3, 0.1, 0.25])
    _, best_step = train(
        digits,
        tmp_path / "run",
        validate=lambda params: next(scores),
        validate_every=2,
        checkpoint_every=1,
    )
    assert best_step == 4
    kept = sorted(
        int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir() if path.is_dir()
    )
    assert kept == [4, 11, 12]
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", keep_best=1)
    state, position = checkpoints.restore(fresh_state(), 4)
    checkpoints.close()
    assert int(state.step) == position["next_batch"] == 4
    validated = {line["step"] for line in lines(tmp_path / "run") if "validation_map" in line}
    assert validated == {2, 4, 6, 8, 10, 12}


def test_a_loss_that_is_not_finite_stops_the_run_at_a_named_step(digits, tmp_path):
    state = fresh_state()
    broken = jax.tree.map(lambda leaf: leaf * np.nan, state.params.variables["params"]["hash"])
    state.params.variables["params"]["hash"] = broken
    with pytest.raises(FloatingPointError, match=r"at step 1, .*`learning_rate`"):
        train(digits, tmp_path / "run", state=state)


def test_a_checkpoint_restores_state_and_position_and_read_only_checkpoints_refuse_to_save(
    tmp_path, caplog
):
    state = fresh_state()
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(state, position={"next_batch": 0})
    checkpoints.close()
    before = sorted(tmp_path.rglob("*"))
    checkpoints = Checkpoints(tmp_path / "checkpoints", read_only=True)
    other = init_state(jax.random.key(1), TINY, TRAIN)
    restored, position = checkpoints.restore(other, checkpoints.latest_step())
    with pytest.raises(ValueError, match="opened with `read_only=True`"):
        checkpoints.save(state, position={"next_batch": 1})
    checkpoints.close()
    assert_equal_bit_for_bit(restored, state)
    assert position == {"next_batch": 0}
    assert sorted(tmp_path.rglob("*")) == before
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.fixture
def python_handles_sigint():
    """Python's own handler, which is not installed in background jobs of a shell script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_handles_sigint")
def test_a_signal_is_recorded_once_and_runs_its_previous_handler_the_second_time():
    with catch_stop_signals() as stop:
        assert stop.first == 0
        signal.raise_signal(signal.SIGINT)
        assert stop.received == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stop.first == signal.SIGINT
