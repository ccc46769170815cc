"""Callbacks receive what `fit` logs, when it logs it, and do not change what is computed."""

import pytest

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.training import Callback
from tests.support.short_runs import assert_equal_bit_for_bit, lines, train


def validation(scores=(0.2, 0.5, 0.1)):
    scores = iter(scores)
    return {"validate": lambda params: next(scores), "validate_every": 4, "validation_cutoff": 7}


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=5, train_per_class=10))


class Recorder(Callback):
    """Keeps all calls; raises an error when ``stop_at`` is logged."""

    def __init__(self, stop_at=None):
        self.calls, self.stop_at = [], stop_at

    def start(self, step):
        self.calls.append(("start", step))

    def log(self, step, metrics):
        self.calls.append(("log", {"step": step, **metrics}))
        if step == self.stop_at:
            raise RuntimeError("stopped by the callback")

    def end(self, state, best_step):
        self.calls.append(("end", int(state.step), best_step))

    @property
    def logged(self):
        return [call[1] for call in self.calls if call[0] == "log"]


def test_callbacks_see_the_start_every_line_of_the_metrics_and_the_end(digits, tmp_path):
    recorders = Recorder(), Recorder()
    train(digits, tmp_path / "run", callbacks=recorders, **validation())
    first, *_, last = recorders[0].calls
    assert (first, last) == (("start", 0), ("end", 12, 8))
    assert recorders[0].logged == lines(tmp_path / "run")
    assert len(recorders[0].logged) == 12 + 3
    assert {"step": 8, "validation_map": 0.5, "validation_cutoff": 7} in recorders[0].logged
    assert recorders[0].calls == recorders[1].calls


def test_an_error_in_a_callback_ends_training_and_the_run_resumes_as_if_never_stopped(
    digits, tmp_path
):
    whole, _ = train(digits, tmp_path / "whole", **validation())
    with pytest.raises(RuntimeError, match="stopped by the callback"):
        train(digits, tmp_path / "run", callbacks=[Recorder(stop_at=7)], **validation())
    after = Recorder()
    rest = validation(scores=(0.5, 0.1))
    resumed, _ = train(digits, tmp_path / "run", resume=True, callbacks=[after], **rest)
    assert_equal_bit_for_bit(resumed, whole)
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert after.calls[0] == ("start", 4)
    assert after.logged == [line for line in lines(tmp_path / "whole") if line["step"] > 4]


def test_a_finished_run_that_is_resumed_calls_only_start_and_end(digits, tmp_path):
    train(digits, tmp_path / "run")
    recorder = Recorder()
    train(digits, tmp_path / "run", resume=True, callbacks=[recorder])
    assert recorder.calls == [("start", 12), ("end", 12, None)]


def test_a_callback_may_define_only_some_of_the_methods(digits, tmp_path):
    class Last(Callback):
        def log(self, step, metrics):
            self.step = step

    last = Last()
    train(digits, tmp_path / "run", callbacks=[last])
    assert last.step == 12
