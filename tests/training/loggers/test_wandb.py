"""The metrics of a run reach Weights & Biases, and a resumed run adds no step twice."""

import sys

import pytest
import wandb

from hashnet_jax.data import DATASETS, Options
from hashnet_jax.training.loggers import WandbLogger
from tests.support.short_runs import lines, train
from tests.support.wandb_file import read_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=5, train_per_class=10))


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Sets the variables, which wandb reads again after `teardown`."""
    for name, value in (("MODE", "offline"), ("ERROR_REPORTING", "false"), ("SILENT", "true")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    yield
    wandb.teardown()


def offline_runs(path):
    wandb.teardown()  # The service writes the rest of the files when it ends.
    return [read_run(folder) for folder in sorted((path / "wandb").glob("offline-run-*"))]


def numbers(line):
    return {name: value for name, value in line.items() if isinstance(value, float)}


def test_every_step_of_a_run_is_logged_with_its_config_and_best_step(digits, tmp_path):
    scores = iter([0.2, 0.5, 0.1])
    path = tmp_path / "run"
    with WandbLogger(path, {"seed": 3}) as logger:
        train(
            digits,
            path,
            callbacks=[logger],
            validate=lambda params: next(scores),
            validate_every=4,
        )
    ((config, points, summary),) = offline_runs(path)
    assert config["seed"] == 3
    assert config["_project"] == "hashnet_jax"
    assert config["_id"] == (path / "wandb_id.txt").read_text()
    expected = {}
    for line in lines(path):
        expected[line["step"]] = expected.get(line["step"], {}) | numbers(line)
    assert points == sorted(expected.items())
    assert points[7][1]["validation_map"] == 0.5
    assert summary["best_step"] == 8


def test_a_resumed_run_continues_under_its_id_after_the_last_step_that_was_logged(digits, tmp_path):
    path = tmp_path / "run"

    def stopped(params):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), WandbLogger(path, {}) as logger:
        # Step 7 is logged, but the latest checkpoint is that of step 4.
        train(digits, path, callbacks=[logger], validate=stopped, validate_every=7)
    with WandbLogger(path, {}) as logger:
        train(digits, path, resume=True, callbacks=[logger])
    (first, points, _), (second, later_points, _) = offline_runs(path)
    assert first["_id"] == second["_id"]
    assert [step for step, _ in points + later_points] == list(range(1, 13))
    assert len(later_points) == 5
    assert dict(points + later_points) == {line["step"]: numbers(line) for line in lines(path)}


def test_a_run_that_wandb_refuses_names_the_reason_and_the_remedy(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(tmp_path / "no_file"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with (
        pytest.raises(ConnectionError, match=r"No API key.*WANDB_MODE=offline"),
        WandbLogger(tmp_path / "run", {}) as logger,
    ):
        train(digits, tmp_path / "run", callbacks=[logger])


def test_a_missing_library_is_named_with_the_extra_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'hashnet_jax\[wandb\]'"):
        WandbLogger(tmp_path, {})
