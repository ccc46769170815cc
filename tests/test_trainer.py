import concurrent.futures
import json
import os
import signal

import jax
import numpy as np
import pytest
from tiny import TINY

from hashnet_jax import parallel
from hashnet_jax.checkpoint import Checkpoints
from hashnet_jax.data.datasets import DATASETS, Options
from hashnet_jax.optim import TrainSpec
from hashnet_jax.run_folder import RunFolder
from hashnet_jax.state import init_state
from hashnet_jax.trainer import Interrupted, fit

TRAIN = TrainSpec(total_steps=12, learning_rate=0.01)


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=5, train_per_class=10))


def fresh_state(train=TRAIN):
    return init_state(jax.random.key(0), TINY, train)


def train(digits, path, *, state=None, resume=False, **kwargs):
    settings = {
        "augmentation": "shift",
        "batch_size": 16,
        "seed": 0,
        "devices": parallel.local_devices(1),
        "checkpoint_every": 4,
        "log_every": 1,
    }
    with RunFolder(path, resume=resume) as folder:
        folder.write_json("config.json", {})
        return fit(state or fresh_state(), digits, folder, **(settings | kwargs))


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def assert_equal_bit_for_bit(a, b):
    leaves_a, leaves_b = (
        jax.tree.leaves((s.params, s.opt_state, s.step, s.beta, jax.random.key_data(s.key)))
        for s in (a, b)
    )
    for left, right in zip(leaves_a, leaves_b, strict=True):
        np.testing.assert_array_equal(left, right)


def test_an_interrupted_run_saves_and_ends_as_if_never_interrupted(digits, tmp_path):
    whole, _ = train(digits, tmp_path / "whole")

    class InterruptAtStep6:
        """Images that ask for a stop while being read."""

        in_memory = False

        def __init__(self):
            self.reads = 0

        def squashed(self, index, size):
            self.reads += 1
            if self.reads == 6 * 16:
                os.kill(os.getpid(), signal.SIGINT)
            return digits.source.squashed(index, size)

    import dataclasses

    stopping = dataclasses.replace(digits, source=InterruptAtStep6())
    with pytest.raises(Interrupted, match="SIGINT; saved at step"):
        train(stopping, tmp_path / "stopped")
    steps = [line["step"] for line in lines(tmp_path / "stopped")]
    assert 0 < steps[-1] < 12
    resumed, _ = train(digits, tmp_path / "stopped", resume=True)
    assert_equal_bit_for_bit(resumed, whole)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole")


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


def test_the_callers_state_survives_training_and_another_thread_may_train(digits, tmp_path):
    state = fresh_state()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        pool.submit(train, digits, tmp_path / "run", state=state).result()
    assert int(state.step) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


def test_after_training_the_signal_handlers_are_as_before(digits, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(digits, tmp_path / "run")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_finished_run_fitted_again_returns_its_last_state(digits, tmp_path):
    whole, _ = train(digits, tmp_path / "run")
    again, _ = train(digits, tmp_path / "run", resume=True)
    assert_equal_bit_for_bit(again, whole)
    assert int(again.step) == 12


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


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(digits, tmp_path):
    state = fresh_state()
    broken = jax.tree.map(lambda leaf: leaf * np.nan, state.params.variables["params"]["hash"])
    state.params.variables["params"]["hash"] = broken
    with pytest.raises(FloatingPointError, match=r"at step 1, .*--learning-rate"):
        train(digits, tmp_path / "run", state=state)


def test_metrics_cut_in_two_by_a_kill_are_mended_on_resume(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {})
        path = folder.path / "metrics.jsonl"
        path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
        folder.open_metrics(2).close()
        assert [line["step"] for line in lines(folder.path)] == [1, 2]
        path.write_text('{"step": 1}\n{"st')
        folder.open_metrics(2).close()
        assert [line["step"] for line in lines(folder.path)] == [1]


def test_a_folder_in_use_taken_or_without_a_run_is_refused_with_the_remedy(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("config.json", {})
        with (
            pytest.raises(BlockingIOError, match="another process is writing"),
            RunFolder(tmp_path / "run", resume=True),
        ):
            pass
    with pytest.raises(FileExistsError, match="--resume"):
        RunFolder(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no config\.json there"):
        RunFolder(tmp_path / "empty", resume=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="new or an empty folder"):
        RunFolder(tmp_path / "file")


def test_a_file_of_a_run_appears_whole_or_not_at_all(tmp_path):
    with RunFolder(tmp_path / "run") as folder:
        folder.write_json("result.json", {"map": 1})
        with pytest.raises(TypeError):
            folder.write_json("result.json", {"map": object()})
        assert folder.read_json("result.json") == {"map": 1}
