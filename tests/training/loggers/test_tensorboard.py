"""TensorBoard reads every point of a run once, also after the run was stopped and resumed."""

import sys

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.training.loggers import TensorBoardLogger
from tests.support.short_runs import lines, train


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=5, train_per_class=10))


def scalars(path):
    """What TensorBoard shows of a run: {name: [(step, value)]}."""
    accumulator = EventAccumulator(str(path / "tensorboard"))
    accumulator.Reload()
    return {
        name: [(event.step, event.value) for event in accumulator.Scalars(name)]
        for name in accumulator.Tags()["scalars"]
    }


def expected_scalars(path):
    """The floats in `metrics.jsonl`, in the precision of TensorBoard."""
    found = {}
    for line in lines(path):
        for name, value in line.items():
            if isinstance(value, float):
                found.setdefault(name, []).append((line["step"], float(np.float32(value))))
    return found


def test_every_number_in_the_metrics_is_a_point(digits, tmp_path):
    path = tmp_path / "run"
    with TensorBoardLogger(path) as logger:
        train(
            digits,
            path,
            callbacks=[logger],
            validate=lambda params: 0.5,
            validate_every=4,
            log_every=3,
        )
    assert scalars(path) == expected_scalars(path)
    assert [step for step, _ in scalars(path)["loss"]] == [3, 6, 9, 12]
    assert scalars(path)["validation_map"] == [(4, 0.5), (8, 0.5), (12, 0.5)]


def test_a_resumed_run_continues_the_log_and_repeats_no_point(digits, tmp_path):
    path = tmp_path / "run"

    def stopped(params):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), TensorBoardLogger(path) as logger:
        # Step 7 is logged, but the latest checkpoint is that of step 4.
        train(digits, path, callbacks=[logger], validate=stopped, validate_every=7)
    assert [step for step, _ in scalars(path)["loss"]] == list(range(1, 8))
    for _ in range(2):  # the second time, the run is already finished
        with TensorBoardLogger(path) as logger:
            train(digits, path, resume=True, callbacks=[logger])
        assert [step for step, _ in scalars(path)["loss"]] == list(range(1, 13))
        assert scalars(path) == expected_scalars(path)


def test_a_logger_that_was_never_started_writes_nothing(tmp_path):
    with TensorBoardLogger(tmp_path / "run"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named_with_the_extra_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hashnet_jax\[tensorboard\]'"):
        TensorBoardLogger(tmp_path)
